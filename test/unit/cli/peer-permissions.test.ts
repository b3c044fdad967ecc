import { afterEach, beforeEach, expect, it } from "vitest";
import type { CommandContext } from "../../../src/cli/context.ts";
import { PeerPermissions } from "../../../src/cli/options/peer-permissions.ts";
import { encodeKey } from "../../../src/wire/key-text.ts";
import { failureOf, KeyFolder } from "../../lib/key-folder.ts";

let keys: KeyFolder;
beforeEach(() => {
  keys = new KeyFolder();
});
afterEach(() => keys.remove());

const key = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);
const context = (): CommandContext =>
  ({ environment: { XDG_CONFIG_HOME: `${keys.home}/config` } }) as unknown as CommandContext;

it("a line with options replaces what all peers may do, measurements included", async () => {
  keys.plant(
    "authorized_peers",
    `${encodeKey(key(1))} expose=a:1 laptop\n${encodeKey(key(2))} bench\n${encodeKey(key(3))} phone\n`,
  );
  const options = { expose: ["b:2"], allowBench: true } as const;
  const permissions = await PeerPermissions.read(context(), options);
  const of = (fill: number): unknown => {
    const { forwards, bench } = permissions.ofKey(key(fill));
    return { exposed: forwards.exposed, bench };
  };
  expect(of(1)).toEqual({ exposed: ["a:1"], bench: false });
  expect(of(2)).toEqual({ exposed: [], bench: true });
  for (const other of [3, 4]) expect(of(other)).toEqual({ exposed: ["b:2"], bench: true });
  expect((await PeerPermissions.read(context(), {})).ofKey(key(3)).bench).toBe(false);
});

it("a line whose entry is none is named with its file and number", async () => {
  const path = keys.plant("authorized_peers", `\n${encodeKey(key(1))} permit-listen=a:b laptop\n`);
  const { code, detail } = await failureOf(PeerPermissions.read(context(), {}));
  expect(code).toBe("ERR_KEY_FILE");
  expect(detail).toContain(`Line 2 of ${path} is not understood`);
});

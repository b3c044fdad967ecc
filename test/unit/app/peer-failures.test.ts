/** What a peer is told of a failure on this side: its own words, and the kind of the failure. */
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { dial, failureForPeer } from "../../../src/app/forward/dial.ts";
import { ForwardPeer } from "../../../src/app/forward/forward-peer.ts";
import { Permissions } from "../../../src/app/forward/permissions/permissions.ts";
import { RemotePortRegistry } from "../../../src/app/forward/remote-port-registry.ts";
import { parseForward, parseTarget } from "../../../src/app/forward/spec.ts";
import { openStreamPort } from "../../../src/app/forward/stream-port.ts";
import type { ForwardFailure } from "../../../src/app/forward/watcher.ts";
import { SrudpError } from "../../../src/base/errors.ts";
import { encodeHead } from "../../../src/link/forward-records.ts";
import { MAX_SOCKET_PATH_BYTES } from "../../../src/platform/socket-path.ts";
import { linkedPair } from "../link/loopback.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "srudp-path-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe("a failure on the exposing side", () => {
  it("tells the peer neither the path nor the address behind its words, and the local user both", async () => {
    const { near, far } = await linkedPair();
    for (const link of [near, far]) link.on("error", () => undefined).resume();
    const failures: ForwardFailure[] = [];
    const path = join(folder, "private.sock");
    const [asking] = [near, far].map(
      (link) =>
        new ForwardPeer(link, {
          permissions: new Permissions(link === far ? [path, "127.0.0.0/8:1"] : []),
          remotePorts: new RemotePortRegistry(),
          watcher: { failed: (failure) => failures.push(failure) },
        }),
    );
    const toldOf = async (target: Parameters<ForwardPeer["reach"]>[0]): Promise<string> => {
      const { answered } = await asking!.reach(target);
      return answered.then(
        () => "reached",
        (error: SrudpError) => error.message,
      );
    };
    const first = await toldOf({ kind: "first" });
    expect(first).toContain("(ENOENT)");
    expect(first).not.toContain(folder);
    expect(failures[0]!.error.message).toContain(path);
    const named = await toldOf({ kind: "tcp", host: "localhost", port: 1 });
    expect(named).toContain("localhost:1 (ECONNREFUSED)");
    expect(named).not.toContain("127.0.0.1");
    expect(failures[1]!.error.message).toContain("127.0.0.1:1");
    near.destroy();
    await once(far, "close").catch(() => undefined);
  });

  it("tells the peer nothing of an error that nobody expected", () => {
    const cause = Object.assign(new TypeError(`cannot read ${folder}`), { code: `ENOENT ${folder}` });
    const { message } = failureForPeer(
      { kind: "tcp", host: "db", port: 1 },
      new SrudpError("ERR_TARGET_FAILED", String(cause), cause),
    );
    expect(message).toMatch(/^db:1: /);
    expect(message).not.toContain(folder);
  });
});

describe("the path of a socket that is too long for the system", () => {
  const long = (): string => join(folder, "x".repeat(MAX_SOCKET_PATH_BYTES - folder.length));

  it("is refused wherever a path can be given, in bytes and not in letters", () => {
    const paths = [`/${"x".repeat(MAX_SOCKET_PATH_BYTES)}`, `/${"ü".repeat(MAX_SOCKET_PATH_BYTES / 2 + 1)}`];
    for (const path of paths) {
      const usage = expect.objectContaining({
        code: "ERR_USAGE",
        detail: expect.stringContaining(`at most ${MAX_SOCKET_PATH_BYTES} bytes`),
      });
      expect(() => parseForward("L", `1080:${path}`)).toThrow(usage);
      expect(() => parseForward("L", `${path}:a:1`)).toThrow(usage);
      expect(() => parseForward("R", `${path}:/short`)).toThrow(usage);
      expect(() => parseForward("D", path)).toThrow(usage);
      expect(() => parseTarget(path)).toThrow(usage);
      expect(() => new Permissions([path])).toThrow(usage);
      expect(() => new Permissions([], [path])).toThrow(usage);
    }
    expect(() => new Permissions([`/${"x".repeat(MAX_SOCKET_PATH_BYTES - 1)}`])).not.toThrow();
  });

  it("is neither listened on nor dialled, and no socket of a shorter name appears", async () => {
    const address = { kind: "unix", path: long() } as const;
    const detail = expect.stringContaining("ENAMETOOLONG");
    const opening = openStreamPort(address, () => undefined);
    await expect(opening).rejects.toMatchObject({ code: "ERR_FORWARD_BIND", detail });
    expect(existsSync(address.path.slice(0, MAX_SOCKET_PATH_BYTES))).toBe(false);
    const dialling = dial(address, new AbortController().signal);
    await expect(dialling).rejects.toMatchObject({ code: "ERR_TARGET_FAILED", detail });
  });
});

describe("a host that is too long for the head of a stream", () => {
  it("is refused, since cut off it would be another one", () => {
    const host = "a.".repeat(600);
    expect(() => encodeHead({ kind: "tcp", host, port: 1 })).toThrow(
      expect.objectContaining({ code: "ERR_USAGE" }),
    );
  });
});

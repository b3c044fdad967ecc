/** What must not leak, looked for where it could: on the wire, in what is said, in traces, in the list of processes. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { decodeKey, decodeSecret } from "../../src/wire/key-text.ts";
import { keyCommand, newIdentity, secretFile } from "../lib/identities.ts";
import { loopback, startListener } from "../lib/pair.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";
import { Relay } from "./relay.ts";

afterEach(endAll);

const CODE = "93-zebra-velvet-quantum";
const CODE_WORDS = /zebra|velvet|quantum/i;
const PASSPHRASE = "tangerine submarine xylophone";
const PLAINTEXT = "the quick brown canary jumps over the lazy relay; ".repeat(400);

/** Everything that anybody could read of these processes, but for their descriptors. */
function visibleOf(processes: readonly SrudpProcess[], folders: readonly string[]): string {
  const said = processes.map((one) => one.said);
  const listed = processes.map(({ pid }) => readFileSync(`/proc/${pid}/cmdline`, "latin1"));
  const titles = processes.map(({ pid }) => readFileSync(`/proc/${pid}/comm`, "latin1"));
  const files = folders.flatMap((folder) =>
    readdirSync(folder).map((name) => name + readFileSync(join(folder, name), "latin1")),
  );
  return [...said, ...listed, ...titles, ...files].join("\n");
}

interface Session {
  readonly capture: Buffer;
  /** Read while the link stood. */
  readonly visible: string;
}

/** A whole session through a relay, with everything that can be told told. */
async function session(
  listenWords: readonly string[],
  connectWords: readonly string[],
  homes: readonly [string, string],
  env: Readonly<Record<string, string>> = {},
): Promise<Session> {
  const qlog = temporaryFolder();
  const loud = ["-vv", "--qlog", qlog];
  const { listener, port } = await startListener([...listenWords, ...loud], { configHome: homes[0], env });
  const relay = await Relay.open(port);
  const connector = SrudpProcess.start(["connect", relay.address, ...connectWords, ...loud], {
    configHome: homes[1],
    env,
  });
  await Promise.all([listener.event("connected"), connector.event("connected")]);
  await connector.input.write(PLAINTEXT);
  expect(await listener.output.takeText(PLAINTEXT.length)).toBe(PLAINTEXT);
  await listener.input.write(PLAINTEXT);
  expect(await connector.output.takeText(PLAINTEXT.length)).toBe(PLAINTEXT);
  const during = visibleOf([listener, connector], [qlog]);
  connector.input.end();
  listener.input.end();
  expect([await connector.exit(), await listener.exit()]).toEqual([0, 0]);
  const after = readdirSync(qlog).map((name) => readFileSync(join(qlog, name), "latin1"));
  expect(after.length, "both sides left a trace").toBe(2);
  relay.close();
  const visible = [during, listener.said, connector.said, ...after].join("\n");
  expect(visible).toContain("connected");
  return { capture: Buffer.concat(relay.capture), visible };
}

/** Whether a secret is in there in any form in which it could have got there. */
function holds(visible: string, secret: Uint8Array): boolean {
  const forms = (["hex", "base64", "base64url", "latin1"] as const).map((form) =>
    Buffer.from(secret).toString(form),
  );
  return forms.some((form) => visible.includes(form.replace(/=+$/, "")));
}

describe("a session", () => {
  it("32 · by a code shows neither code nor plaintext nor keys, on the wire or anywhere else", async () => {
    const [a, b] = [await newIdentity(), await newIdentity()];
    const words = [
      ["--save", "bob"],
      ["--save", "alice"],
    ] as const;
    const { capture, visible } = await session(words[0], words[1], [a.configHome, b.configHome], {
      SRUDP_CODE: CODE,
    });
    expect(visible).not.toMatch(CODE_WORDS);
    expect(visible).not.toContain("canary");
    expect(capture.length).toBeGreaterThan(2 * PLAINTEXT.length);
    expect(capture.toString("latin1")).not.toMatch(CODE_WORDS);
    expect(capture.includes("canary")).toBe(false);
    for (const { key, configHome } of [a, b]) {
      expect(capture.includes(Buffer.from(decodeKey(key))), "a static key on the wire").toBe(false);
      const identity = readFileSync(join(configHome, "srudp", "identity"), "latin1");
      const secretKey = /srudpi1\w+/.exec(identity)![0];
      expect(visible).not.toContain(secretKey);
    }
  });

  it("32 · by a secret or a passphrase shows neither", async () => {
    const text = await keyCommand(["secret"]);
    const homes = [temporaryFolder(), temporaryFolder()] as const;
    const bySecret = ["--secret-file", secretFile(text)];
    const { capture, visible } = await session(bySecret, bySecret, homes);
    expect(visible).not.toContain(text);
    expect(holds(visible, decodeSecret(text))).toBe(false);
    expect(capture.includes(Buffer.from(decodeSecret(text)))).toBe(false);
    expect(capture.includes("canary")).toBe(false);

    const byPassphrase = ["--passphrase-file", secretFile(PASSPHRASE)];
    const other = await session(byPassphrase, byPassphrase, homes);
    expect(other.visible).not.toMatch(/tangerine|xylophone/);
    expect(other.capture.includes("tangerine")).toBe(false);
  });
});

describe("a secret in the wrong place", () => {
  it("32 · a code, ticket or secret among the arguments is gone from the list of processes before the first event", async () => {
    const secret = await keyCommand(["secret"]);
    const { port } = await startListener([], { env: { SRUDP_CODE: CODE } });
    for (const [word, trace] of [
      [CODE, CODE_WORDS],
      [CODE.replaceAll("-", " "), CODE_WORDS],
      [secret, new RegExp(secret)],
      [`srudpt1${"A".repeat(60)}`, /srudpt1A/],
    ] as const) {
      const command = SrudpProcess.start(["connect", word, "-w", "20", "--no-dht", "--no-lan"], { env: {} });
      const seen = new Set<string>();
      const watch = setInterval(() => {
        try {
          seen.add(readFileSync(`/proc/${command.pid}/cmdline`, "latin1"));
        } catch {
          // It has ended.
        }
      }, 1);
      await Promise.race([command.event("hello"), command.ended]);
      clearInterval(watch);
      const last = [...seen].at(-1) ?? "";
      expect(last, "the last that was seen before the event").not.toMatch(trace);
      expect(command.said).not.toMatch(trace);
    }
    expect(port).toBeGreaterThan(0);
  });

  it("32 · what was mistyped is not repeated in any error", async () => {
    const mistypes = [
      ["connect", loopback(9), "--peer", "srudps1qqqqcanaryqqqq"],
      ["connect", "93-zebra-velvet-quantumm"],
      ["listen", "4242", "--allow", "srudps1qqqqcanaryqqqq"],
      ["connect", "93-zebra-velvet-quantum:99"],
      ["frobnicate", "93-zebra-velvet-quantum"],
    ];
    for (const words of mistypes) {
      const command = SrudpProcess.start(words, { env: { SRUDP_CODE: "93-zebra-velvet-canary" } });
      await command.failure();
      expect(command.said, words.join(" ")).not.toMatch(/canaryq|zebra-velvet|velvet-canary/);
    }
  });
});

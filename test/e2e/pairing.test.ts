/** `--save`: two that met by a code once know each other from then on, until one forgets the other. */
import { mkdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { CODE, loopback, startListener } from "../lib/pair.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";

afterEach(endAll);

interface Sides {
  readonly listener: SrudpProcess;
  readonly connector: SrudpProcess;
  readonly port: number;
}

/** Two sides that meet by a code, each with what it adds to the command line, and end in order. */
async function meet(
  listenHome: string,
  connectHome: string,
  listenWords: readonly string[],
  connectWords: readonly string[],
): Promise<Sides> {
  const env = { SRUDP_CODE: CODE };
  const { listener, port } = await startListener(listenWords, { configHome: listenHome, env });
  const connector = SrudpProcess.start(["connect", loopback(port), ...connectWords], {
    configHome: connectHome,
    env,
  });
  await finish(listener, connector);
  return { listener, connector, port };
}

async function finish(listener: SrudpProcess, connector: SrudpProcess): Promise<void> {
  await Promise.all([listener.event("connected"), connector.event("connected")]);
  connector.input.end();
  listener.input.end();
  expect(await connector.exit()).toBe(0);
  expect(await listener.exit()).toBe(0);
}

async function peersOf(configHome: string): Promise<SrudpProcess["events"]> {
  const list = SrudpProcess.start(["peers", "list"], { configHome });
  const lines = (await list.output.rest()).toString().split("\n");
  expect(await list.exit()).toBe(0);
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line));
}

const eventsOf = ({ events }: SrudpProcess, name: string) => events.filter(({ event }) => event === name);

describe("--save on both sides", () => {
  it("pairs them: the name stands for key and address, no code is needed, and forgetting ends it", async () => {
    const [a, b] = [temporaryFolder(), temporaryFolder()];
    const first = await meet(a, b, ["--save", "bob"], ["--save", "alice"]);
    expect(eventsOf(first.connector, "paired")).toMatchObject([
      { name: "alice", address: loopback(first.port) },
    ]);
    expect(eventsOf(first.listener, "paired")).toMatchObject([{ name: "bob" }]);
    expect(await peersOf(b)).toMatchObject([{ kind: "paired", name: "alice" }]);

    // By name alone, at the address where it was; a code is made there, and not asked for here.
    const listener = SrudpProcess.start(["listen", String(first.port)], { configHome: a });
    await listener.event("listening");
    const connector = SrudpProcess.start(["connect", "alice"], { configHome: b });
    expect(await connector.event("connected")).toMatchObject({ auth: "key" });
    connector.input.end();
    listener.input.end();
    expect([await connector.exit(), await listener.exit()]).toEqual([0, 0]);

    // At another address the name is a pin, and on the other side the one that is let in.
    const second = await startListener(["--allow", "bob"], { configHome: a });
    const pinned = SrudpProcess.start(["connect", loopback(second.port), "--peer", "alice"], {
      configHome: b,
    });
    await finish(second.listener, pinned);

    const forget = SrudpProcess.start(["peers", "forget", "bob"], { configHome: a });
    expect(await forget.exit()).toBe(0);
    expect(await peersOf(a)).toEqual([]);
    const third = await startListener([], { configHome: a });
    const refused = SrudpProcess.start(["connect", loopback(third.port), "--peer", "alice", "-w", "2"], {
      configHome: b,
    });
    expect((await refused.failure()).status).toBe(75);
  });

  it("leaves another key at the saved address no way in", async () => {
    const [a, b, c] = [temporaryFolder(), temporaryFolder(), temporaryFolder()];
    const { port } = await meet(a, b, ["--save", "bob"], ["--save", "alice"]);
    const impostor = SrudpProcess.start(["listen", String(port), "--accept-new"], { configHome: c });
    await impostor.event("listening");
    const connector = SrudpProcess.start(["connect", "alice"], { configHome: b });
    expect(await connector.failure()).toMatchObject({ status: 77, code: "ERR_PEER_KEY" });
  });
});

describe("--save on two sides of which one cannot write", () => {
  it("saves on neither, and both say so", async () => {
    const [a, b] = [temporaryFolder(), temporaryFolder()];
    // Nothing can be written while the lock of another writer is there, and this one is never given back.
    mkdirSync(join(b, "srudp", "peers.new"), { recursive: true, mode: 0o700 });
    const env = { SRUDP_CODE: CODE };
    const { listener, port } = await startListener(["--save", "bob"], { configHome: a, env });
    const connector = SrudpProcess.start(["connect", loopback(port), "--save", "alice"], {
      configHome: b,
      env,
    });
    expect(await connector.failure()).toMatchObject({ status: 78, code: "ERR_KEY_FILE" });
    expect(await listener.event("unpaired")).toMatchObject({ name: "bob", isSaved: false });
    expect((await listener.failure()).status).toBe(74);
    rmdirSync(join(b, "srudp", "peers.new"));
    expect([...(await peersOf(a)), ...(await peersOf(b))]).toEqual([]);
  });
});

describe("--save on a link that ends at once", () => {
  it("pairs both all the same", async () => {
    const [a, b] = [temporaryFolder(), temporaryFolder()];
    const env = { SRUDP_CODE: CODE };
    const { listener, port } = await startListener(["--save", "bob"], {
      configHome: a,
      env,
      stdin: "nothing",
    });
    const words = ["connect", loopback(port), "--save", "alice"];
    const connector = SrudpProcess.start(words, { configHome: b, env, stdin: "nothing" });
    expect([await connector.exit(), await listener.exit()]).toEqual([0, 0]);
    expect(await peersOf(a)).toMatchObject([{ kind: "paired", name: "bob" }]);
    expect(await peersOf(b)).toMatchObject([{ kind: "paired", name: "alice" }]);
  });
});

describe("--save on one side only", () => {
  it.each(["listener", "connector"])("keeps nothing, and says so (%s)", async (which) => {
    const [a, b] = [temporaryFolder(), temporaryFolder()];
    const save = ["--save", "somebody"];
    const sides = await meet(a, b, which === "listener" ? save : [], which === "connector" ? save : []);
    expect(eventsOf(which === "listener" ? sides.listener : sides.connector, "unpaired")).toHaveLength(1);
    expect([...(await peersOf(a)), ...(await peersOf(b))]).toEqual([]);
  });
});

describe("srudp peers", () => {
  it("adds a peer whose key was told, and prints it in prose", async () => {
    const [a, b] = [temporaryFolder(), temporaryFolder()];
    const key = async (configHome: string): Promise<string> => {
      const command = SrudpProcess.start(["key"], { configHome, prose: true });
      return (await command.output.rest()).toString().trim();
    };
    const [keyA, keyB] = [await key(a), await key(b)];
    const { listener, port } = await startListener(["--allow", keyB, "--silent"], { configHome: a });
    const add = SrudpProcess.start(["peers", "add", "alice", keyA, loopback(port)], { configHome: b });
    expect(await add.exit()).toBe(0);
    const list = SrudpProcess.start(["peers"], { configHome: b, prose: true });
    expect((await list.output.rest()).toString()).toBe(`alice  paired   ${keyA}  ${loopback(port)}\n`);
    await finish(listener, SrudpProcess.start(["connect", "alice"], { configHome: b }));

    const taken = SrudpProcess.start(["peers", "add", "Alice", keyB], { configHome: b });
    expect((await taken.failure()).status).toBe(78);
    const unknown = SrudpProcess.start(["peers", "forget", "carol"], { configHome: b });
    expect((await unknown.failure()).status).toBe(68);
  });
});

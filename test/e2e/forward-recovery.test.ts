/** Forwards whose peer goes away and comes back, and many clients at once. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { pause, within } from "../lib/deadline.ts";
import {
  endServers,
  type Forwarding,
  freePort,
  secretWords,
  serve,
  startForwarding,
} from "../lib/forwarding.ts";
import { loopback } from "../lib/pair.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";

afterEach(async () => {
  endServers();
  await endAll();
});

/** What a server of `serve` sent to a client that came by `port`, undefined where there was a reset. */
async function ask(port: number): Promise<string | undefined> {
  const socket = connect(port, "127.0.0.1");
  return text(socket).catch(() => undefined);
}

describe("a peer that is killed and started again", () => {
  it.each(["SIGKILL", "SIGTERM"] as const)(
    "(%s) is forwarded to within 5 s, by -L and by -R",
    async (signal) => {
      const target = await serve((socket) => socket.end("here"));
      const remote = await freePort();
      const port = await freePort();
      const trust = secretWords();
      const words = ["listen", String(port), "-k", ...trust];
      const permit = ["--expose", `127.0.0.1:${target}`, "--permit-listen", String(remote)];
      const first = SrudpProcess.start([...words, ...permit], { stdin: "nothing" });
      await first.event("listening");
      const forwarder = SrudpProcess.start([
        ...["forward", loopback(port), ...trust],
        ...["-L", `0:127.0.0.1:${target}`, "-R", `${remote}:127.0.0.1:${target}`],
      ]);
      const local = Number((await forwarder.event("forwarding")).bind.split(":").pop());
      await forwarder.event("forwarding");
      expect([await ask(local), await ask(remote)]).toEqual(["here", "here"]);

      first.kill(signal);
      await first.ended;
      const second = SrudpProcess.start([...words, ...permit], { stdin: "nothing" });
      await second.event("listening");
      const startedMs = performance.now();
      await forwarder.event("forwarding", 10_000);
      expect(performance.now() - startedMs).toBeLessThan(5000);
      expect([await ask(local), await ask(remote)]).toEqual(["here", "here"]);
    },
  );
});

describe("a peer that came by a one-use code", () => {
  const start = async (save: { forwarder: string[]; listener: string[] }) => {
    const code = join(temporaryFolder(), "code");
    writeFileSync(code, "42-ocean-lizard-maple\n");
    const configHome = temporaryFolder();
    const target = await serve((socket) => socket.end("here"));
    const port = await freePort();
    const expose = ["--expose", `127.0.0.1:${target}`];
    const listen = (...words: string[]): SrudpProcess =>
      SrudpProcess.start(["listen", String(port), ...expose, ...words], { stdin: "nothing", configHome });
    const listener = listen("--code-file", code, ...save.listener);
    await listener.event("listening");
    const forwarder = SrudpProcess.start([
      ...["forward", loopback(port), "--code-file", code, ...save.forwarder],
      ...["-L", `0:127.0.0.1:${target}`],
    ]);
    const local = Number((await forwarder.event("forwarding")).bind.split(":").pop());
    await forwarder.event("connected");
    expect(await ask(local)).toBe("here");
    return { listen, listener, forwarder, local };
  };

  it("is gone when it ends: the forward ends too, and says what would have helped", async () => {
    const { listener, forwarder } = await start({ forwarder: [], listener: [] });
    listener.kill("SIGTERM");
    const failed = await forwarder.failure(5000);
    expect(failed).toMatchObject({ status: 74, code: "ERR_CODE_SPENT" });
    expect(failed.message).toContain("--save");
  });

  it("may be asleep when it is silent: the forward stays, and says that only that link comes back", async () => {
    const { listener, forwarder } = await start({ forwarder: [], listener: [] });
    listener.kill("SIGKILL");
    expect(await forwarder.event("silent")).toMatchObject({ isRepeatable: false });
    forwarder.kill("SIGTERM");
    expect(await forwarder.exit()).toBe(143);
  });

  it("and was paired on that link is found again by its key", async () => {
    const save = { forwarder: ["--save", "office"], listener: ["--save", "laptop"] };
    const { listen, listener, forwarder, local } = await start(save);
    await forwarder.event("paired");
    await listener.event("paired");
    listener.kill("SIGKILL");
    await listener.ended;
    await listen("-k").event("listening");
    expect(await forwarder.event("connected")).toMatchObject({ auth: "key" });
    expect(await ask(local)).toBe("here");
  });
});

describe("a forwarder that is killed and started again", () => {
  it("gets its port at the peer back", async () => {
    const target = await serve((socket) => socket.end("here"));
    const remote = await freePort();
    const forward = ["-R", `${remote}:127.0.0.1:${target}`];
    const link = await startForwarding({ listen: ["--permit-listen", String(remote)], forward });
    link.forwarder.kill("SIGKILL");
    await link.forwarder.ended;
    const second = SrudpProcess.start(["forward", loopback(link.port), ...link.trust, ...forward]);
    await second.event("forwarding", 10_000);
    expect(await ask(remote)).toBe("here");
  });
});

describe("a network that sleeps", () => {
  /** A connection that is echoed, over a line of 10 ms there and back. */
  const startEcho = async (): Promise<{ link: Forwarding; socket: Socket }> => {
    const echo = await serve((socket) => socket.pipe(socket));
    const link = await startForwarding({
      listen: ["--expose", `127.0.0.1:${echo}`],
      forward: ["-L", `0:127.0.0.1:${echo}`],
      between: { delayMs: 5 },
    });
    await link.forwarder.event("connected");
    const socket = connect(link.ports[0]!, "127.0.0.1");
    socket.setEncoding("utf8");
    expect(await echoed(socket, "before")).toBe("before");
    return { link, socket };
  };
  const sleepMs = process.env.SRUDP_LONG === "1" ? 60_000 : 12_000;

  it("leaves open connections as they were, and new ones wait for it", { timeout: 90_000 }, async () => {
    const { link, socket } = await startEcho();
    const { forwarder, line, ports } = link;
    await line!.blackHole(0, sleepMs);
    await pause(sleepMs - 1000);
    const startedMs = performance.now();
    const during = connect(ports[0]!, "127.0.0.1");
    during.setEncoding("utf8");
    expect(await Promise.all([echoed(socket, "after"), echoed(during, "meanwhile")])).toEqual([
      "after",
      "meanwhile",
    ]);
    expect(performance.now() - startedMs).toBeLessThan(6000);
    expect(forwarder.events.filter(({ event }) => event === "connected")).toHaveLength(1);
    socket.destroy();
    during.destroy();
  });

  it.each(["client", "target", "both"] as const)(
    "and one that moves (%s) leaves them as they were too",
    async (side) => {
      const { link, socket } = await startEcho();
      await link.line!.rebind(side);
      expect(await echoed(socket, "after")).toBe("after");
      expect(link.forwarder.events.filter(({ event }) => event === "connected")).toHaveLength(1);
      socket.destroy();
    },
  );
});

describe("without a peer", () => {
  it("a forward that never had one gives up after -w, and one whose port is taken at once", async () => {
    const trust = secretWords();
    const gone = await freePort();
    const alone = SrudpProcess.start(["forward", loopback(gone), ...trust, "-w", "1", "-L", "0:a:1"]);
    expect(await alone.failure()).toMatchObject({ status: 75, code: "ERR_TIMEOUT" });
    const taken = await serve(() => undefined);
    const late = SrudpProcess.start(["forward", loopback(gone), ...trust, "-L", `${taken}:a:1`]);
    expect(await late.failure()).toMatchObject({ status: 71, code: "ERR_FORWARD_BIND" });
  });
});

describe("a network that is not there yet", () => {
  it("is waited for with -w 0, and not without", async () => {
    const trust = secretWords();
    const listener = SrudpProcess.start(["listen", "0", "-k", ...trust], { stdin: "nothing" });
    const { port } = await listener.event("listening");
    const squatter = createSocket("udp4");
    squatter.bind(0);
    await once(squatter, "listening");
    const own = ["-4", "-p", String(squatter.address().port), "-D", "0"];
    const words = ["forward", loopback(port), ...trust, ...own];
    expect(await SrudpProcess.start(words).failure()).toMatchObject({ status: 71, code: "ERR_BIND" });
    const patient = SrudpProcess.start([...words, "-w", "0"]);
    expect(await patient.event("lost")).toMatchObject({ code: "ERR_BIND" });
    squatter.close();
    await patient.event("connected");
  });
});

describe("many connections", () => {
  const count = 500;
  const bytes = 50_000;
  const withinMs = 30_000;

  it("opened at once all carry their own bytes, and stalled ones delay no other", async () => {
    const echo = await serve((socket) => socket.pipe(socket));
    const stalled = await serve((socket) => socket.end(Buffer.alloc(4_000_000)));
    const link = await startForwarding({
      listen: ["--expose", `127.0.0.1:${echo}`, "--expose", `127.0.0.1:${stalled}`],
      forward: ["-L", `0:127.0.0.1:${echo}`, "-L", `0:127.0.0.1:${stalled}`],
    });
    const [port, stalledPort] = link.ports;
    const sleepers = Array.from({ length: 5 }, () => connect(stalledPort!, "127.0.0.1").pause());
    await pause(300);
    const all = Array.from({ length: count }, async (_, i) => {
      const socket = connect(port!, "127.0.0.1");
      const sent = Buffer.alloc(bytes, i);
      socket.end(sent);
      const pieces: Buffer[] = [];
      for await (const piece of socket) pieces.push(piece as Buffer);
      return Buffer.concat(pieces).equals(sent);
    });
    const intact = await within(Promise.all(all), withinMs, () => "not all came back");
    expect(intact.filter((one) => one)).toHaveLength(count);
    for (const side of [link.forwarder, link.listener])
      expect(side.events.filter(({ event }) => ["unforwarded", "lost"].includes(event))).toHaveLength(0);
    for (const sleeper of sleepers) sleeper.destroy();
  });
});

/** Sends `words` and waits for as many characters. */
function echoed(socket: Socket, words: string): Promise<string> {
  return within(
    new Promise((resolve) => {
      let heard = "";
      const take = (piece: string): void => {
        heard += piece;
        if (heard.length < words.length) return;
        socket.off("data", take);
        resolve(heard);
      };
      socket.on("data", take);
      socket.write(words);
    }),
    20_000,
    () => `no echo of ${words}`,
  );
}

/** How TCP connections end: through a forward a client sees what it would see without one. */
import { readSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pause } from "../lib/deadline.ts";
import { endServers, type Forwarding, serve, startForwarding } from "../lib/forwarding.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";
import { seen } from "../lib/tcp-client.ts";

interface Case {
  readonly name: string;
  /** @param tell what this end saw, to be compared as well */
  readonly server: (socket: Socket, report: (what: string) => void) => void;
  readonly client: (socket: Socket) => void | Promise<void>;
}

const BIG = "x".repeat(3_000_000);

const CASES: readonly Case[] = [
  {
    name: "the client's FIN first",
    server: (socket) => onEnd(socket, () => socket.end("bye")),
    client: (socket) => void socket.end("hello"),
  },
  {
    name: "the server's FIN first, with data the other way",
    server: (socket) => {
      socket.end("server has done");
      socket.resume();
    },
    client: (socket) => {
      socket.on("end", () => socket.end("client goes on"));
    },
  },
  {
    name: "both at once",
    server: (socket) => void socket.resume().end("from the server"),
    client: (socket) => void socket.end("from the client"),
  },
  {
    name: "no byte at all",
    server: (socket) => void socket.resume().end(),
    client: (socket) => void socket.end(),
  },
  {
    name: "half-closed for 10 s with data the other way",
    server: (socket) =>
      onEnd(socket, async () => {
        for (let i = 0; i < 10; i++) {
          socket.write(`piece ${i} `);
          await pause(1000);
        }
        socket.end("last");
      }),
    client: (socket) => void socket.end("go"),
  },
  {
    name: "half-closed by the server for 10 s with data the other way",
    server: (socket, report) => {
      let heard = "";
      socket.end("your turn");
      socket.on("data", (bytes) => {
        heard += bytes;
      });
      socket.on("end", () => report(heard));
    },
    client: (socket) => {
      socket.on("end", async () => {
        for (let i = 0; i < 10; i++) {
          await pause(1000);
          socket.write(`piece ${i} `);
        }
        socket.end("last");
      });
    },
  },
  {
    name: "RST from the server at once",
    server: (socket) => void socket.resetAndDestroy(),
    client: () => undefined,
  },
  {
    name: "RST from the server behind data",
    server: (socket) => void socket.write("half a sen", () => setTimeout(() => socket.resetAndDestroy(), 50)),
    client: () => undefined,
  },
  {
    name: "RST from the server after the client's FIN",
    server: (socket) => onEnd(socket, () => socket.resetAndDestroy()),
    client: (socket) => void socket.end("hello"),
  },
  {
    name: "megabytes and FIN to a client that reads slowly",
    server: (socket) => void socket.resume().end(BIG),
    client: async (socket) => {
      socket.pause();
      await pause(300);
      socket.resume();
      socket.end();
    },
  },
  {
    name: "an orderly close by the server while the client goes on sending",
    server: (socket) => {
      socket.once("data", () => socket.destroy());
    },
    client: async (socket) => {
      socket.write("first");
      for (let i = 0; i < 20 && !socket.destroyed; i++) {
        await pause(20);
        if (socket.writable) socket.write("more");
      }
    },
  },
];

describe("through a forward", () => {
  let link: Forwarding;
  let direct: number[];
  let forwarded: number[];
  /** By the servers, about both clients. */
  const reported: string[][] = CASES.map(() => []);

  beforeAll(async () => {
    direct = await Promise.all(
      CASES.map(({ server }, at) => serve((socket) => server(socket, (what) => reported[at]!.push(what)))),
    );
    link = await startForwarding({
      listen: direct.flatMap((port) => ["--expose", `127.0.0.1:${port}`]),
      forward: direct.flatMap((port) => ["-L", `0:127.0.0.1:${port}`]),
    });
    forwarded = [...link.ports];
  });
  afterAll(async () => {
    endServers();
    await endAll();
  });

  // Some take long by their nature: all at once.
  it.concurrent.for(CASES.map(({ name }, index) => [name, index] as const))(
    "%s ends as without",
    async ([, index], { expect }) => {
      const { client, server } = CASES[index]!;
      const [plain, through] = await Promise.all([
        seen(direct[index]!, client),
        seen(forwarded[index]!, client),
      ]);
      expect(through).toEqual(plain);
      if (server.length < 2) return;
      await expect.poll(() => reported[index]).toHaveLength(2);
      expect(reported[index]![0]).toBe(reported[index]![1]);
    },
  );

  it.each([
    ["", (socket: Socket) => socket],
    [", after the server's own end", (socket: Socket) => socket.end()],
  ])("a client's RST reaches the server as one, also when its bytes had to wait%s", async (_, begin) => {
    const ends: string[] = [];
    const port = await serve((socket) => {
      begin(socket);
      socket.on("error", (error: NodeJS.ErrnoException) => ends.push(error.code ?? ""));
      socket.on("end", () => ends.push(endOf(socket)));
      // Nobody reads for a while: the forward has to hold the client back, and its reading of it is paused.
      setTimeout(() => socket.resume(), 1000);
    });
    const through = await startForwarding({
      listen: ["--expose", `127.0.0.1:${port}`],
      forward: ["-L", `0:127.0.0.1:${port}`],
    });
    const socket = connect({ port: through.ports[0]!, host: "127.0.0.1", allowHalfOpen: true });
    socket.resume();
    socket.write(Buffer.alloc(30_000_000));
    await pause(500);
    socket.resetAndDestroy();
    await expect.poll(() => ends, { timeout: 10_000 }).toEqual(["ECONNRESET"]);
  });

  it("a refusal is an immediate reset, and the cause stands on stderr", async () => {
    const through = await startForwarding({
      listen: ["--expose", "127.0.0.1:1"],
      forward: ["-L", "0:127.0.0.1:1"],
    });
    const startMs = performance.now();
    expect(await seen(through.ports[0]!, () => undefined)).toEqual({ received: "", end: "ECONNRESET" });
    expect(performance.now() - startMs).toBeLessThan(1000);
    expect(await through.forwarder.event("unforwarded")).toMatchObject({ code: "ERR_TARGET_REFUSED" });
    expect(await through.listener.event("unforwarded")).toMatchObject({ code: "ERR_TARGET_REFUSED" });
  });
});

function onEnd(socket: Socket, then: () => void): void {
  socket.resume();
  socket.on("end", then);
}

/** What the system says of an end: this server's reading was paused as well, and Node takes every end for an orderly one. */
function endOf(socket: Socket): string {
  const { fd } = (socket as unknown as { readonly _handle: { readonly fd: number } })._handle;
  try {
    readSync(fd, Buffer.alloc(1));
    return "end";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "";
  }
}

describe("a target that reads nothing", () => {
  it("is let go when the link ends, though bytes for it wait", async () => {
    const env = { XDG_RUNTIME_DIR: temporaryFolder() };
    const target = await serve((socket) => void socket.pause());
    const { listener, forwarder, ports } = await startForwarding({
      listen: ["--expose", `127.0.0.1:${target}`],
      forward: ["-L", `0:127.0.0.1:${target}`],
      env,
    });
    await forwarder.event("connected");
    const client = connect(ports[0]!, "127.0.0.1");
    client.on("error", () => undefined);
    // More than all buffers on the way take.
    client.write(Buffer.alloc(64 * 1024 * 1024));
    // Until nothing moves any more: then bytes wait at the listener for the target.
    const look = async (): Promise<boolean> => {
      const status = SrudpProcess.start(["status"], { env, stdin: "nothing" });
      const lines = (await status.output.rest()).toString().trim().split("\n");
      const [link] = lines.map((line) => JSON.parse(line)).find(({ pid }) => pid === listener.pid).links;
      return link.receivedBytes > 1_000_000 && link.receivedPerSecond < 10_000;
    };
    await expect.poll(look, { timeout: 20_000 }).toBe(true);
    expect(await listener.held()).toMatchObject({ "active TCPSocketWrap": 1 });
    forwarder.kill("SIGTERM");
    await forwarder.ended;
    const sockets = async (): Promise<number> => (await listener.held())?.["active TCPSocketWrap"] ?? 0;
    await expect.poll(sockets, { timeout: 10_000 }).toBe(0);
  });
});

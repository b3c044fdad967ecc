/** How TCP connections end: through a forward a client sees what it would see without one. */
import { connect, type Socket } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pause, within } from "../lib/deadline.ts";
import { endServers, type Forwarding, serve, startForwarding } from "../lib/forwarding.ts";
import { endAll } from "../lib/srudp-process.ts";

/** What one client saw: the bytes, and how it ended. */
interface Seen {
  readonly received: string;
  readonly end: string;
}

interface Case {
  readonly name: string;
  readonly server: (socket: Socket) => void;
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
    name: "half-closed for seconds with data the other way",
    server: (socket) =>
      onEnd(socket, async () => {
        for (let i = 0; i < 6; i++) {
          socket.write(`piece ${i} `);
          await pause(500);
        }
        socket.end("last");
      }),
    client: (socket) => void socket.end("go"),
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

  beforeAll(async () => {
    direct = await Promise.all(CASES.map(({ server }) => serve(server)));
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

  it.each(CASES.map(({ name }, index) => [name, index] as const))("%s ends as without", async (_, index) => {
    const { client } = CASES[index]!;
    const [plain, through] = await Promise.all([
      seen(direct[index]!, client),
      seen(forwarded[index]!, client),
    ]);
    expect(through).toEqual(plain);
  });

  it("a client's RST reaches the server as one, also when its bytes had to wait", async () => {
    const ends: string[] = [];
    const port = await serve((socket) => {
      socket.on("error", (error: NodeJS.ErrnoException) => ends.push(error.code ?? ""));
      // This server's own reading is paused as well: Node then takes the reset for an end, but nobody is there.
      socket.on("end", () => ends.push(socket.remoteAddress === undefined ? "ECONNRESET" : "end"));
      // Nobody reads for a while: the forward has to hold the client back, and its reading of it is paused.
      setTimeout(() => socket.resume(), 1000);
    });
    const through = await startForwarding({
      listen: ["--expose", `127.0.0.1:${port}`],
      forward: ["-L", `0:127.0.0.1:${port}`],
    });
    const socket = connect(through.ports[0]!, "127.0.0.1");
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

/** What a client of `port` on the loopback sees. */
async function seen(port: number, client: Case["client"]): Promise<Seen> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  let received = "";
  let end = "";
  const over = new Promise<void>((resolve) => {
    socket.on("data", (bytes) => {
      received += bytes;
    });
    socket.on("end", () => {
      end += "FIN";
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      end += error.code === "EPIPE" ? "ECONNRESET" : error.code;
    });
    socket.on("close", () => resolve());
  });
  socket.on("connect", () => void client(socket));
  await within(over, 15_000, () => `port ${port}: still open after ${received.length} bytes ${end}`);
  return { received: received.length > 100 ? `${received.length} bytes` : received, end };
}

function onEnd(socket: Socket, then: () => void): void {
  socket.resume();
  socket.on("end", then);
}

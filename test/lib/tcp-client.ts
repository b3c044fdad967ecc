/** TCP clients that tell what they saw: the bytes that came, and how it ended. */
import { connect, type Socket } from "node:net";
import { within } from "./deadline.ts";

export interface Seen {
  /** The bytes as latin1 characters, or how many there were where there were many. */
  readonly received: string;
  /** "FIN", the code of the error, or both. */
  readonly end: string;
}

const MANY_BYTES = 100;

/** What a client of `port` sees that does this once it is connected. */
export async function seen(
  port: number,
  client: (socket: Socket) => void | Promise<void>,
  { host = "127.0.0.1", withinMs = 20_000 }: { host?: string; withinMs?: number } = {},
): Promise<Seen> {
  const socket = connect({ port, host, allowHalfOpen: true });
  socket.setEncoding("latin1");
  let received = "";
  let end = "";
  const over = new Promise<void>((resolve) => {
    socket.on("data", (text: string) => {
      received += text;
    });
    socket.on("end", () => {
      end += "FIN";
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      // Which of the two it is depends on who was faster, with or without a forward.
      end += error.code === "EPIPE" ? "ECONNRESET" : error.code;
    });
    socket.on("close", () => resolve());
  });
  socket.on("connect", () => void client(socket));
  await within(over, withinMs, () => `port ${port}: still open after ${received.length} bytes ${end}`);
  return { received: received.length > MANY_BYTES ? `${received.length} bytes` : received, end };
}

/** The control socket of a running process. */
import { createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { SrudpError } from "../../base/errors.ts";
import { controlPath } from "./control-folder.ts";
import type { ControlAnswer, ControlRequest } from "./control-records.ts";

/** A request is a line of this length at most. */
const REQUEST_LIMIT_CHARACTERS = 4096;

/**
 * Answers on the socket of this process, which only its user may connect to, until the process ends.
 *
 * @throws SrudpError ERR_KEY_FILE when the folder cannot be trusted; what the system says when there can be no socket
 */
export async function serveControl(
  folder: string,
  answer: (request: ControlRequest) => Promise<ControlAnswer>,
): Promise<void> {
  const path = await controlPath(folder, process.pid);
  const server = createServer((socket) => void converse(socket, answer));
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    const before = process.umask(0o177);
    server.listen({ path }, () => {
      server.off("error", reject);
      resolve();
    });
    process.umask(before);
  });
  // It is there for whoever asks; nobody waits for it.
  server.unref();
  process.once("exit", () => server.close());
}

async function converse(
  socket: Socket,
  answer: (request: ControlRequest) => Promise<ControlAnswer>,
): Promise<void> {
  socket.on("error", () => undefined);
  socket.unref();
  for await (const line of createInterface({ input: socket })) {
    if (line.length > REQUEST_LIMIT_CHARACTERS) break;
    let reply: ControlAnswer;
    try {
      reply = await answer(JSON.parse(line) as ControlRequest);
    } catch (thrown) {
      const { code, message } = thrown instanceof SrudpError ? thrown : new SrudpError("ERR_USAGE");
      reply = { error: { code, message } };
    }
    socket.write(`${JSON.stringify(reply)}\n`);
  }
  socket.end();
}

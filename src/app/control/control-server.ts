/** The control socket of a running process. */
import { createServer, type Socket } from "node:net";
import { SrudpError } from "../../base/errors.ts";
import { controlPath } from "./control-folder.ts";
import type { ControlAnswer, ControlRequest } from "./control-records.ts";
import { onLine } from "./lines.ts";

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
  const server = createServer((socket) => converse(socket, answer));
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

function converse(socket: Socket, answer: (request: ControlRequest) => Promise<ControlAnswer>): void {
  socket.on("error", () => undefined);
  socket.unref();
  onLine(socket, (line) => {
    void answerTo(line, answer).then((reply) => socket.write(`${JSON.stringify(reply)}\n`));
  });
}

async function answerTo(
  line: string,
  answer: (request: ControlRequest) => Promise<ControlAnswer>,
): Promise<ControlAnswer> {
  try {
    return await answer(JSON.parse(line) as ControlRequest);
  } catch (thrown) {
    const { code, message } = thrown instanceof SrudpError ? thrown : new SrudpError("ERR_USAGE");
    return { error: { code, message } };
  }
}

/** The control socket of a running process. */
import { once } from "node:events";
import { unlinkSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { SrudpError } from "../../base/errors.ts";
import { socketPathError } from "../../platform/socket-path.ts";
import { controlPath, draftPath } from "./control-folder.ts";
import { type ControlAnswer, type ControlRequest, parseRequest } from "./control-messages.ts";
import { onLine } from "./lines.ts";

/**
 * Answers on the socket of this process, which only its user may connect to, until the process ends. The socket
 * accepts connections when the promise settles.
 *
 * @throws SrudpError ERR_KEY_FILE, ERR_CONTROL_FOLDER when the folder cannot be used; what the system says when there
 *   can be no socket
 */
export async function serveControl(
  folder: string,
  answer: (request: ControlRequest) => Promise<ControlAnswer>,
): Promise<void> {
  const path = await controlPath(folder, process.pid);
  // Two containers may share the folder, and each have a process of this number.
  if (await isAnswered(path)) throw new SrudpError("ERR_CONTROL_FOLDER", "Another process has that socket");
  const server = createServer((socket) => converse(socket, answer));
  await listenAt(server, path);
  // The socket does not keep the process running.
  server.unref();
  process.once("exit", () => {
    server.close();
    try {
      unlinkSync(path);
    } catch {
      // The folder was cleared away before.
    }
  });
}

/**
 * The socket gets its name when it listens already: a socket that refuses connections was left behind by a process that
 * was killed, and is replaced.
 */
async function listenAt(server: Server, path: string): Promise<void> {
  const draft = draftPath(path);
  const tooLong = socketPathError(draft);
  if (tooLong !== undefined) throw tooLong;
  await rm(draft, { force: true });
  const before = process.umask(0o177);
  try {
    server.listen({ path: draft });
  } finally {
    process.umask(before);
  }
  await once(server, "listening");
  await rename(draft, path);
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once("connect", () => {
      resolve(true);
      socket.destroy();
    });
    // EAGAIN: it is there, with more callers than it has room for.
    socket.once("error", ({ code }: NodeJS.ErrnoException) => resolve(code === "EAGAIN"));
  });
}

function converse(socket: Socket, answer: (request: ControlRequest) => Promise<ControlAnswer>): void {
  socket.on("error", () => undefined);
  socket.unref();
  const take = (line: string): void => {
    void answerTo(line, answer).then((reply) => socket.write(`${JSON.stringify(reply)}\n`));
  };
  onLine(socket, take, () => socket.destroy());
}

async function answerTo(
  line: string,
  answer: (request: ControlRequest) => Promise<ControlAnswer>,
): Promise<ControlAnswer> {
  try {
    return await answer(parseRequest(line));
  } catch (thrown) {
    const { code, message } = thrown instanceof SrudpError ? thrown : new SrudpError("ERR_INTERNAL");
    return { error: { code, message } };
  }
}

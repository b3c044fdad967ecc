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
 * Answers requests on the socket of this process until the process ends. Only the current user may
 * connect to the socket. The socket accepts connections when the promise settles.
 *
 * @throws SrudpError ERR_KEY_FILE, ERR_CONTROL_FOLDER when the folder cannot be used; a system
 * error when the socket cannot be opened
 */
export async function serveControl(
  folder: string,
  answer: (request: ControlRequest) => Promise<ControlAnswer>,
): Promise<void> {
  const path = await controlPath(folder, process.pid);
  // Two containers may share the folder and each have a process with this ID.
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
      // The folder was deleted before.
    }
  });
}

/**
 * Listens at a temporary path and then renames the socket to its final name. A socket with its
 * final name that refuses connections was therefore left behind by a process that was killed, and
 * is replaced.
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
    // EAGAIN: the socket exists, but its accept queue is full.
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

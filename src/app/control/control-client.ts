/** Sends requests to the control sockets of the current user's running processes. */
import { unlink } from "node:fs/promises";
import { connect } from "node:net";
import { SrudpError } from "../../base/errors.ts";
import { controlSockets } from "./control-folder.ts";
import {
  type ControlAnswer,
  type ControlRequest,
  type ProcessStatus,
  parseAnswer,
} from "./control-messages.ts";
import { onLine } from "./lines.ts";

/** A process that does not answer within this time is stopped or overloaded. */
const ANSWER_TIMEOUT_MS = 3000;

/** A running process, its control socket and its status. */
export interface RunningProcess {
  readonly pid: number;
  readonly path: string;
  /** The status, or the reason why it is unknown: ERR_CONTROL_TIMEOUT or ERR_CONTROL_ANSWER. */
  readonly state: ProcessStatus | SrudpError;
}

/**
 * All running processes, in the order of their IDs. Deletes the sockets that killed processes left
 * behind.
 *
 * @throws SrudpError ERR_CONTROL_FOLDER when the sockets may belong to another user; then nothing
 * was sent
 */
export async function runningProcesses(folder: string): Promise<RunningProcess[]> {
  const sockets = await controlSockets(folder);
  const found = await Promise.all(
    sockets.map(async ({ pid, path }): Promise<RunningProcess | undefined> => {
      try {
        const answer = await sendRequest(path, { do: "status" });
        if (answer === undefined) return undefined;
        return {
          pid,
          path,
          state: "status" in answer ? answer.status : new SrudpError("ERR_CONTROL_ANSWER"),
        };
      } catch (error) {
        return { pid, path, state: error as SrudpError };
      }
    }),
  );
  return found.filter((one) => one !== undefined);
}

/**
 * The answer of the process at `path`, or undefined if the process no longer exists.
 *
 * @throws SrudpError ERR_CONTROL_TIMEOUT, ERR_CONTROL_ANSWER
 */
export function sendRequest(path: string, request: ControlRequest): Promise<ControlAnswer | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    const settle = (how: () => void): void => {
      clearTimeout(timer);
      socket.destroy();
      how();
    };
    const fail = (error: SrudpError): void => settle(() => reject(error));
    const timer = setTimeout(() => fail(new SrudpError("ERR_CONTROL_TIMEOUT")), ANSWER_TIMEOUT_MS);
    socket.once("error", ({ code }: NodeJS.ErrnoException) => {
      // EAGAIN: the accept queue of the process is full.
      if (code === "EAGAIN") return fail(new SrudpError("ERR_CONTROL_TIMEOUT"));
      // A socket gets its final name only once it listens, so the process of this one has ended.
      if (code === "ECONNREFUSED") unlink(path).catch(() => undefined);
      settle(() => resolve(undefined));
    });
    socket.once("close", () => settle(() => resolve(undefined)));
    const refuse = (): void => fail(new SrudpError("ERR_CONTROL_ANSWER", "The answer is too long"));
    const take = (line: string): void => {
      try {
        const answer = parseAnswer(line);
        settle(() => resolve(answer));
      } catch (error) {
        fail(error as SrudpError);
      }
    };
    onLine(socket, take, refuse);
    socket.write(`${JSON.stringify(request)}\n`);
  });
}

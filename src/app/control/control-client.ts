/** Asks the running processes of this user. */
import { unlink } from "node:fs/promises";
import { connect } from "node:net";
import { controlPaths } from "./control-folder.ts";
import type { ControlAnswer, ControlRequest, ProcessStatus } from "./control-records.ts";
import { onLine } from "./lines.ts";

/** A process that does not answer for so long is stopped, or busy beyond help. */
const PATIENCE_MS = 3000;

/** A process that runs, and how to ask it. */
export interface RunningProcess {
  readonly path: string;
  readonly status: ProcessStatus;
}

/** All that run, in the order of their numbers; what killed ones left behind is cleared away. */
export async function runningProcesses(folder: string): Promise<RunningProcess[]> {
  const found = await Promise.all(
    (await controlPaths(folder)).map(async (path): Promise<RunningProcess | undefined> => {
      const answer = await ask(path, { do: "status" });
      return answer !== undefined && "status" in answer ? { path, status: answer.status } : undefined;
    }),
  );
  return found.filter((one) => one !== undefined).sort((one, other) => one.status.pid - other.status.pid);
}

/** The answer of the process at `path`; undefined when it does not answer, or is not there any more. */
export function ask(path: string, request: ControlRequest): Promise<ControlAnswer | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const settle = (answer: ControlAnswer | undefined): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => settle(undefined), PATIENCE_MS);
    socket.once("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "ECONNREFUSED") unlink(path).catch(() => undefined);
      settle(undefined);
    });
    socket.once("close", () => settle(undefined));
    onLine(socket, (line) => settle(JSON.parse(line) as ControlAnswer));
    socket.write(`${JSON.stringify(request)}\n`);
  });
}

/** The limit on open files, which includes sockets, and the error when it is reached. */
import { readFileSync } from "node:fs";
import { SrudpError } from "../base/errors.ts";

/** Open files that a command needs to start. Each link and each forwarded connection needs more. */
export const NEEDED_DESCRIPTORS = 80;

/**
 * Fails at startup if the limit on open files is too low. Otherwise a later operation would fail
 * with an unrelated error.
 *
 * @throws SrudpError ERR_DESCRIPTORS
 */
export function checkDescriptorLimit(limit: number | undefined = descriptorLimit()): void {
  if (limit === undefined || limit >= NEEDED_DESCRIPTORS) return;
  const detail = `${limit} open files are allowed, and srudp needs at least ${NEEDED_DESCRIPTORS}`;
  throw new SrudpError("ERR_DESCRIPTORS", detail);
}

/**
 * Converts `error` to ERR_DESCRIPTORS if it means that no further file or socket can be opened.
 * Returns undefined for other errors.
 */
export function descriptorError(error: unknown): SrudpError | undefined {
  const code = (error as Partial<NodeJS.ErrnoException> | undefined | null)?.code;
  if (code === "EMFILE")
    return new SrudpError("ERR_DESCRIPTORS", "This process has too many open files", error);
  if (code === "ENFILE")
    return new SrudpError("ERR_DESCRIPTORS", "The system has too many open files", error);
  return undefined;
}

/** The value of `ulimit -n`, or undefined if the system does not report it. */
export function descriptorLimit(): number | undefined {
  try {
    const soft = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

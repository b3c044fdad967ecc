/** The limit on open files, which sockets count as, and what is said where it is reached. */
import { readFileSync } from "node:fs";
import { SrudpError } from "../base/errors.ts";

/** Open files that a command needs to start; each link and each forwarded connection takes further ones. */
export const NEEDED_DESCRIPTORS = 80;

/**
 * Refuses to start where too few files may be open: otherwise something else fails halfway, for no visible reason.
 *
 * @throws SrudpError ERR_DESCRIPTORS
 */
export function checkDescriptorLimit(limit: number | undefined = descriptorLimit()): void {
  if (limit === undefined || limit >= NEEDED_DESCRIPTORS) return;
  const detail = `${limit} open files are allowed, and srudp needs at least ${NEEDED_DESCRIPTORS}`;
  throw new SrudpError("ERR_DESCRIPTORS", detail);
}

/** An error that says so, where `error` means that no further file or socket can be opened. */
export function descriptorError(error: unknown): SrudpError | undefined {
  const code = (error as Partial<NodeJS.ErrnoException> | undefined | null)?.code;
  if (code === "EMFILE")
    return new SrudpError("ERR_DESCRIPTORS", "This process has too many open files", error);
  if (code === "ENFILE")
    return new SrudpError("ERR_DESCRIPTORS", "The system has too many open files", error);
  return undefined;
}

/** What `ulimit -n` says; undefined where the system does not tell. */
function descriptorLimit(): number | undefined {
  try {
    const soft = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}

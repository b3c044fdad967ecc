/**
 * What still has to be said to others when a process is about to end: a router is asked to close a port again, a
 * relay is given back. Nobody waits long for it.
 */
import { resolvedWithin } from "./deadline.ts";

const TIMEOUT_MS = 1000;

const hooks: Set<Promise<unknown>> = new Set();

/** How much of it is still on its way. */
export function pendingHookCount(): number {
  return hooks.size;
}

/** Has `work` finished before the process ends. */
export function addShutdownHook(work: Promise<unknown>): void {
  hooks.add(work);
  const done = (): void => void hooks.delete(work);
  work.then(done, done);
}

/** Resolves when all is said, or after a second. */
export async function shutdownHooksDone(): Promise<void> {
  if (hooks.size === 0) return;
  await resolvedWithin(Promise.allSettled(hooks), TIMEOUT_MS);
}

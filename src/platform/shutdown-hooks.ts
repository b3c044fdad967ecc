/**
 * Work that must finish before the process exits, for example removing a port mapping or releasing
 * a relay. The exit waits for it for a short time.
 */
import { resolvedWithin } from "./deadline.ts";

const TIMEOUT_MS = 1000;

const hooks: Set<Promise<unknown>> = new Set();

/** Number of hooks still running. */
export function pendingHookCount(): number {
  return hooks.size;
}

/** Registers `work` to finish before the process exits. */
export function addShutdownHook(work: Promise<unknown>): void {
  hooks.add(work);
  const done = (): void => void hooks.delete(work);
  work.then(done, done);
}

/** Resolves when all hooks have finished, or after a second. */
export async function shutdownHooksDone(): Promise<void> {
  if (hooks.size === 0) return;
  await resolvedWithin(Promise.allSettled(hooks), TIMEOUT_MS);
}

/**
 * What still has to be said to others when a process is about to end: a router is asked to close a port again, a
 * relay is given back. Nobody waits long for it.
 */

const PATIENCE_MS = 1000;

const farewells: Set<Promise<unknown>> = new Set();

/** How much of it is still on its way. */
export function farewellCount(): number {
  return farewells.size;
}

/** Has `work` finished before the process ends. */
export function sayFarewell(work: Promise<unknown>): void {
  farewells.add(work);
  const done = (): void => void farewells.delete(work);
  work.then(done, done);
}

/** Resolves when all is said, or after a second. */
export async function farewellsSaid(): Promise<void> {
  if (farewells.size === 0) return;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, PATIENCE_MS);
  });
  await Promise.race([Promise.allSettled(farewells), late]);
  clearTimeout(timer);
}

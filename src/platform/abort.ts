/** Listens to an AbortSignal that outlives its listeners and has many of them. */
import { addAbortListener, setMaxListeners } from "node:events";

/**
 * Calls `act` once when `signal` is aborted, or at once if it already is.
 *
 * @returns removes the listener; until it is called, the signal references `act`
 */
export function onAbort(signal: AbortSignal | undefined, act: () => void): () => void {
  if (signal === undefined) return () => undefined;
  if (signal.aborted) {
    act();
    return () => undefined;
  }
  // A process has one signal for all of its links, so many listeners are not a leak and Node must
  // not warn.
  setMaxListeners(0, signal);
  const listener = addAbortListener(signal, act);
  return () => listener[Symbol.dispose]();
}

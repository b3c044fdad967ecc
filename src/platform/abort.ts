/** Waiting on a signal that outlives the wait, and that many wait on at a time. */
import { setMaxListeners } from "node:events";

/**
 * Calls `act` once when `signal` is aborted, at once if it already is.
 *
 * @returns ends that; to be called as soon as `act` is not needed any more, or the signal holds on to it
 */
export function onAbort(signal: AbortSignal | undefined, act: () => void): () => void {
  if (signal === undefined) return () => undefined;
  if (signal.aborted) {
    act();
    return () => undefined;
  }
  // A process has one signal for all of its links: many listeners are no leak, and Node need not warn of one.
  setMaxListeners(0, signal);
  signal.addEventListener("abort", act, { once: true });
  return () => signal.removeEventListener("abort", act);
}

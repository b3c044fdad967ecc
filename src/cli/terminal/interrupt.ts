/**
 * Signals: the first one asks for an end in order, the second one ends the process.
 *
 * Whoever waits for something listens to `signal`; its reason is the error that the command exits with.
 */
import { setMaxListeners } from "node:events";
import { onAbort } from "../../platform/abort.ts";
import { Interruption, SIGNAL_STATUS } from "../exit.ts";

export interface Interrupt {
  readonly signal: AbortSignal;
  /** Gives the signals back to Node. */
  release(): void;
}

/** @param beforeQuitting called when a second signal ends the process, to leave the terminal as it was */
export function catchSignals(beforeQuitting: () => void): Interrupt {
  const controller = new AbortController();
  // Every link of a listener listens, and Node would print a warning from the eleventh on.
  setMaxListeners(0, controller.signal);
  const handle = (name: NodeJS.Signals): void => {
    if (controller.signal.aborted) {
      beforeQuitting();
      process.exit(SIGNAL_STATUS[name]);
    }
    controller.abort(new Interruption(name));
  };
  const names = Object.keys(SIGNAL_STATUS) as NodeJS.Signals[];
  for (const name of names) process.on(name, handle);
  return {
    signal: controller.signal,
    release: () => {
      for (const name of names) process.off(name, handle);
    },
  };
}

/** What `wait` gives, or the reason of `signal` as soon as it is aborted. */
export async function unlessAborted<T>(signal: AbortSignal, wait: Promise<T>): Promise<T> {
  signal.throwIfAborted();
  let release = (): void => undefined;
  const aborted = new Promise<never>((_, reject) => {
    release = onAbort(signal, () => reject(signal.reason));
  });
  try {
    return await Promise.race([wait, aborted]);
  } finally {
    release();
  }
}

/**
 * Handles signals. The first signal ends the command in order, the second one ends the process.
 *
 * Every wait of a command listens to `signal`. The reason of `signal` is the error that the command
 * exits with.
 */
import { setMaxListeners } from "node:events";
import { Interruption, SIGNAL_STATUS } from "../exit.ts";

export interface Interrupt {
  readonly signal: AbortSignal;
  /** Restores Node's default handling of the signals. */
  release(): void;
}

/** @param beforeQuitting called before a second signal ends the process, to restore the terminal */
export function catchSignals(beforeQuitting: () => void): Interrupt {
  const controller = new AbortController();
  // Each link of a listener adds an abort listener, and Node would print a warning from the
  // eleventh on.
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

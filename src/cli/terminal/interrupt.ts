/**
 * Signals: the first one ends the command in order, the second one ends the process.
 *
 * Every wait of a command listens to `signal`; its reason is the error that the command exits with.
 */
import { setMaxListeners } from "node:events";
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

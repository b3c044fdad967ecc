/** Notices that this machine's addresses have changed: another network, a cable, a VPN that came or went. */
import { networkInterfaces } from "node:os";
import type { Interfaces } from "./host-candidates.ts";

/** Node tells nobody of such changes, so they are looked for; a look takes a tenth of a millisecond. */
const LOOK_EVERY_MS = 1000;

export class InterfaceWatch {
  readonly #timer: NodeJS.Timeout;
  #seen: string;

  /** @param onChange called after each change, never at once */
  constructor(
    onChange: () => void,
    look: () => Interfaces = networkInterfaces,
    everyMs: number = LOOK_EVERY_MS,
  ) {
    this.#seen = addressesOf(look());
    this.#timer = setInterval(() => {
      const now = addressesOf(look());
      if (now === this.#seen) return;
      this.#seen = now;
      onChange();
    }, everyMs);
    this.#timer.unref();
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

function addressesOf(interfaces: Interfaces): string {
  return Object.entries(interfaces)
    .flatMap(([name, entries]) => (entries ?? []).map(({ address }) => `${name} ${address}`))
    .sort()
    .join("\n");
}

/** Servers, places and meetings for tests, all of which end with the test. */
import { randomBytes } from "node:crypto";
import { afterEach } from "vitest";
import { type RendezvousOptions, RendezvousServer } from "../../../src/server/rendezvous-server.ts";
import type {
  RendezvousPoint,
  SignallingChannel,
  SignallingRole,
  Subscription,
} from "../../../src/traversal/signalling/channel.ts";
import { pointOfTicket } from "../../../src/traversal/signalling/rendezvous-point.ts";
import { within } from "../../lib/deadline.ts";

const TIMEOUT_MS = 8000;

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** Has something ended behind the test. */
export function closing<T extends { close(): unknown }>(thing: T): T {
  cleanups.push(() => thing.close());
  return thing;
}

export async function startServer(options: Partial<RendezvousOptions> = {}): Promise<RendezvousServer> {
  return closing(await RendezvousServer.start({ port: 0, hosts: ["127.0.0.1"], ...options }));
}

export function newPlace(): RendezvousPoint {
  return pointOfTicket(new Uint8Array(randomBytes(32)), Infinity);
}

/** One side at a place, with what it has heard. */
export class Visitor {
  readonly subscription: Subscription;
  /** Every blob so far, as text. */
  readonly heard: string[] = [];
  readonly troubles: string[] = [];
  #waiting: (() => void)[] = [];

  constructor(channel: SignallingChannel, point: RendezvousPoint, side: SignallingRole) {
    this.subscription = channel.meet(point, side);
    this.subscription.onBlob = (blob) => {
      this.heard.push(Buffer.from(blob).toString());
      this.#wake();
    };
    this.subscription.onTrouble = (error) => {
      this.troubles.push(`${error.code} ${error.message}`);
      this.#wake();
    };
  }

  publish(text: string): void {
    this.subscription.publish(Buffer.from(text));
  }

  /** Waits until the peer's newest blob is `text`. */
  hears(text: string, timeoutMs: number = TIMEOUT_MS): Promise<void> {
    return this.#until(() => this.heard.at(-1) === text, `to hear "${text}"`, timeoutMs);
  }

  /** Waits for a trouble, and gives it. */
  async trouble(timeoutMs: number = TIMEOUT_MS): Promise<string> {
    await this.#until(() => this.troubles.length > 0, "trouble", timeoutMs);
    return this.troubles.at(-1)!;
  }

  #until(isThere: () => boolean, what: string, timeoutMs: number): Promise<void> {
    const wait = async (): Promise<void> => {
      while (!isThere()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    };
    return within(wait(), timeoutMs, () => `waiting ${what}; heard ${this.heard}; ${this.troubles}`);
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}

/** Servers, places and meetings for tests, all of which end with the test. */
import { randomBytes } from "node:crypto";
import { afterEach } from "vitest";
import type { Carrier, Meeting, MeetingSide, Place } from "../../../src/traversal/signalling/channel.ts";
import { placeOfTicket } from "../../../src/traversal/signalling/rendezvous-point.ts";
import {
  type RendezvousOptions,
  RendezvousServer,
} from "../../../src/server/rendezvous-server.ts";
import { within } from "../../lib/deadline.ts";

const PATIENCE_MS = 8000;

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

export function newPlace(): Place {
  return placeOfTicket(new Uint8Array(randomBytes(32)), Infinity);
}

/** One side at a place, with what it has heard. */
export class Visitor {
  readonly meeting: Meeting;
  /** Every blob so far, as text. */
  readonly heard: string[] = [];
  readonly troubles: string[] = [];
  #waiting: (() => void)[] = [];

  constructor(carrier: Carrier, place: Place, side: MeetingSide) {
    this.meeting = carrier.meet(place, side);
    this.meeting.onBlob = (blob) => {
      this.heard.push(Buffer.from(blob).toString());
      this.#stir();
    };
    this.meeting.onTrouble = (error) => {
      this.troubles.push(`${error.code} ${error.message}`);
      this.#stir();
    };
  }

  publish(text: string): void {
    this.meeting.publish(Buffer.from(text));
  }

  /** Waits until the peer's newest blob is `text`. */
  hears(text: string, timeoutMs: number = PATIENCE_MS): Promise<void> {
    return this.#until(() => this.heard.at(-1) === text, `to hear "${text}"`, timeoutMs);
  }

  /** Waits for a trouble, and gives it. */
  async trouble(timeoutMs: number = PATIENCE_MS): Promise<string> {
    await this.#until(() => this.troubles.length > 0, "trouble", timeoutMs);
    return this.troubles.at(-1)!;
  }

  #until(isThere: () => boolean, what: string, timeoutMs: number): Promise<void> {
    const wait = async (): Promise<void> => {
      while (!isThere()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    };
    return within(wait(), timeoutMs, () => `waiting ${what}; heard ${this.heard}; ${this.troubles}`);
  }

  #stir(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }
}

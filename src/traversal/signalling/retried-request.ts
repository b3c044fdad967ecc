/**
 * A request to a rendezvous server that is repeated until it is answered, quickly at first, and
 * then every 15 s. The repetition keeps the answer current and NAT mappings open, which expire
 * after 30 s of silence.
 */
import type { RendezvousClient } from "./rendezvous-client.ts";

const KEEP_ALIVE_MS = 15_000;
const FIRST_WAIT_MS = 250;
const GROWTH = 1.5;
const MAX_WAIT_MS = 8000;
/** Unanswered requests after which the client searches for another transport. */
const SUSPECT_AFTER = 4;

export class RetriedRequest {
  readonly #channel: RendezvousClient;
  readonly #send: () => void;
  #unanswered = 0;
  #isHeld = true;
  #timer: NodeJS.Timeout | undefined;

  /** @param send sends the request by the client, which is ready then */
  constructor(channel: RendezvousClient, send: () => void) {
    this.#channel = channel;
    this.#send = send;
  }

  /** Starts anew: the client has a new transport, or the request has changed. */
  begin(): void {
    this.#unanswered = 0;
    this.ask();
  }

  /** Asks now. Without a transport nothing is sent, and `begin` continues. */
  ask(): void {
    if (!this.#channel.isReady) return;
    this.#send();
    this.#wait(Math.min(FIRST_WAIT_MS * GROWTH ** this.#unanswered, MAX_WAIT_MS));
    this.#unanswered++;
  }

  /** A complete answer has arrived. */
  settle(): void {
    this.#unanswered = 0;
    this.#wait(KEEP_ALIVE_MS);
  }

  /** The server refused: the request is repeated some seconds later. */
  postpone(): void {
    this.#unanswered = 0;
    this.#wait(MAX_WAIT_MS);
  }

  /** Whether waiting keeps the process running. */
  holdProcess(hold: boolean): void {
    this.#isHeld = hold;
    if (hold) this.#timer?.ref();
    else this.#timer?.unref();
  }

  end(): void {
    clearTimeout(this.#timer);
  }

  #wait(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#unanswered === SUSPECT_AFTER) this.#channel.suspect();
      this.ask();
    }, ms);
    if (!this.#isHeld) this.#timer.unref();
  }
}

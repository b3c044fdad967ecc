/**
 * A question to a rendezvous server that is asked until it is answered, quickly at first, and then every 15 s: the
 * answer is to stay true, and NATs forget a mapping after 30 s of silence.
 */
import type { RendezvousClient } from "./rendezvous-client.ts";

const KEEP_ALIVE_MS = 15_000;
const FIRST_WAIT_MS = 250;
const GROWTH = 1.5;
const MAX_WAIT_MS = 8000;
/** Questions without an answer after which another way to the server is looked for. */
const SUSPECT_AFTER = 4;

export class RetriedRequest {
  readonly #channel: RendezvousClient;
  readonly #send: () => void;
  #unanswered = 0;
  #isHeld = true;
  #timer: NodeJS.Timeout | undefined;

  /** @param send sends the question by the channel, which is ready then */
  constructor(channel: RendezvousClient, send: () => void) {
    this.#channel = channel;
    this.#send = send;
  }

  /** Begins anew: the channel has found a way, or there is something new to say. */
  begin(): void {
    this.#unanswered = 0;
    this.ask();
  }

  /** Asks now. Without a way to the server there is nobody to ask, and `begin` goes on. */
  ask(): void {
    if (!this.#channel.isReady) return;
    this.#send();
    this.#wait(Math.min(FIRST_WAIT_MS * GROWTH ** this.#unanswered, MAX_WAIT_MS));
    this.#unanswered++;
  }

  /** The answer is here, and nothing is missing in it. */
  settle(): void {
    this.#unanswered = 0;
    this.#wait(KEEP_ALIVE_MS);
  }

  /** The server does not want to: it is asked again some seconds later. */
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

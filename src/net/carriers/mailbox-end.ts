/**
 * One side's presence at one place of one rendezvous server: it leaves its blob, asks for the peer's, and asks
 * again, quickly while nobody answers and every 15 s afterwards, which also keeps a NAT's mapping open for the
 * word that the peer has come.
 */
import { copyBytes, equalBytes } from "../../base/bytes.ts";
import {
  DIGEST_BYTES,
  encodeRequest,
  type MailboxSide,
  type MailboxState,
  REFUSAL,
  type Refused,
} from "../../wire/mailbox.ts";
import { digestOf } from "../rendezvous/names.ts";
import type { RendezvousChannel } from "./rendezvous-channel.ts";

/** Silence after which the server is asked again although nothing is missing; NATs forget after 30 s. */
const KEEP_ALIVE_MS = 15_000;
const FIRST_WAIT_MS = 250;
const GROWTH = 1.5;
const LONGEST_WAIT_MS = 8000;
/** Questions without an answer after which another way to the server is looked for. */
const DOUBT_AFTER = 4;

export class MailboxEnd {
  readonly channel: RendezvousChannel;
  /** Told of each blob of the peer that the server shows and that was not the latest before. */
  readonly #onBlob: (blob: Uint8Array) => void;
  readonly #onRefused: (reason: string) => void;
  readonly #place: Uint8Array;
  readonly #side: MailboxSide;
  #blob: Uint8Array = NOTHING;
  #ownDigest: Uint8Array = NONE;
  /** What the server has said that it holds of ours. */
  #heldDigest: Uint8Array = NONE;
  #peerDigest: Uint8Array = NONE;
  #unanswered = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    channel: RendezvousChannel,
    place: Uint8Array,
    side: MailboxSide,
    onBlob: (blob: Uint8Array) => void,
    onRefused: (reason: string) => void,
  ) {
    this.channel = channel;
    this.#place = place;
    this.#side = side;
    this.#onBlob = onBlob;
    this.#onRefused = onRefused;
    if (channel.isReady) this.#ask();
  }

  /** @param blob kept */
  publish(blob: Uint8Array): void {
    this.#blob = blob;
    this.#ownDigest = digestOf(blob);
    this.handleReady();
  }

  /** The channel has found a way, or another one. */
  handleReady(): void {
    this.#unanswered = 0;
    if (this.channel.isReady) this.#ask();
  }

  handleState(state: MailboxState): void {
    this.#unanswered = 0;
    this.#heldDigest = copyBytes(state.ownDigest);
    const isNews = state.blob.length > 0 && !equalBytes(state.peerDigest, this.#peerDigest);
    if (isNews) this.#peerDigest = copyBytes(state.peerDigest);
    // At once: news are confirmed, and what the server has lost (a restart, two minutes offline) is left again.
    if (isNews || !equalBytes(this.#heldDigest, this.#ownDigest)) this.#ask();
    else this.#wait(KEEP_ALIVE_MS);
    if (isNews) this.#onBlob(state.blob);
  }

  handleRefused({ reason }: Refused): void {
    this.#unanswered = 0;
    this.#wait(LONGEST_WAIT_MS);
    this.#onRefused(reason === REFUSAL.full ? "it is full" : "too many wait there from this address");
  }

  close(): void {
    clearTimeout(this.#timer);
    this.channel.send(
      encodeRequest({
        kind: "leave",
        transaction: this.channel.newTransaction(),
        cookie: this.channel.cookie,
        place: this.#place,
        side: this.#side,
      }),
    );
  }

  #ask(): void {
    const isHeld = equalBytes(this.#heldDigest, this.#ownDigest);
    this.channel.send(
      encodeRequest({
        kind: "meet",
        transaction: this.channel.newTransaction(),
        cookie: this.channel.cookie,
        place: this.#place,
        side: this.#side,
        ownDigest: this.#ownDigest,
        peerDigest: this.#peerDigest,
        blob: isHeld ? NOTHING : this.#blob,
      }),
    );
    this.#wait(Math.min(FIRST_WAIT_MS * GROWTH ** this.#unanswered, LONGEST_WAIT_MS));
    this.#unanswered++;
  }

  #wait(ms: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (this.#unanswered === DOUBT_AFTER) this.channel.doubt();
      // Without a way there is nobody to ask; `handleReady` goes on.
      if (this.channel.isReady) this.#ask();
    }, ms);
  }
}

const NOTHING: Uint8Array = new Uint8Array(0);
const NONE: Uint8Array = new Uint8Array(DIGEST_BYTES);

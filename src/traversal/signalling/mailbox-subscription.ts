/**
 * One side's presence at one place of one rendezvous server: it leaves its blob, asks for the peer's, and
 * keeps asking, so that the word of the peer's coming finds its way through a NAT.
 */
import { copyBytes, equalBytes } from "../../base/bytes.ts";
import { digestOf } from "../../platform/blob-digest.ts";
import {
  DIGEST_BYTES,
  encodeRequest,
  type MailboxSide,
  type MailboxState,
  REFUSAL,
  type Refused,
} from "../../wire/mailbox-messages.ts";
import type { RendezvousClient } from "./rendezvous-client.ts";
import { RetriedRequest } from "./retried-request.ts";

export class MailboxSubscription {
  readonly channel: RendezvousClient;
  /** Told of each blob of the peer that the server shows and that was not the latest before. */
  readonly #onBlob: (blob: Uint8Array) => void;
  readonly #onRefused: (reason: string) => void;
  readonly #point: Uint8Array;
  readonly #side: MailboxSide;
  #blob: Uint8Array = NOTHING;
  #localDigest: Uint8Array = NONE;
  /** What the server has said that it holds of ours. */
  #heldDigest: Uint8Array = NONE;
  #peerDigest: Uint8Array = NONE;
  readonly #retriedRequest: RetriedRequest;

  constructor(
    channel: RendezvousClient,
    point: Uint8Array,
    side: MailboxSide,
    onBlob: (blob: Uint8Array) => void,
    onRefused: (reason: string) => void,
  ) {
    this.channel = channel;
    this.#point = point;
    this.#side = side;
    this.#onBlob = onBlob;
    this.#onRefused = onRefused;
    this.#retriedRequest = new RetriedRequest(channel, () => this.#ask());
    this.#retriedRequest.begin();
  }

  /** @param blob kept */
  publish(blob: Uint8Array): void {
    this.#blob = blob;
    this.#localDigest = digestOf(blob);
    this.handleReady();
  }

  /** The channel has found a way, or another one. */
  handleReady(): void {
    this.#retriedRequest.begin();
  }

  handleState(state: MailboxState): void {
    this.#heldDigest = copyBytes(state.localDigest);
    const isNews = state.blob.length > 0 && !equalBytes(state.peerDigest, this.#peerDigest);
    if (isNews) this.#peerDigest = copyBytes(state.peerDigest);
    // News are confirmed at once. What the server has lost (a restart, two minutes offline) is left again with
    // the next question, which is due soon as long as this is no answer.
    if (isNews) this.#retriedRequest.begin();
    else if (equalBytes(this.#heldDigest, this.#localDigest)) this.#retriedRequest.settle();
    if (isNews) this.#onBlob(state.blob);
  }

  handleRefused({ reason }: Refused): void {
    this.#retriedRequest.postpone();
    this.#onRefused(reason === REFUSAL.full ? "it is full" : "too many wait there from this address");
  }

  close(): void {
    this.#retriedRequest.end();
    this.channel.send(
      encodeRequest({
        kind: "leave",
        transaction: this.channel.newTransaction(),
        cookie: this.channel.cookie,
        point: this.#point,
        side: this.#side,
      }),
    );
  }

  #ask(): void {
    const isHeld = equalBytes(this.#heldDigest, this.#localDigest);
    this.channel.send(
      encodeRequest({
        kind: "meet",
        transaction: this.channel.newTransaction(),
        cookie: this.channel.cookie,
        point: this.#point,
        side: this.#side,
        localDigest: this.#localDigest,
        peerDigest: this.#peerDigest,
        blob: isHeld ? NOTHING : this.#blob,
      }),
    );
  }
}

const NOTHING: Uint8Array = new Uint8Array(0);
const NONE: Uint8Array = new Uint8Array(DIGEST_BYTES);

/**
 * One side's presence at one rendezvous point of one server: it publishes its blob, asks for the
 * peer's, and repeats the request so that the server's push can pass a NAT.
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
  /** Called with each blob of the peer that differs from the previous one. */
  readonly #onBlob: (blob: Uint8Array) => void;
  readonly #onRefused: (reason: string) => void;
  readonly #point: Uint8Array;
  readonly #side: MailboxSide;
  #blob: Uint8Array = NOTHING;
  #localDigest: Uint8Array = NONE;
  /** The digest of the local blob that the server last confirmed. */
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

  /** The client is connected, or has changed its transport. */
  handleReady(): void {
    this.#retriedRequest.begin();
  }

  handleState(state: MailboxState): void {
    this.#heldDigest = copyBytes(state.localDigest);
    const isNews = state.blob.length > 0 && !equalBytes(state.peerDigest, this.#peerDigest);
    if (isNews) this.#peerDigest = copyBytes(state.peerDigest);
    // A new blob is confirmed at once. A blob that the server has lost (a restart, two minutes
    // offline) is published again with the next request, which is due soon until the server
    // confirms it.
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

/**
 * Holds one end to the limits of what it may send to an address that has not proved itself: nothing larger
 * than what came before the peer is authenticated, and three times what came from a new address until its
 * challenge is answered.  // RFC 9000 §8; docs/protocol.md, "Paths"
 *
 * Counts whole datagrams by address, from outside; reads challenges and answers, so the text must be plain.
 */

import type { Path } from "../../src/base/path.ts";
import { FRAME, FrameCursor } from "../../src/wire/frames.ts";
import {
  HEADER_BYTES,
  isDataPacket,
  kindOf,
  PACKET_HANDSHAKE,
  sealedBytesOf,
  TAG_BYTES,
} from "../../src/wire/packet.ts";

const UNVALIDATED_FACTOR = 3;

interface Watched {
  receivedBytes: number;
  sentBytes: number;
  isProved: boolean;
  heardHandshake: boolean;
  /** This end spoke first there: it was told to call that address, and goes on until it is answered. */
  isCalled: boolean;
  toldHandshake: boolean;
}

export class PathWatch {
  /** Challenges sent and answers that came, over all paths. */
  readonly counts = { challenges: 0, answered: 0 };
  readonly #fail: (what: string) => never;
  /** Whether this end is called, and so speaks to strangers. */
  readonly #isResponder: boolean;
  readonly #paths = new Map<Path, Watched>();
  readonly #challenged = new Map<string, Watched>();
  readonly #cursor = new FrameCursor();
  #isEstablished = false;

  constructor(isResponder: boolean, fail: (what: string) => never) {
    this.#isResponder = isResponder;
    this.#fail = fail;
  }

  /**
   * There are keys: addresses that took part in the handshake, both ways, are proved. (One of them may be a
   * bystander's who copied a first message; which of them the last message proves is the engine's to know.)
   */
  onEstablished(): void {
    if (this.#isEstablished) return;
    this.#isEstablished = true;
    for (const watched of this.#paths.values()) {
      if (watched.heardHandshake && watched.toldHandshake) watched.isProved = true;
    }
  }

  onReceive(path: Path, bytes: Uint8Array): void {
    const watched = this.#of(path);
    watched.receivedBytes += bytes.length;
    if (isHandshake(bytes)) watched.heardHandshake = true;
    this.#eachToken(bytes, FRAME.pathResponse, (token) => {
      const challenged = this.#challenged.get(token);
      if (challenged === undefined) return;
      challenged.isProved = true;
      this.counts.answered++;
    });
  }

  onSend(path: Path, bytes: Uint8Array): void {
    const watched = this.#of(path);
    if (isHandshake(bytes)) {
      if (watched.receivedBytes === 0 && !this.#isResponder) watched.isCalled = true;
      watched.toldHandshake = true;
    }
    if (!watched.isCalled || !isHandshake(bytes)) watched.sentBytes += bytes.length;
    this.#eachToken(bytes, FRAME.pathChallenge, (token) => {
      this.#challenged.set(token, watched);
      this.counts.challenges++;
    });
    const { sentBytes, receivedBytes, isProved } = watched;
    if (isProved) return;
    const factor = this.#isEstablished
      ? UNVALIDATED_FACTOR
      : this.#isResponder
        ? 1
        : Number.POSITIVE_INFINITY;
    if (sentBytes > factor * receivedBytes) {
      this.#fail(
        `${sentBytes} bytes to ${path.address}:${path.port}, which sent ${receivedBytes} and proved nothing`,
      );
    }
  }

  #eachToken(bytes: Uint8Array, type: number, act: (token: string) => void): void {
    const cursor = this.#cursor;
    for (let at = 0; at < bytes.length && isDataPacket(bytes, at, bytes.length); ) {
      const end = at + HEADER_BYTES + sealedBytesOf(bytes, at);
      cursor.reset(bytes, at + HEADER_BYTES, end - TAG_BYTES);
      while (cursor.next()) {
        if (cursor.type === type) act(Buffer.from(bytes.subarray(cursor.start, cursor.end)).toString("hex"));
      }
      at = end;
    }
  }

  #of(path: Path): Watched {
    let watched = this.#paths.get(path);
    if (watched === undefined) {
      watched = {
        receivedBytes: 0,
        sentBytes: 0,
        isProved: false,
        heardHandshake: false,
        isCalled: false,
        toldHandshake: false,
      };
      this.#paths.set(path, watched);
    }
    return watched;
  }
}

function isHandshake(bytes: Uint8Array): boolean {
  return bytes.length > 0 && kindOf(bytes[0]!) === PACKET_HANDSHAKE;
}

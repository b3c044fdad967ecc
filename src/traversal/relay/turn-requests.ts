/**
 * Requests to a TURN server: repeated until answered, and authenticated with the user's password
 * once the server has sent its realm and a nonce.  // RFC 8489 §6.2, §9.2
 */
import { createHash, createHmac, randomBytes } from "node:crypto";
import type { Redacted } from "../../store/redacted.ts";
import {
  STUN_ATTRIBUTE,
  STUN_CLASS,
  STUN_TRANSACTION_ID_BYTES,
  type StunMac,
  type StunMessage,
  StunWriter,
} from "../../wire/stun.ts";
import type { TurnCarriage } from "./turn-carriage.ts";
import type { TurnCredentials } from "./turn-server.ts";

/** The server's answer to a request, or why there is none. */
export type TurnAnswer =
  | { readonly kind: "success"; readonly message: StunMessage }
  | {
      readonly kind: "error";
      readonly code: number;
      readonly reason: string;
      readonly message: StunMessage;
    }
  | { readonly kind: "silence" };

/** First repetition of a request over UDP, doubled each time; RFC 8489 §6.2.1 has 500 ms. */
const FIRST_REPEAT_MS = 250;
/** Requests in all, over UDP.  // RFC 8489 §6.2.1 (Rc) */
const TRIES = 6;
/** Timeout over a stream; RFC 8489 §6.2.2 has 39.5 s, which is too long for a user. */
const STREAM_WAIT_MS = 10_000;
/** Challenges in a row that a request answers: one 401, then a stale nonce. */
const CHALLENGES = 3;

const UNAUTHENTICATED = 401;
const STALE_NONCE = 438;

const hmacSha1: StunMac = (key, bytes) => createHmac("sha1", key).update(bytes).digest();

interface Pending {
  readonly settle: (message: StunMessage | undefined) => void;
  readonly key: Buffer | undefined;
}

export class TurnRequests {
  readonly #carriage: TurnCarriage;
  readonly #credentials: Redacted<TurnCredentials> | undefined;
  readonly #pending: Map<string, Pending> = new Map();
  #realm: string | undefined;
  #nonce: Uint8Array | undefined;
  /** The key from user name, realm and password.  // RFC 8489 §9.2.2 */
  #key: Buffer | undefined;
  #held = true;
  readonly #timers: Set<NodeJS.Timeout> = new Set();

  constructor(carriage: TurnCarriage, credentials: Redacted<TurnCredentials> | undefined) {
    this.#carriage = carriage;
    this.#credentials = credentials;
  }

  /** Sends a request and answers the server's challenges. @param fill adds the request's attributes */
  async request(method: number, fill: (writer: StunWriter) => void): Promise<TurnAnswer> {
    for (let challenges = 0; ; challenges++) {
      const message = await this.#exchange(method, fill);
      if (message === undefined) return { kind: "silence" };
      if (message.class === STUN_CLASS.success) return { kind: "success", message };
      const { code, reason } = message.error ?? { code: 500, reason: "" };
      // A second 401 with the same realm means that the password is wrong.
      const isNews = code === STALE_NONCE || (code === UNAUTHENTICATED && this.#key === undefined);
      if (!isNews || challenges === CHALLENGES || !this.#takeChallenge(message)) {
        return { kind: "error", code, reason, message };
      }
    }
  }

  /** Sends one message that gets no answer. */
  indicate(method: number, fill: (writer: StunWriter) => void, isLast: boolean): void {
    const writer = new StunWriter(method, STUN_CLASS.indication, newTransactionId());
    fill(writer);
    const bytes = writer.finish();
    if (isLast) this.#carriage.sendLast(bytes);
    else this.#carriage.send(bytes);
  }

  /** Takes an answer; false when it matches no request or is not authenticated. */
  take(message: StunMessage): boolean {
    const id = idOf(message.transactionId);
    const pending = this.#pending.get(id);
    if (pending === undefined) return false;
    if (message.class !== STUN_CLASS.success && message.class !== STUN_CLASS.error) return false;
    // Errors may be unauthenticated; a forged one costs a request, a forged success would cost the
    // link.
    const { key } = pending;
    if (key !== undefined && message.class === STUN_CLASS.success && !message.isIntact(key, hmacSha1)) {
      return false;
    }
    pending.settle(message);
    return true;
  }

  holdProcess(hold: boolean): void {
    this.#held = hold;
    for (const timer of this.#timers) {
      if (hold) timer.ref();
      else timer.unref();
    }
  }

  /** Ends all requests without an answer. */
  close(): void {
    for (const { settle } of [...this.#pending.values()]) settle(undefined);
  }

  #takeChallenge(message: StunMessage): boolean {
    const nonce = message.attribute(STUN_ATTRIBUTE.nonce);
    const realm = message.text(STUN_ATTRIBUTE.realm) ?? this.#realm;
    if (nonce === undefined || realm === undefined || this.#credentials === undefined) return false;
    const { username, password } = this.#credentials.reveal();
    this.#nonce = Uint8Array.from(nonce);
    this.#realm = realm;
    this.#key = createHash("md5").update(`${username}:${realm}:${password}`).digest();
    return true;
  }

  #exchange(method: number, fill: (writer: StunWriter) => void): Promise<StunMessage | undefined> {
    const writer = new StunWriter(method, STUN_CLASS.request, newTransactionId());
    fill(writer);
    const key = this.#key;
    if (key !== undefined && this.#credentials !== undefined) {
      writer
        .text(STUN_ATTRIBUTE.username, this.#credentials.reveal().username)
        .text(STUN_ATTRIBUTE.realm, this.#realm!)
        .attribute(STUN_ATTRIBUTE.nonce, this.#nonce!)
        .integrity(key, hmacSha1);
    }
    const bytes = writer.finish();
    const id = idOf(writer.transactionId);
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout | undefined;
      const settle = (message: StunMessage | undefined): void => {
        this.#pending.delete(id);
        if (timer !== undefined) this.#timers.delete(timer);
        clearTimeout(timer);
        resolve(message);
      };
      this.#pending.set(id, { settle, key });
      const attempt = (count: number): void => {
        this.#carriage.send(bytes);
        const { isStream } = this.#carriage;
        const isLast = isStream || count === TRIES;
        const waitMs = isStream ? STREAM_WAIT_MS : FIRST_REPEAT_MS * 2 ** (count - 1);
        if (timer !== undefined) this.#timers.delete(timer);
        timer = setTimeout(() => (isLast ? settle(undefined) : attempt(count + 1)), waitMs);
        if (!this.#held) timer.unref();
        this.#timers.add(timer);
      };
      attempt(1);
    });
  }
}

function newTransactionId(): Uint8Array {
  return new Uint8Array(randomBytes(STUN_TRANSACTION_ID_BYTES));
}

function idOf(transactionId: Uint8Array): string {
  return Buffer.from(transactionId.buffer, transactionId.byteOffset, transactionId.length).toString("latin1");
}

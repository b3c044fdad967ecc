/**
 * One Noise handshake, suite 25519_ChaChaPoly_SHA256. It reads and writes messages and yields the
 * keys at the end.
 *
 * This module handles bytes only. The engine decides when to send, what to retransmit and whom to
 * trust. Every message is written or read on a fork of the state. The fork replaces the state only
 * after the whole message succeeded, so a forged message changes nothing and the genuine message
 * still completes the handshake.
 * Read first: Noise rev 34 §5.3, §7, §9; the tables in noise-patterns.ts; the hashing in
 * symmetric-state.ts.
 */
import { concatBytes, copyBytes, utf8Encode } from "../base/bytes.ts";
import { SrudpError } from "../base/errors.ts";
import {
  NOISE_PATTERNS,
  type NoisePattern,
  type NoisePatternTable,
  type NoiseToken,
} from "./noise-patterns.ts";
import { AEAD_KEY_BYTES, type KeyPair, type Primitives, X25519_BYTES } from "./primitives.ts";
import { SymmetricState } from "./symmetric-state.ts";

export type { NoisePattern } from "./noise-patterns.ts";

/** Maximum length of a Noise message, tags and keys included. Noise rev 34 §3 */
export const NOISE_MESSAGE_BYTES = 65535;

export interface NoiseOptions {
  readonly pattern: NoisePattern;
  readonly role: "initiator" | "responder";
  /** Context on which both sides must agree without sending it; any length. */
  readonly prologue: Uint8Array;
  readonly primitives: Primitives;
  /** Fresh for this handshake; never reused. */
  readonly ephemeral: KeyPair;
  /**
   * Required if the pattern authenticates a static key of the local side, and forbidden otherwise.
   */
  readonly staticKeys?: KeyPair;
  /** 32 bytes of full entropy; required by the psk patterns, and forbidden otherwise. */
  readonly psk?: Uint8Array;
  /**
   * The peer's static key; required if the pattern assumes that it is known (KK, IK), and forbidden
   * otherwise.
   */
  readonly remoteStatic?: Uint8Array;
}

/** The state that a message changes. Everything else of a handshake is constant. */
interface Progress {
  readonly symmetric: SymmetricState;
  remoteEphemeral: Uint8Array | undefined;
  remoteStatic: Uint8Array | undefined;
}

/**
 * A handshake from its first message to the keys. Methods throw ERR_INTERNAL if the caller misuses
 * them.
 */
export class NoiseHandshake {
  readonly #table: NoisePatternTable;
  readonly #isInitiator: boolean;
  readonly #hasPsk: boolean;
  readonly #primitives: Primitives;
  readonly #ephemeral: KeyPair;
  readonly #staticKeys: KeyPair | undefined;
  readonly #psk: Uint8Array | undefined;
  #progress: Progress;
  /** Index of the next message. */
  #position = 0;

  constructor(options: NoiseOptions) {
    this.#table = NOISE_PATTERNS[options.pattern];
    this.#isInitiator = options.role === "initiator";
    this.#hasPsk = this.#table.messages.some((tokens) => tokens.includes("psk"));
    this.#primitives = options.primitives;
    this.#ephemeral = options.ephemeral;
    this.#staticKeys = options.staticKeys;
    this.#psk = options.psk;
    this.#checkKeys(options);

    const name = utf8Encode(`Noise_${options.pattern}_25519_ChaChaPoly_SHA256`);
    const symmetric = new SymmetricState(options.primitives.aead, name);
    symmetric.mixHash(options.prologue);
    // Keys known beforehand enter the hash, the initiator's first. // Noise rev 34 §5.3
    const local = options.staticKeys?.publicKey;
    const [initiatorKey, responderKey] = this.#isInitiator
      ? [local, options.remoteStatic]
      : [options.remoteStatic, local];
    if (this.#table.knownInitiator) symmetric.mixHash(initiatorKey!);
    if (this.#table.knownResponder) symmetric.mixHash(responderKey!);
    this.#progress = { symmetric, remoteEphemeral: undefined, remoteStatic: options.remoteStatic };
  }

  /** Whether every message of the pattern has been written or read. */
  get isComplete(): boolean {
    return this.#position === this.#table.messages.length;
  }

  /**
   * The peer's static key (32 bytes); undefined until the caller provided it or an authentic
   * message contained it.
   */
  get remoteStatic(): Uint8Array | undefined {
    return this.#progress.remoteStatic;
  }

  /**
   * The hash over the transcript so far, 32 bytes. It identifies the link once the handshake is
   * complete.
   */
  get handshakeHash(): Uint8Array {
    return Uint8Array.from(this.#progress.symmetric.hash);
  }

  /**
   * The next message, containing `payload`. Retransmit the same bytes: writing the message again
   * with another payload would reuse a nonce. Throws ERR_INTERNAL out of turn or beyond 65535
   * bytes.
   */
  writeMessage(payload: Uint8Array): Uint8Array {
    if (this.isComplete || !this.#isLocalTurn())
      throw new SrudpError("ERR_INTERNAL", "no message to write now");
    const progress = this.#fork();
    const parts: Uint8Array[] = [];
    for (const token of this.#table.messages[this.#position]!) {
      if (token === "e") {
        parts.push(this.#ephemeral.publicKey);
        this.#mixEphemeral(progress, this.#ephemeral.publicKey);
      } else if (token === "s") {
        parts.push(progress.symmetric.seal(this.#staticKeys!.publicKey));
      } else if (!this.#mixSecret(progress, token)) {
        // Keys received from the peer were checked on receipt, so the caller provided this one.
        throw new SrudpError("ERR_INTERNAL", "the peer's static key is a point of low order");
      }
    }
    // Check before sealing: a payload refused afterwards would have consumed its nonce.
    const keyBytes = parts.reduce((sum, part) => sum + part.length, 0);
    if (keyBytes + payload.length + progress.symmetric.overheadBytes > NOISE_MESSAGE_BYTES) {
      throw new SrudpError("ERR_INTERNAL", "the Noise message is too long");
    }
    const message = concatBytes(...parts, progress.symmetric.seal(payload));
    this.#progress = progress;
    this.#position++;
    return message;
  }

  /**
   * The payload of the peer's next message. Returns undefined, and changes nothing, for a message
   * that fails authentication, is truncated, contains a key of low order, or arrives out of turn.
   */
  readMessage(message: Uint8Array): Uint8Array | undefined {
    if (this.isComplete || this.#isLocalTurn() || message.length > NOISE_MESSAGE_BYTES) return undefined;
    const progress = this.#fork();
    let at = 0;
    for (const token of this.#table.messages[this.#position]!) {
      if (token === "e" || token === "s") {
        const start = at;
        at += X25519_BYTES + (token === "s" ? progress.symmetric.overheadBytes : 0);
        if (at > message.length) return undefined;
        const bytes = copyBytes(message, start, at);
        if (token === "e") {
          progress.remoteEphemeral = bytes;
          this.#mixEphemeral(progress, bytes);
        } else {
          progress.remoteStatic = progress.symmetric.open(bytes);
          if (progress.remoteStatic === undefined) return undefined;
        }
      } else if (!this.#mixSecret(progress, token)) {
        return undefined;
      }
    }
    if (at + progress.symmetric.overheadBytes > message.length) return undefined;
    const payload = progress.symmetric.open(message.subarray(at));
    if (payload === undefined || !this.#isSoundEphemeral(progress)) return undefined;
    this.#progress = progress;
    this.#position++;
    return payload;
  }

  /**
   * The keys with which the initiator and the responder seal, 32 bytes each. Throws ERR_INTERNAL
   * before the handshake is complete.
   */
  split(): { initiatorKey: Uint8Array; responderKey: Uint8Array } {
    this.#checkComplete();
    return this.#progress.symmetric.split();
  }

  /**
   * 32 bytes that both sides share, for the use named by `label`, independent of the keys of
   * `split` and of other labels. Throws ERR_INTERNAL before the handshake is complete.
   */
  exporter(label: string): Uint8Array {
    this.#checkComplete();
    return this.#progress.symmetric.exporter(utf8Encode(label));
  }

  #isLocalTurn(): boolean {
    return (this.#position % 2 === 0) === this.#isInitiator;
  }

  #fork(): Progress {
    const { symmetric, remoteEphemeral, remoteStatic } = this.#progress;
    return { symmetric: symmetric.fork(), remoteEphemeral, remoteStatic };
  }

  #mixEphemeral(progress: Progress, publicKey: Uint8Array): void {
    progress.symmetric.mixHash(publicKey);
    if (this.#hasPsk) progress.symmetric.mixKey(publicKey); // Noise rev 34 §9.2
  }

  /** Mixes in the secret that `token` stands for; false if the shared secret would be all zero. */
  #mixSecret(progress: Progress, token: Exclude<NoiseToken, "e" | "s">): boolean {
    if (token === "psk") {
      progress.symmetric.mixKeyAndHash(this.#psk!);
      return true;
    }
    // The first letter is the initiator's key, the second the responder's.
    const [localKind, remoteKind] = this.#isInitiator ? [token[0], token[1]] : [token[1], token[0]];
    const local = localKind === "e" ? this.#ephemeral : this.#staticKeys!;
    const remote = remoteKind === "e" ? progress.remoteEphemeral! : progress.remoteStatic!;
    const secret = this.#primitives.x25519.sharedSecret(local.secretKey, remote);
    if (secret === undefined) return false;
    progress.symmetric.mixKey(secret);
    return true;
  }

  /**
   * Whether the ephemeral key just read, if any, is not a point of low order. If the key is first
   * used in the answer, a failure there could no longer be attributed to the message that contained
   * it. A clamped scalar maps exactly the low-order points to zero, so any local key detects them.
   * `ee` in the same message has already done so.
   */
  #isSoundEphemeral(progress: Progress): boolean {
    if (progress.remoteEphemeral === this.#progress.remoteEphemeral) return true;
    if (this.#table.messages[this.#position]!.includes("ee")) return true;
    return (
      this.#primitives.x25519.sharedSecret(this.#ephemeral.secretKey, progress.remoteEphemeral!) !== undefined
    );
  }

  #checkComplete(): void {
    if (!this.isComplete) throw new SrudpError("ERR_INTERNAL", "the Noise handshake is not complete");
  }

  #checkKeys(options: NoiseOptions): void {
    const { ephemeral, staticKeys, psk, remoteStatic } = options;
    const authenticatesStatic = (isInitiator: boolean): boolean =>
      (isInitiator ? this.#table.knownInitiator : this.#table.knownResponder) ||
      this.#table.messages.some((tokens, index) => (index % 2 === 0) === isInitiator && tokens.includes("s"));
    const knowsRemote = this.#isInitiator ? this.#table.knownResponder : this.#table.knownInitiator;
    checkPair("ephemeral keys", ephemeral, true);
    checkPair("static keys", staticKeys, authenticatesStatic(this.#isInitiator));
    checkLength("psk", psk, AEAD_KEY_BYTES, this.#hasPsk);
    checkLength("remote static key", remoteStatic, X25519_BYTES, knowsRemote);
  }
}

function checkPair(name: string, keys: KeyPair | undefined, wanted: boolean): void {
  checkLength(name, keys?.secretKey, X25519_BYTES, wanted);
  checkLength(name, keys?.publicKey, X25519_BYTES, wanted);
}

/**
 * Also refuses a key that the pattern does not use: a caller that passes one expects it to protect
 * the handshake.
 */
function checkLength(name: string, bytes: Uint8Array | undefined, length: number, wanted: boolean): void {
  if (wanted !== (bytes !== undefined)) {
    throw new SrudpError("ERR_INTERNAL", `the Noise pattern takes ${wanted ? "" : "no "}${name}`);
  }
  if (bytes !== undefined && bytes.length !== length) {
    throw new SrudpError("ERR_INTERNAL", `wrong length of the ${name}`);
  }
}

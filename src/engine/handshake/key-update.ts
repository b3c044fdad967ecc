/**
 * The keys of a connection, epoch by epoch. Each epoch comes from a fresh Diffie-Hellman exchange
 * (NNpsk0, keyed with a secret exported from the previous epoch), carried in two REKEY frames. Keys
 * stolen from a machine therefore open neither earlier epochs nor, after the next exchange, later
 * ones.  // docs/protocol.md, "Key update"; Noise rev 34 §9
 *
 * The requesting side seals under the new keys as soon as it has the answer. The answering side
 * does so only after it has opened a packet of the new epoch, so nothing is sealed that the peer
 * could not open. If both send a request at once, that of the connection's initiator is used. Old
 * keys are kept for packets in flight.
 */
import { concatBytes, utf8Encode, writeU32 } from "../../base/bytes.ts";
import { SrudpError } from "../../base/errors.ts";
import { LABELS } from "../../crypto/labels.ts";
import { NoiseHandshake } from "../../crypto/noise.ts";
import type { AeadKey, Primitives } from "../../crypto/primitives.ts";
import { writeRekey } from "../../wire/frames.ts";
import type { HandshakeKeys } from "./handshake-config.ts";

/** Use of one epoch after which the next is requested.  // docs/protocol.md, "Key update" */
const REKEY_AFTER_MS = 120_000;
const REKEY_AFTER_PACKETS: number = 2 ** 30;
/** Hard limit of packets in one epoch. */
const EPOCH_PACKETS_LIMIT: number = 2 ** 32;
/** Packets of an epoch that are reserved for the last burst and the CLOSE after it. */
const CLOSING_RESERVE_PACKETS = 4096;
/**
 * Number of forged packets that force the next epoch.
 * // RFC 9001 §6.6, where it is 2^36 for ChaCha20-Poly1305
 */
const REKEY_AFTER_FORGERIES: number = 2 ** 36;
/** Length of an NNpsk0 request or answer with an empty payload: a public key and a tag. */
const MESSAGE_BYTES = 48;
/** Room for a REKEY frame. */
export const REKEY_FRAME_BYTES: number = MESSAGE_BYTES + 16;
/** Number of probe timeouts for which old keys still open late packets.  // RFC 9001 §6.5 */
const OLD_KEYS_PTOS = 3;
const STEP = { request: 1, answer: 2 } as const;

export interface RekeyLimits {
  readonly afterMs: number;
  readonly afterPackets: number;
}

export const REKEY_LIMITS: RekeyLimits = { afterMs: REKEY_AFTER_MS, afterPackets: REKEY_AFTER_PACKETS };

interface OpenKeys {
  readonly epoch: number;
  readonly key: AeadKey;
}

export class KeyUpdate {
  /** Epoch in which packets are sealed, from 0; the wire carries it modulo 4. */
  epoch = 0;
  sealKey: AeadKey;
  /** Packets sealed in this epoch. */
  sealedPackets = 0;
  /** Packets that did not open. */
  forgeries = 0;

  private readonly primitives: Primitives;
  private readonly random: (byteLength: number) => Uint8Array;
  private readonly limits: RekeyLimits;
  private readonly isInitiator: boolean;
  private readonly handshakeHash: Uint8Array;
  /** Secret with which the next epoch's exchange is keyed. */
  private secret: Uint8Array;
  private current: OpenKeys;
  private previous: OpenKeys | undefined;
  private previousUntilMs = Number.POSITIVE_INFINITY;
  /** No packet of the peer under the current keys has arrived yet. */
  private isUnconfirmed = false;
  /** Keys of the epoch whose request was answered, until the peer uses them. */
  private next: { epoch: number; openKey: AeadKey; sealKey: AeadKey } | undefined;
  private requesting: NoiseHandshake | undefined;
  private frame: { epoch: number; step: number; message: Uint8Array } | undefined;
  private framePending = false;
  private answeredEpoch = 0;
  private epochStartMs: number;

  constructor(
    nowMs: number,
    keys: HandshakeKeys,
    primitives: Primitives,
    random: (byteLength: number) => Uint8Array,
    limits: RekeyLimits,
  ) {
    this.primitives = primitives;
    this.random = random;
    this.limits = limits;
    this.isInitiator = keys.role === "initiator";
    this.handshakeHash = keys.handshakeHash;
    this.secret = keys.rekeySecret;
    this.sealKey = primitives.aead.key(keys.sendKey);
    this.current = { epoch: 0, key: primitives.aead.key(keys.receiveKey) };
    this.epochStartMs = nowMs;
  }

  /** The key that opens packets of wire epoch `epoch` (0–3); undefined if there is none. */
  openKeyOf(epoch: number): AeadKey | undefined {
    if ((this.current.epoch & 3) === epoch) return this.current.key;
    if (this.next !== undefined && (this.next.epoch & 3) === epoch) return this.next.openKey;
    if (this.previous !== undefined && (this.previous.epoch & 3) === epoch) return this.previous.key;
    return undefined;
  }

  /**
   * Whether only the current keys exist, so that it makes no difference which key opened a packet.
   */
  get isSettled(): boolean {
    return this.next === undefined && this.previous === undefined;
  }

  /** A packet of wire epoch `epoch` was opened. Returns true if this advanced the local epoch. */
  onOpened(nowMs: number, epoch: number, ptoMs: number): boolean {
    const { next } = this;
    if (this.previous !== undefined && this.isUnconfirmed && (this.current.epoch & 3) === epoch) {
      // RFC 9001 §6.5: until the peer has used the new keys, all of its packets arrive under the
      // old ones.
      this.isUnconfirmed = false;
      this.previousUntilMs = nowMs + OLD_KEYS_PTOS * ptoMs;
    }
    if (next === undefined || (next.epoch & 3) !== epoch) return false;
    // The peer uses the keys of the answered request: now it is safe to seal with them.
    this.advance(nowMs, next.epoch, next.sealKey, next.openKey);
    this.isUnconfirmed = false;
    this.previousUntilMs = nowMs + OLD_KEYS_PTOS * ptoMs;
    this.next = undefined;
    return true;
  }

  /** Drops old keys when their time is over, and requests new ones when they are due. */
  handleTimeout(nowMs: number): void {
    if (nowMs >= this.previousUntilMs) {
      this.previous = undefined;
      this.previousUntilMs = Number.POSITIVE_INFINITY;
    }
    if (this.isDue(nowMs)) this.request();
  }

  get timeoutAt(): number {
    const isIdle = !this.isBusy;
    // Time counts only while the link is used: an idle link keeps its keys.
    const requestAtMs =
      isIdle && this.sealedPackets > 0 ? this.epochStartMs + this.limits.afterMs : Number.POSITIVE_INFINITY;
    return Math.min(this.previousUntilMs, requestAtMs);
  }

  /** Whether this epoch's keys may seal nothing more except a CLOSE. */
  get isExhausted(): boolean {
    return this.sealedPackets >= EPOCH_PACKETS_LIMIT - CLOSING_RESERVE_PACKETS;
  }

  /**
   * Counts a packet before it is sealed. Throws ERR_INTERNAL at the hard limit.  // RFC 9001 §6.6
   */
  countSealed(): void {
    if (++this.sealedPackets >= EPOCH_PACKETS_LIMIT)
      throw new SrudpError("ERR_INTERNAL", "an epoch is used up");
  }

  /** Starts an exchange unless one is in progress. */
  request(): void {
    if (this.isBusy) return;
    this.requesting = this.exchange("initiator", this.epoch + 1);
    this.frame = {
      epoch: this.epoch + 1,
      step: STEP.request,
      message: this.requesting.writeMessage(new Uint8Array(0)),
    };
    this.framePending = true;
  }

  get hasFrame(): boolean {
    return this.framePending;
  }

  /** Whether an exchange is in progress: the next one waits until both sides use its keys. */
  private get isBusy(): boolean {
    return this.requesting !== undefined || this.next !== undefined || this.isUnconfirmed;
  }

  /** Whether the number of packets makes the next epoch due. */
  isDue(nowMs: number): boolean {
    if (this.isBusy) return false;
    const tooLong = this.sealedPackets > 0 && nowMs >= this.epochStartMs + this.limits.afterMs;
    return (
      tooLong || this.sealedPackets >= this.limits.afterPackets || this.forgeries >= REKEY_AFTER_FORGERIES
    );
  }

  /** Writes the pending frame. `recordValue` identifies it when it is acknowledged or lost. */
  writeFrame(bytes: Uint8Array, at: number): number {
    const { epoch, step, message } = this.frame!;
    this.framePending = false;
    return writeRekey(bytes, at, epoch, step, message);
  }

  get recordValue(): number {
    return 2 * this.frame!.epoch + (this.frame!.step - 1);
  }

  /** A REKEY frame was lost: the same bytes are sent again while they are still needed. */
  onFrameLost(value: number): void {
    if (this.frame !== undefined && value === this.recordValue) this.framePending = true;
  }

  /** Handles the peer's REKEY frame. Throws ERR_PROTOCOL for a frame that no honest peer sends. */
  onFrame(nowMs: number, epoch: number, step: number, message: Uint8Array): void {
    if (message.length !== MESSAGE_BYTES || (step !== STEP.request && step !== STEP.answer)) {
      throw new SrudpError("ERR_PROTOCOL", "malformed key update");
    }
    if (step === STEP.request) this.onRequest(epoch, message);
    else this.onAnswer(nowMs, epoch, message);
  }

  private onRequest(epoch: number, message: Uint8Array): void {
    // A repetition of an answered request. The answer has its own retransmission.
    if (epoch <= this.answeredEpoch || epoch <= this.epoch) return;
    if (epoch !== this.epoch + 1 || this.next !== undefined)
      throw new SrudpError("ERR_PROTOCOL", "key update out of turn");
    // Both sides sent a request at once: the initiator's is used.
    if (this.requesting !== undefined && this.isInitiator) return;
    this.requesting = undefined;
    const exchange = this.exchange("responder", epoch);
    if (exchange.readMessage(message) === undefined)
      throw new SrudpError("ERR_PROTOCOL", "key update does not verify");
    this.frame = { epoch, step: STEP.answer, message: exchange.writeMessage(new Uint8Array(0)) };
    this.framePending = true;
    this.answeredEpoch = epoch;
    const { initiatorKey, responderKey } = exchange.split();
    const { aead } = this.primitives;
    this.next = { epoch, openKey: aead.key(initiatorKey), sealKey: aead.key(responderKey) };
    this.replaceSecret(exchange);
  }

  private onAnswer(nowMs: number, epoch: number, message: Uint8Array): void {
    const { requesting } = this;
    if (requesting === undefined || epoch !== this.epoch + 1) {
      if (epoch > this.epoch)
        throw new SrudpError("ERR_PROTOCOL", "key update answered that was not asked for");
      return;
    }
    if (requesting.readMessage(message) === undefined)
      throw new SrudpError("ERR_PROTOCOL", "key update does not verify");
    this.requesting = undefined;
    this.frame = undefined;
    this.framePending = false;
    const { initiatorKey, responderKey } = requesting.split();
    const { aead } = this.primitives;
    this.advance(nowMs, epoch, aead.key(initiatorKey), aead.key(responderKey));
    this.replaceSecret(requesting);
  }

  private advance(nowMs: number, epoch: number, sealKey: AeadKey, openKey: AeadKey): void {
    this.previous = this.current;
    this.previousUntilMs = Number.POSITIVE_INFINITY;
    this.isUnconfirmed = true;
    this.current = { epoch, key: openKey };
    this.sealKey = sealKey;
    this.epoch = epoch;
    this.sealedPackets = 0;
    this.forgeries = 0;
    this.epochStartMs = nowMs;
  }

  private exchange(role: "initiator" | "responder", epoch: number): NoiseHandshake {
    const secretKey = this.random(32);
    const number = new Uint8Array(4);
    writeU32(number, 0, epoch);
    return new NoiseHandshake({
      pattern: "NNpsk0",
      role,
      prologue: concatBytes(utf8Encode(LABELS.rekey), this.handshakeHash, number),
      primitives: this.primitives,
      ephemeral: { secretKey, publicKey: this.primitives.x25519.publicKey(secretKey) },
      psk: this.secret,
    });
  }

  /**
   * Wipes the old secret, so that an attacker who reads this machine's memory later cannot recover
   * earlier keys.
   */
  private replaceSecret(exchange: NoiseHandshake): void {
    const fresh = exchange.exporter(LABELS.rekeySecret);
    this.secret.fill(0);
    this.secret = fresh;
  }
}

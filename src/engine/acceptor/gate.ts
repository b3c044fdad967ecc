/**
 * The gate of a responder: decides which first messages are worth any work.
 *
 * Three checks, cheapest first.
 *
 * 1. The mode and mac1, one hash of some hundred bytes. Where every legitimate peer knows something
 *    that strangers do not (a secret, the responder's key), a first message without it gets no
 *    answer.
 * 2. The allowance of handshakes without a cookie. Beyond it the peer must validate its address: it
 *    gets a cookie, which costs the responder no memory, and repeats the message with it.
 * 3. The allowance of handshakes with a cookie. Beyond it the message is dropped; the peer repeats
 *    it.
 *
 * A flood from forged addresses therefore costs hashes and small answers, at most one in 250 ms for
 * each address. A flood from real addresses starts as many handshakes as the second allowance
 * permits. Peers that know the key or secret have separate allowances, which strangers cannot use
 * up.
 *
 * A peer with a code or passphrase may guess. The limits for guesses are in guess-limits.ts.
 *
 * Pure: the caller sends the packets and passes in time, randomness and credentials.
 * Read first: WireGuard (Donenfeld, NDSS 2017), §5.3; crypto/first-message-mac.ts;
 * wire/first-message.ts.
 */
import { equalBytes } from "../../base/bytes.ts";
import {
  COOKIE_NONCE_BYTES,
  cookieOf,
  GateMac,
  gateKey,
  proofOfCookie,
  sealCookie,
} from "../../crypto/first-message-mac.ts";
import { type ClientHello, encodeCookiePacket, readClientHello } from "../../wire/first-message.ts";
import type { Mode } from "../../wire/handshake-packet.ts";
import type { Credentials } from "../handshake/handshake-config.ts";
import { isPakeMode } from "../handshake/handshake-transcript.ts";
import { Allowance } from "./allowance.ts";
import { GuessLimits, type RunVerdict } from "./guess-limits.ts";

export interface GateConfig {
  /** Uniform random bytes, fresh at every call. */
  readonly random: (byteLength: number) => Uint8Array;
  /** The local static public key. */
  readonly publicKey: Uint8Array;
  /** In key mode, do not answer peers that do not know the local key beforehand. */
  readonly isSilent?: boolean;
}

/** A first message whose mode and mac1 are acceptable. */
export interface ScreenedHello extends ClientHello {
  /** Its mac1 shows that the peer knows the local key or secret. */
  readonly isRecognized: boolean;
}

/** Start the handshake, drop the message, or answer with this packet (a cookie). */
export type Admission = "enter" | "drop" | Uint8Array;

/** Handshakes without a cookie: burst, and rate. */
const FREE_BURST = 32;
const FREE_PER_SECOND = 4;
/** Handshakes with a cookie. Each costs a few scalar multiplications, about a millisecond. */
const VALIDATED_BURST = 100;
const VALIDATED_PER_SECOND = 100;
/** Maximum validity of a cookie. */ // WireGuard §5.3
const COOKIE_SECRET_MS = 120_000;
const COOKIE_SECRET_BYTES = 32;
/**
 * Minimum time between two cookies to one address: an initiator repeats its first message after
 * this time.
 */
const COOKIE_PAUSE_MS = 250;
/** Slots in the table of recent cookies. Addresses share slots, so the table never grows. */
const COOKIE_SLOTS = 1 << 14;

export class Gate {
  /** Limits of guesses at the code or passphrase. */
  readonly guesses: GuessLimits = new GuessLimits();
  private readonly config: GateConfig;
  private readonly publicMac: GateMac = new GateMac(gateKey("public"));
  private readonly localKeyMac: GateMac;
  /** mac1 of the modes in which both sides have a secret. */
  private readonly secretMacs: Map<Mode, GateMac> = new Map();
  private readonly offered: Set<Mode> = new Set();
  /** Modes in which a peer can guess now. */
  private readonly guessable: Set<Mode> = new Set();
  private readonly allowances: readonly Allowances[] = [newAllowances(), newAllowances()];
  private cookieSecret: GateMac;
  private cookieSecretAtMs: number;
  private readonly cookieSentAtMs: Float64Array = new Float64Array(COOKIE_SLOTS).fill(-COOKIE_PAUSE_MS);
  private hashSeed = 0;

  constructor(nowMs: number, config: GateConfig) {
    this.config = config;
    this.localKeyMac = new GateMac(gateKey("key", config.publicKey));
    this.cookieSecret = this.newCookieSecret();
    this.cookieSecretAtMs = nowMs;
  }

  /**
   * Replaces the credentials. Modes once offered stay known, so that a peer with a retired code is
   * notified.
   */
  setCredentials(credentials: Credentials): void {
    const { key, code, passphrase } = credentials;
    this.secretMacs.clear();
    for (const mode of ["secret", "ticket"] as const) {
      const secret = credentials[mode];
      if (secret !== undefined) this.secretMacs.set(mode, new GateMac(gateKey("secret", secret)));
    }
    this.guessable.clear();
    if (code !== undefined) this.guessable.add("code");
    if (passphrase !== undefined) this.guessable.add("passphrase");
    if (key !== undefined) this.offered.add("key");
    for (const mode of this.guessable) this.offered.add(mode);
  }

  /**
   * The first message in `bytes`, with views into `bytes`; undefined if its mode or mac1 is not
   * acceptable.
   */
  examine(bytes: Uint8Array): ScreenedHello | undefined {
    const hello = readClientHello(bytes);
    if (hello === undefined) return undefined;
    const { mode } = hello;
    if (mode === "secret" || mode === "ticket") {
      const isRight = hasMac(this.secretMacs.get(mode), hello);
      return isRight ? { ...hello, isRecognized: true } : undefined;
    }
    if (mode === "key" && this.offered.has("key")) {
      if (hasMac(this.localKeyMac, hello)) return { ...hello, isRecognized: true };
      // The answer informs a peer that expects another key, unless the listener is silent to
      // strangers.
      return this.config.isSilent ? undefined : { ...hello, isRecognized: false };
    }
    // Codes, offered or not, and unknown modes are answered only if strangers may detect the
    // listener.
    const mayAnswer = mode !== undefined && this.offered.has(mode) ? true : mode !== "key" && this.isOpen;
    return mayAnswer && hasMac(this.publicMac, hello) ? { ...hello, isRecognized: false } : undefined;
  }

  /**
   * Whether the peer at this address may start a handshake now.
   *
   * @param source the source that the peer's guesses count against, see `sourceOf`
   */
  admit(
    nowMs: number,
    hello: ScreenedHello,
    address: string,
    port: number,
    source: string = address,
  ): Admission {
    const { free, validated } = this.allowances[hello.isRecognized ? 1 : 0]!;
    const mustValidate = this.mayGuess(hello.mode) && this.guesses.requiresCookie(source);
    if (!mustValidate && free.take(nowMs)) return "enter";
    if (nowMs - this.cookieSecretAtMs >= COOKIE_SECRET_MS) {
      this.cookieSecret = this.newCookieSecret();
      this.cookieSecretAtMs = nowMs;
    }
    // The hash is computed only for messages with a cookie, which a flood does not have.
    if (hello.proof.some((byte) => byte !== 0)) {
      const cookie = cookieOf(this.cookieSecret, hello, address, port);
      if (equalBytes(hello.proof, proofOfCookie(cookie, hello.mac1))) {
        return validated.take(nowMs) ? "enter" : "drop";
      }
    }
    const slot = this.slotOf(address);
    if (nowMs - this.cookieSentAtMs[slot]! < COOKIE_PAUSE_MS) return "drop";
    this.cookieSentAtMs[slot] = nowMs;
    const cookie = cookieOf(this.cookieSecret, hello, address, port);
    const nonce = this.config.random(COOKIE_NONCE_BYTES);
    const sealed = sealCookie(hello, hello.mac1, nonce, cookie);
    return encodeCookiePacket({ destinationId: hello.sourceId, nonce, sealed });
  }

  /** Starts the PAKE run of an admitted peer; undefined if the mode has no PAKE. */
  beginRun(nowMs: number, mode: Mode | undefined, source: string): RunVerdict | undefined {
    return this.mayGuess(mode) ? this.guesses.begin(nowMs, source) : undefined;
  }

  private mayGuess(mode: Mode | undefined): boolean {
    return mode !== undefined && this.guessable.has(mode);
  }

  /** Whether strangers may detect that a listener is here. */
  private get isOpen(): boolean {
    for (const mode of this.offered) if (isPakeMode(mode) || this.config.isSilent !== true) return true;
    return false;
  }

  private newCookieSecret(): GateMac {
    const seed = this.config.random(4);
    this.hashSeed = (seed[0]! << 24) | (seed[1]! << 16) | (seed[2]! << 8) | seed[3]!;
    return new GateMac(this.config.random(COOKIE_SECRET_BYTES));
  }

  /**
   * FNV-1a with a secret seed, so that an attacker cannot choose the other addresses in its slot.
   */
  private slotOf(address: string): number {
    let hash = this.hashSeed;
    for (let i = 0; i < address.length; i++) hash = Math.imul(hash ^ address.charCodeAt(i), 0x01000193);
    return (hash ^ (hash >>> 15)) & (COOKIE_SLOTS - 1);
  }
}

interface Allowances {
  readonly free: Allowance;
  readonly validated: Allowance;
}

function newAllowances(): Allowances {
  return {
    free: new Allowance(FREE_BURST, FREE_PER_SECOND),
    validated: new Allowance(VALIDATED_BURST, VALIDATED_PER_SECOND),
  };
}

function hasMac(mac: GateMac | undefined, { covered, mac1 }: ClientHello): boolean {
  return mac !== undefined && equalBytes(mac.of(covered), mac1);
}

/**
 * The gate before a responder: which first messages are worth any work at all.
 *
 * Three questions, the cheapest first. Is there a way in for this mode, and does mac1 say what it must? One hash
 * of some hundred bytes; where everybody who may come knows something that strangers do not (a secret, this
 * side's key), whoever does not know it gets silence. Are there handshakes to spare? A few are free; beyond
 * them the address is asked to prove itself: it gets a cookie, which costs no memory here, and comes again
 * with it. Are there more proven ones than the machine is to work for? Then they wait for their next attempt.
 *
 * So a flood from forged addresses costs hashes and small answers, one for each address and quarter of a
 * second, and a flood from true ones as many handshakes as are put up with. Whoever is acquainted has an
 * allowance of its own, which strangers cannot use up.
 *
 * Who comes with a code or passphrase may guess, and guesses have limits of their own: guess-limits.ts.
 *
 * Pure: the owner sends what comes out, and hands in the time, the randomness and what may be offered.
 * Read first: WireGuard (Donenfeld, NDSS 2017), §5.3; crypto/gate.ts; wire/first-message.ts.
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
  /** This side's static public key. */
  readonly publicKey: Uint8Array;
  /** In key mode, silence towards whoever does not know this side's key beforehand. */
  readonly isSilent?: boolean;
}

/** A first message that may come in as far as its mode and mac1 go. */
export interface Visitor extends ClientHello {
  /** Its mac1 shows that it knows this side's key or secret. */
  readonly isAcquainted: boolean;
}

/** What becomes of a visitor: it enters, is passed over, or is sent this packet (a cookie). */
export type Admission = "enter" | "drop" | Uint8Array;

/** Handshakes that may begin without a cookie: at once, and in a second. */
const FREE_BURST = 32;
const FREE_PER_SECOND = 4;
/** Handshakes that may begin with one. Each costs a few scalar multiplications, about a millisecond. */
const PROVEN_BURST = 100;
const PROVEN_PER_SECOND = 100;
/** A cookie is good for at most so long.  // WireGuard §5.3 */
const COOKIE_SECRET_MS = 120_000;
const COOKIE_SECRET_BYTES = 32;
/** An address is sent one cookie in so long: as often as an initiator asks when it begins. */
const COOKIE_PAUSE_MS = 250;
/** Addresses share places in the table of those pauses; its size is all that it can ever take. */
const COOKIE_PLACES = 1 << 14;

export class Gate {
  /** Limits of guesses at the code or passphrase. */
  readonly guesses: GuessLimits = new GuessLimits();
  private readonly config: GateConfig;
  private readonly publicMac: GateMac = new GateMac(gateKey("public"));
  private readonly ownMac: GateMac;
  /** mac1 of the modes in which both sides have a secret. */
  private readonly secretMacs: Map<Mode, GateMac> = new Map();
  private readonly offered: Set<Mode> = new Set();
  /** Modes in which a peer may guess now. */
  private readonly guessable: Set<Mode> = new Set();
  private readonly allowances: readonly Allowances[] = [newAllowances(), newAllowances()];
  private cookieSecret: GateMac;
  private cookieSecretAtMs: number;
  private readonly cookieSentAtMs: Float64Array = new Float64Array(COOKIE_PLACES).fill(-COOKIE_PAUSE_MS);
  private hashSeed = 0;

  constructor(nowMs: number, config: GateConfig) {
    this.config = config;
    this.ownMac = new GateMac(gateKey("key", config.publicKey));
    this.cookieSecret = this.newCookieSecret();
    this.cookieSecretAtMs = nowMs;
  }

  /** What peers may come with from now on. Who comes with a code that was there before is to hear that it is void. */
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

  /** The first message in `bytes` if its mode and mac1 let it pass, with views into `bytes`. */
  examine(bytes: Uint8Array): Visitor | undefined {
    const knock = readClientHello(bytes);
    if (knock === undefined) return undefined;
    const { mode } = knock;
    if (mode === "secret" || mode === "ticket") {
      const isRight = isUnder(this.secretMacs.get(mode), knock);
      return isRight ? { ...knock, isAcquainted: true } : undefined;
    }
    if (mode === "key" && this.offered.has("key")) {
      if (isUnder(this.ownMac, knock)) return { ...knock, isAcquainted: true };
      // A peer that expects another key finds that out by itself, unless strangers are to find nothing here.
      return this.config.isSilent ? undefined : { ...knock, isAcquainted: false };
    }
    // What remains are codes, offered or not, and modes unknown: who may be heard of at all may say so.
    const isTold = mode !== undefined && this.offered.has(mode) ? true : mode !== "key" && this.isOpen;
    return isTold && isUnder(this.publicMac, knock) ? { ...knock, isAcquainted: false } : undefined;
  }

  /**
   * Whether the visitor from this address may begin a handshake now.
   *
   * @param source what its guesses are counted by, see `sourceOf`
   */
  admit(nowMs: number, visitor: Visitor, address: string, port: number, source: string = address): Admission {
    const { free, proven } = this.allowances[visitor.isAcquainted ? 1 : 0]!;
    const mustProve = this.mayGuess(visitor.mode) && this.guesses.wantsProof(source);
    if (!mustProve && free.take(nowMs)) return "enter";
    if (nowMs - this.cookieSecretAtMs >= COOKIE_SECRET_MS) {
      this.cookieSecret = this.newCookieSecret();
      this.cookieSecretAtMs = nowMs;
    }
    // A flood brings no proofs, and is not worth a hash.
    if (visitor.proof.some((byte) => byte !== 0)) {
      const cookie = cookieOf(this.cookieSecret, visitor, address, port);
      if (equalBytes(visitor.proof, proofOfCookie(cookie, visitor.mac1))) {
        return proven.take(nowMs) ? "enter" : "drop";
      }
    }
    const point = this.placeOf(address);
    if (nowMs - this.cookieSentAtMs[point]! < COOKIE_PAUSE_MS) return "drop";
    this.cookieSentAtMs[point] = nowMs;
    const cookie = cookieOf(this.cookieSecret, visitor, address, port);
    const nonce = this.config.random(COOKIE_NONCE_BYTES);
    const sealed = sealCookie(visitor, visitor.mac1, nonce, cookie);
    return encodeCookiePacket({ destinationId: visitor.sourceId, nonce, sealed });
  }

  /** Begins the run of a visitor that was admitted; undefined where there is nothing to guess. */
  beginRun(nowMs: number, mode: Mode | undefined, source: string): RunVerdict | undefined {
    return this.mayGuess(mode) ? this.guesses.begin(nowMs, source) : undefined;
  }

  private mayGuess(mode: Mode | undefined): boolean {
    return mode !== undefined && this.guessable.has(mode);
  }

  /** Whether strangers may learn that somebody is here. */
  private get isOpen(): boolean {
    for (const mode of this.offered) if (isPakeMode(mode) || this.config.isSilent !== true) return true;
    return false;
  }

  private newCookieSecret(): GateMac {
    const seed = this.config.random(4);
    this.hashSeed = (seed[0]! << 24) | (seed[1]! << 16) | (seed[2]! << 8) | seed[3]!;
    return new GateMac(this.config.random(COOKIE_SECRET_BYTES));
  }

  /** FNV-1a from a secret start, so that nobody can choose whose place to occupy. */
  private placeOf(address: string): number {
    let hash = this.hashSeed;
    for (let i = 0; i < address.length; i++) hash = Math.imul(hash ^ address.charCodeAt(i), 0x01000193);
    return (hash ^ (hash >>> 15)) & (COOKIE_PLACES - 1);
  }
}

interface Allowances {
  readonly free: Allowance;
  readonly proven: Allowance;
}

function newAllowances(): Allowances {
  return {
    free: new Allowance(FREE_BURST, FREE_PER_SECOND),
    proven: new Allowance(PROVEN_BURST, PROVEN_PER_SECOND),
  };
}

function isUnder(mac: GateMac | undefined, { covered, mac1 }: ClientHello): boolean {
  return mac !== undefined && equalBytes(mac.of(covered), mac1);
}

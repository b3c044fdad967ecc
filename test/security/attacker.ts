/**
 * Somebody who sits between two sides and sees, changes, drops, repeats, reflects and swaps what they send, and
 * speaks for either. It knows every public value and can compute every public key; what it does not know is what
 * the two share. Everything follows from its seed.
 */
import { GateMac, gateKey } from "../../src/crypto/first-message-mac.ts";
import { packetIntegrity } from "../../src/crypto/integrity.ts";
import { Handshake, type HandshakeConfig, type Mode } from "../../src/engine/handshake/handshake.ts";
import { nodePrimitives } from "../../src/platform/crypto/node-provider.ts";
import { encodeCookiePacket, readClientHello } from "../../src/wire/first-message.ts";
import {
  encodeNotice,
  HANDSHAKE_BYTES,
  INTEGRITY_BYTES,
  NOTICE_BYTES,
} from "../../src/wire/handshake-packet.ts";
import type { Random } from "../sim/random.ts";

/** 0: towards the initiator. 1: towards the responder. */
type Direction = 0 | 1;

/** What arrives in place of a datagram. */
export interface Arrival {
  readonly to: Direction;
  readonly bytes: Uint8Array;
  /** From an address of the attacker's own. */
  readonly isForeign: boolean;
  readonly delayMs: number;
}

export const MANIPULATIONS = [
  "drop",
  "repeat",
  "delay",
  "replay",
  "reflect",
  "flip",
  "edit",
  "cut",
  "extend",
  "swap",
  "impersonate",
  "answer",
  "call",
  "notice",
  "cookie",
  "renumber",
  "junk",
] as const;
export type Manipulation = (typeof MANIPULATIONS)[number];

/** What makes sense once there are keys. */
const AGAINST_DATA: readonly Manipulation[] = [
  ...(["drop", "repeat", "delay", "replay", "reflect", "flip", "cut", "extend", "swap"] as const),
  ...(["impersonate", "renumber", "junk"] as const),
];

export interface AttackerOptions {
  readonly random: Random;
  readonly mode: Mode;
  /** Share of the datagrams that it lays hands on, of the handshake and behind it. */
  readonly rates: { readonly handshake: number; readonly data: number };
}

const REMEMBERED = 64;
/** High nibble of data packets. */
const KINDS_WITH_KEYS = 0xc0;

export class Attacker {
  /** How often it has done what. */
  readonly done: Map<Manipulation, number> = new Map();
  readonly #options: AttackerOptions;
  readonly #random: Random;
  readonly #seen: [Uint8Array[], Uint8Array[]] = [[], []];
  /** Its own runs: one that answers the initiator, one that calls the responder. */
  #answering: Handshake;
  readonly #calling: Handshake;

  constructor(options: AttackerOptions) {
    this.#options = options;
    this.#random = options.random;
    this.#answering = this.#newHandshake("responder");
    this.#calling = this.#newHandshake("initiator");
    this.#calling.start(0);
  }

  get manipulations(): number {
    let sum = 0;
    for (const count of this.done.values()) sum += count;
    return sum;
  }

  /** A datagram comes by. */
  handle(to: Direction, bytes: Uint8Array): Arrival[] {
    this.#remember(to, bytes);
    const genuine: Arrival = { to, bytes, isForeign: false, delayMs: 10 };
    const random = this.#random;
    const { handshake, data } = this.#options.rates;
    const hasKeys = (bytes[0]! & 0xf0) === KINDS_WITH_KEYS;
    if (!random.chance(hasKeys ? data : handshake)) return [genuine];
    // A handshake has few packets, so each is worth several tries.
    const tries = hasKeys ? 1 : random.integer(1, 6);
    const arrivals: Arrival[] = [];
    let isHeld = tries > 1 && random.chance(0.3);
    for (let n = 0; n < tries; n++) {
      const what = random.pick(hasKeys ? AGAINST_DATA : MANIPULATIONS);
      const made = this.#manipulate(what, genuine);
      if (made === undefined) continue;
      this.done.set(what, (this.done.get(what) ?? 0) + 1);
      isHeld ||= tries === 1 && !made.includes(genuine);
      arrivals.push(...made.filter((one) => one !== genuine));
    }
    return isHeld ? arrivals : [...arrivals, genuine];
  }

  /** Undefined where there is nothing to do it with. */
  #manipulate(what: Manipulation, genuine: Arrival): Arrival[] | undefined {
    const random = this.#random;
    const { to, bytes } = genuine;
    const changed = (other: Uint8Array): Arrival => ({
      ...genuine,
      bytes: other,
      isForeign: random.chance(0.3),
    });
    /** The genuine one goes on in half of the cases. */
    const with_ = (...others: Arrival[]): Arrival[] =>
      random.chance(0.5) ? [...others, { ...genuine, delayMs: 11 }] : others;
    switch (what) {
      case "drop":
        return [];
      case "repeat":
        return [genuine, changed(bytes), { ...genuine, delayMs: random.integer(11, 400) }];
      case "delay":
        return [{ ...genuine, delayMs: random.integer(11, 600) }];
      case "replay": {
        const old = this.#recall(to);
        return old === undefined ? undefined : [genuine, changed(old)];
      }
      case "reflect":
        return with_({ ...changed(bytes), to: other(to) });
      case "flip":
        return with_(changed(this.#flip(bytes)));
      case "edit":
        return bytes.length === HANDSHAKE_BYTES || bytes.length === NOTICE_BYTES
          ? with_(changed(resealed(this.#flip(bytes))))
          : undefined;
      case "cut":
        return with_(changed(bytes.slice(0, random.below(bytes.length))));
      case "extend":
        return with_(changed(Uint8Array.of(...bytes, ...random.bytes(random.integer(1, 100)))));
      case "swap":
        return this.#swap(genuine, with_);
      case "impersonate":
        return [{ ...genuine, isForeign: true }];
      case "answer": {
        if (to !== 1 || bytes.length !== HANDSHAKE_BYTES) return undefined;
        if (readClientHello(bytes) !== undefined) this.#answering = this.#newHandshake("responder");
        this.#answering.handlePacket(0, bytes);
        const reply = this.#answering.pollTransmit();
        return reply === undefined ? undefined : with_({ ...genuine, to: 0, bytes: reply });
      }
      case "call": {
        const call = this.#calling.request;
        return call === undefined
          ? undefined
          : with_({ ...genuine, to: 1, bytes: call, isForeign: random.chance(0.5) });
      }
      case "notice": {
        const reason = random.pick(["refused", "busy", "version"] as const);
        const first = this.#seen[1].find((one) => readClientHello(one) !== undefined);
        if (first === undefined) return undefined;
        const lowest = random.below(256);
        const versions = { lowest, highest: random.integer(lowest, 255) };
        const destinationId = first.slice(11, 19);
        const notice = encodeNotice({ reason, destinationId, versions }, packetIntegrity);
        return with_({ ...genuine, to: 0, bytes: notice });
      }
      case "cookie": {
        const first = this.#seen[1].find((one) => readClientHello(one) !== undefined);
        if (first === undefined) return undefined;
        const cookie = {
          destinationId: first.slice(11, 19),
          nonce: random.bytes(24),
          sealed: random.bytes(32),
        };
        return with_({ ...genuine, to: 0, bytes: encodeCookiePacket(cookie) });
      }
      case "renumber": {
        if ((bytes[0]! & 0xf0) !== KINDS_WITH_KEYS || bytes.length < 33) return undefined;
        const copy = bytes.slice();
        copy.set(random.bytes(6), 9);
        return with_(changed(copy));
      }
      case "junk": {
        const junk = random.bytes(random.integer(1, 1400));
        junk[0] = random.pick([0xc0, 0xc2, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xe0, 0xe1, 0xff]);
        return with_(changed(junk));
      }
    }
  }

  /** Header of one packet, the rest of another; the fields that anybody can compute are made right. */
  #swap(genuine: Arrival, with_: (...others: Arrival[]) => Arrival[]): Arrival[] | undefined {
    const { to, bytes } = genuine;
    const donor = this.#recall(this.#random.chance(0.5) ? to : other(to));
    if (donor === undefined || donor.length < 34 || bytes.length < 34) return undefined;
    const isHandshake = bytes.length === HANDSHAKE_BYTES && donor.length === HANDSHAKE_BYTES;
    const headBytes = isHandshake ? this.#random.pick([1, 11, 19, 24, 40]) : this.#random.pick([1, 9, 17]);
    const mixed = donor.slice();
    mixed.set(bytes.subarray(0, headBytes));
    return with_({ ...genuine, bytes: isHandshake ? resealed(mixed) : mixed });
  }

  #flip(bytes: Uint8Array): Uint8Array {
    const copy = bytes.slice();
    // The padding of handshake packets is most of them, and means nothing.
    const reach = copy.length === HANDSHAKE_BYTES && this.#random.chance(0.9) ? 300 : copy.length;
    for (let changes = this.#random.integer(1, 3); changes > 0; changes--) {
      copy[this.#random.below(Math.min(reach, copy.length))]! ^= 1 << this.#random.below(8);
    }
    return copy;
  }

  #remember(to: Direction, bytes: Uint8Array): void {
    const seen = this.#seen[to];
    // The first ones are the handshake's, which are kept.
    if (seen.length < REMEMBERED) seen.push(bytes.slice());
    else seen[this.#random.integer(REMEMBERED / 4, REMEMBERED - 1)] = bytes.slice();
  }

  #recall(to: Direction): Uint8Array | undefined {
    const seen = this.#seen[to];
    return seen.length === 0 ? undefined : this.#random.pick(seen);
  }

  #newHandshake(role: "initiator" | "responder"): Handshake {
    const random = (byteLength: number): Uint8Array => this.#random.bytes(byteLength);
    const secretKey = random(32);
    const config: HandshakeConfig = {
      role,
      ...(role === "initiator" && { mode: this.#options.mode }),
      // A guess of each kind: what it does not know.
      credentials: {
        key: true,
        secret: random(32),
        ticket: random(32),
        code: random(20),
        passphrase: random(20),
      },
      primitives: nodePrimitives,
      random,
      identity: { secretKey, publicKey: nodePrimitives.x25519.publicKey(secretKey) },
      connectionId: random(8),
      parameters: random(20),
      verifyPeer: () => "accept",
    };
    return new Handshake(config);
  }
}

function other(direction: Direction): Direction {
  return direction === 0 ? 1 : 0;
}

/** mac1 under the public key, and the integrity field, made right: both are anybody's to make. */
function resealed(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  const knock = readClientHello(copy);
  if (knock !== undefined) copy.set(new GateMac(gateKey("public")).of(knock.covered), 1152);
  const isNotice = copy.length === NOTICE_BYTES;
  const idAt = isNotice ? 2 : 11;
  const end = copy.length - INTEGRITY_BYTES;
  copy.set(packetIntegrity(copy.slice(idAt, idAt + 8), copy.slice(0, end)), end);
  return copy;
}

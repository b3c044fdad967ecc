/**
 * A token bucket for each source (IPv4 address, IPv6 /64) in a table of bounded size.
 *
 * A bucket is one number, the time at which it is full again, so a source with a full bucket needs
 * no entry. When the table is full, the source that has been idle longest loses its entry and
 * starts with a full bucket. An attacker with many addresses gains bursts, but cannot increase the
 * memory.
 */
import { ipFromBytes, ipToBytes } from "../wire/ip-address.ts";

export interface SourceRate {
  /** Tokens added per second. */
  readonly perSecond: number;
  /** Size of the bucket in tokens. */
  readonly burst: number;
}

/** Maximum number of sources in the table, about 100 bytes each. */
export const MAX_SOURCES = 16_384;

export class SourceRates {
  readonly #msPerToken: number;
  readonly #depthMs: number;
  readonly #maxSources: number;
  readonly #keyOf: (address: string) => string;
  /**
   * The time at which the bucket of each source is full again. The source that has been idle
   * longest comes first.
   */
  readonly #fullAtMs: Map<string, number> = new Map();

  /**
   * @param keyOf returns the bucket of an address; default: one bucket for each IPv4 address and
   * IPv6 /64
   */
  constructor(
    { perSecond, burst }: SourceRate,
    maxSources: number = MAX_SOURCES,
    keyOf: (address: string) => string = quotaKey,
  ) {
    this.#keyOf = keyOf;
    this.#msPerToken = 1000 / perSecond;
    this.#depthMs = burst * this.#msPerToken;
    this.#maxSources = maxSources;
  }

  /**
   * Takes tokens from a source's bucket. Returns false, without taking any, if the bucket has
   * fewer.
   */
  take(nowMs: number, address: string, tokens = 1): boolean {
    const key = this.#keyOf(address);
    const known = this.#fullAtMs.get(key);
    const fullAtMs = Math.max(known ?? 0, nowMs) + tokens * this.#msPerToken;
    if (fullAtMs - nowMs > this.#depthMs) return false;
    if (known !== undefined) this.#fullAtMs.delete(key);
    else if (this.#fullAtMs.size >= this.#maxSources) {
      this.#fullAtMs.delete(this.#fullAtMs.keys().next().value!);
    }
    this.#fullAtMs.set(key, fullAtMs);
    return true;
  }

  /** Removes sources whose buckets are full again. */
  sweep(nowMs: number): void {
    for (const [key, fullAtMs] of this.#fullAtMs) {
      if (fullAtMs > nowMs) return;
      this.#fullAtMs.delete(key);
    }
  }

  /** Number of sources in the table. */
  get size(): number {
    return this.#fullAtMs.size;
  }
}

/**
 * The part of an address that a provider assigns to one customer: a whole IPv4 address, or the /64 of an IPv6
 * address. An IPv4-mapped address counts as IPv4.
 */
export function quotaKey(address: string): string {
  if (!address.includes(":")) return address;
  const zoneAt = address.indexOf("%");
  const bytes = ipToBytes(zoneAt < 0 ? address : address.slice(0, zoneAt));
  if (bytes === undefined) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(ipFromBytes(bytes));
  if (mapped?.[1] !== undefined) return mapped[1];
  return `${ipFromBytes(bytes.fill(0, SUBNET_BYTES))}/64`;
}

/** Length in bytes of the /64 prefix of an IPv6 address. */
const SUBNET_BYTES = 8;

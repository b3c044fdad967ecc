/**
 * Finds the largest datagram that the path carries, and detects when the path carries less.
 * // RFC 8899 (DPLPMTUD), docs/protocol.md, "Path MTU"
 *
 * Deviates from a plain binary search: the ceiling is tried first, because most paths carry it.
 */
import { DATAGRAM_FLOOR_BYTES } from "../../base/path.ts";

/** Minimum difference between two probe sizes. */
const STEP_BYTES = 20;
/**
 * Losses of probes of one size after which the size counts as too large.
 * // RFC 8899 §5.1.2 MAX_PROBES
 */
const TRIES = 3;
/**
 * Time after which a search that ended below the ceiling is repeated.
 * // RFC 8899 §5.1.1 PMTU_RAISE_TIMER
 */
const RAISE_AFTER_MS = 600_000;
/** Consecutive losses of large packets, with none arriving, that indicate a black hole. */
const BLACK_HOLE_LOSSES = 4;
/** Pause after a black hole, in round trips: the lost data is retransmitted first. */
const BLACK_HOLE_PAUSE_ROUND_TRIPS = 5;
/** Pause between probes, in round trips, so that they remain a small part of the traffic. */
const PAUSE_ROUND_TRIPS = 1;

/** Largest UDP payload of an Ethernet frame over IPv4. */
const ETHERNET_BYTES = 1472;

export class MtuDiscovery {
  /** Datagrams of this size are known to arrive. */
  currentBytes: number = DATAGRAM_FLOOR_BYTES;
  private readonly ceilingBytes: number;
  /** Sizes from this value on are known to be lost; initially one more than the ceiling. */
  private tooLargeBytes: number;
  private tries = 0;
  /** Size of the probe in flight, 0 for none. */
  private outstandingBytes = 0;
  private nextAtMs: number;
  /** The search has ended; it restarts later. */
  private isResting = false;
  private largeLosses = 0;

  /**
   * @param ceilingBytes largest UDP payload that is worth trying; a value up to the floor disables
   * the search
   */
  constructor(nowMs: number, ceilingBytes: number) {
    this.ceilingBytes = ceilingBytes;
    this.tooLargeBytes = ceilingBytes + 1;
    this.nextAtMs = nowMs;
  }

  /**
   * When the next probe may leave; Infinity while one is in flight or there is nothing left to
   * find.
   */
  get probeAtMs(): number {
    if (this.outstandingBytes > 0 || this.currentBytes >= this.ceilingBytes) return Number.POSITIVE_INFINITY;
    return this.nextAtMs;
  }

  /** Size of the next probe. */
  get probeBytes(): number {
    // A new search starts with the ceiling, like the first one.
    if (this.isResting || this.tooLargeBytes > this.ceilingBytes) return this.ceilingBytes;
    const middle = Math.ceil((this.currentBytes + this.tooLargeBytes) / 2);
    // If the interface has a much larger MTU, as loopback does, the path usually has Ethernet's.
    return this.currentBytes < ETHERNET_BYTES ? Math.min(middle, ETHERNET_BYTES) : middle;
  }

  onProbeSent(bytes: number): void {
    if (this.isResting) {
      this.isResting = false;
      this.tooLargeBytes = this.ceilingBytes + 1;
      this.tries = 0;
    }
    this.outstandingBytes = bytes;
  }

  onProbeAcked(nowMs: number, bytes: number): void {
    if (bytes === this.outstandingBytes) this.outstandingBytes = 0;
    if (bytes <= this.currentBytes) return;
    this.currentBytes = bytes;
    this.tries = 0;
    this.largeLosses = 0;
    this.nextAtMs = nowMs;
    this.restIfDone(nowMs);
  }

  /** The probe was lost, or the system refused it (EMSGSIZE).  // docs/protocol.md, "Path MTU" */
  onProbeLost(nowMs: number, bytes: number, rttMs: number): void {
    if (bytes !== this.outstandingBytes) return;
    this.outstandingBytes = 0;
    this.nextAtMs = nowMs + PAUSE_ROUND_TRIPS * rttMs;
    // A late acknowledgement has confirmed this size meanwhile, so nothing is known about larger
    // ones.
    if (bytes <= this.currentBytes) return;
    if (++this.tries < TRIES) return;
    this.tries = 0;
    this.tooLargeBytes = bytes;
    this.restIfDone(nowMs);
  }

  /** Packets above the floor arrived: the path carries packets of this size. */
  onLargeAcked(): void {
    this.largeLosses = 0;
  }

  /**
   * `packets` above the floor were lost. Returns true if the path has become a black hole for them:
   * from now on the floor applies, and the search restarts below the size that used to pass.
   */
  onLargeLost(nowMs: number, packets: number, rttMs: number): boolean {
    this.largeLosses += packets;
    if (this.largeLosses < BLACK_HOLE_LOSSES || this.currentBytes <= DATAGRAM_FLOOR_BYTES) return false;
    this.largeLosses = 0;
    this.tooLargeBytes = Math.min(this.currentBytes, this.ceilingBytes);
    this.currentBytes = DATAGRAM_FLOOR_BYTES;
    this.tries = 0;
    this.outstandingBytes = 0;
    this.isResting = false;
    this.nextAtMs = nowMs + BLACK_HOLE_PAUSE_ROUND_TRIPS * rttMs;
    this.restIfDone(nowMs);
    return true;
  }

  private restIfDone(nowMs: number): void {
    if (this.tooLargeBytes - this.currentBytes > STEP_BYTES && this.currentBytes < this.ceilingBytes) return;
    this.isResting = true;
    this.nextAtMs = nowMs + RAISE_AFTER_MS;
  }
}

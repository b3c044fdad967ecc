/**
 * Finds the largest datagram that the path carries, and notices when it carries less.
 * // RFC 8899 (DPLPMTUD), docs/protocol.md, "Path MTU"
 *
 * Deviates from a plain binary search: the ceiling is tried first, because most paths carry it.
 */
import { DATAGRAM_FLOOR_BYTES } from "../../base/path.ts";

/** Smallest step worth a probe. */
const STEP_BYTES = 20;
/** Losses of a probe of one size that prove the size too large.  // RFC 8899 §5.1.2 MAX_PROBES */
const TRIES = 3;
/** A search that ended below the ceiling is repeated after this.  // RFC 8899 §5.1.1 PMTU_RAISE_TIMER */
const RAISE_AFTER_MS = 600_000;
/** Large packets lost in a row, with none arriving, that prove a black hole. */
const BLACK_HOLE_LOSSES = 4;
/** Pause after a black hole, in round trips: what vanished is sent again first. */
const BLACK_HOLE_PAUSE_ROUND_TRIPS = 5;
/** Pause between probes, in round trips, so that they stay a small part of what is sent. */
const PAUSE_ROUND_TRIPS = 1;

/** UDP payload of an Ethernet frame over IPv4. */
const ETHERNET_BYTES = 1472;

export class MtuDiscovery {
  /** Datagrams of this size are known to arrive. */
  currentBytes: number = DATAGRAM_FLOOR_BYTES;
  private readonly ceilingBytes: number;
  /** Sizes from this on are known to be lost; one more than the ceiling at first. */
  private tooLargeBytes: number;
  private tries = 0;
  /** Size of the probe on its way, 0 for none. */
  private outstandingBytes = 0;
  private nextAtMs: number;
  /** The search has ended, until it is time for another. */
  private isResting = false;
  private largeLosses = 0;

  /** @param ceilingBytes largest UDP payload that is worth trying; the floor or less turns the search off */
  constructor(nowMs: number, ceilingBytes: number) {
    this.ceilingBytes = ceilingBytes;
    this.tooLargeBytes = ceilingBytes + 1;
    this.nextAtMs = nowMs;
  }

  /** When the next probe may leave; Infinity while one is on its way or nothing is left to find. */
  get probeAtMs(): number {
    if (this.outstandingBytes > 0 || this.currentBytes >= this.ceilingBytes) return Number.POSITIVE_INFINITY;
    return this.nextAtMs;
  }

  /** Size that the next probe has. */
  get probeBytes(): number {
    // A search that has ended begins anew with the ceiling, as the first one did.
    if (this.isResting || this.tooLargeBytes > this.ceilingBytes) return this.ceilingBytes;
    const middle = Math.ceil((this.currentBytes + this.tooLargeBytes) / 2);
    // Below an interface that takes far more, as loopback does, the path is Ethernet's more often than not.
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
    // A late arrival has proved as much meanwhile: nothing is known of larger sizes.
    if (bytes <= this.currentBytes) return;
    if (++this.tries < TRIES) return;
    this.tries = 0;
    this.tooLargeBytes = bytes;
    this.restIfDone(nowMs);
  }

  /** Packets above the floor arrived: what is that large passes. */
  onLargeAcked(): void {
    this.largeLosses = 0;
  }

  /**
   * `packets` above the floor were lost. Returns true when the path has turned into a black hole for them:
   * from now on the floor holds, and the search begins anew below what used to pass.
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

/**
 * The share of packets that a path loses at any load, measured over packets sent more slowly than
 * the path delivers.
 */

/** After this many bytes, earlier measurements are weighted by half. */
const MEMORY_BYTES: number = 2 * 1024 * 1024;
/** Minimum number of bytes for a result. */
const EVIDENCE_BYTES = 60_000;
/** Upper bound of the share. */
const MAX_SHARE = 0.1;
/**
 * Losses are not spread evenly: a flight may lose this many standard deviations more than its
 * share.
 */
const DEVIATIONS = 2;

export class LossFloor {
  private lostBytes = 0;
  private ackedBytes = 0;
  /** Packet numbers that were sent slowly: [from, to). */
  private from = -1;
  private to = -1;

  /** Packets from `packetNumber` on are sent more slowly than the path delivers. */
  begin(packetNumber: number): void {
    this.from = packetNumber;
    this.to = Number.POSITIVE_INFINITY;
  }

  /** Packets from `packetNumber` on are no longer sent slowly. */
  end(packetNumber: number): void {
    if (this.to === Number.POSITIVE_INFINITY) this.to = packetNumber;
  }

  onAcked(packetNumber: number, bytes: number): void {
    if (packetNumber >= this.from && packetNumber < this.to) this.add(0, bytes);
  }

  onLost(packetNumber: number, bytes: number): void {
    if (packetNumber >= this.from && packetNumber < this.to) this.add(bytes, 0);
  }

  add(lostBytes: number, ackedBytes: number): void {
    this.lostBytes += lostBytes;
    this.ackedBytes += ackedBytes;
    if (this.lostBytes + this.ackedBytes < MEMORY_BYTES) return;
    this.lostBytes /= 2;
    this.ackedBytes /= 2;
  }

  /** The share that a flight of `packets` packets may lose at any load. */
  share(packets: number): number {
    const bytes = this.lostBytes + this.ackedBytes;
    if (bytes < EVIDENCE_BYTES || this.lostBytes === 0) return 0;
    const share = Math.min(this.lostBytes / bytes, MAX_SHARE);
    return share + DEVIATIONS * Math.sqrt(share / Math.max(packets, 1));
  }
}

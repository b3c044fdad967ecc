/**
 * Unreliable datagrams beside the streams: sent once, under congestion control, and never
 * retransmitted.  // RFC 9221
 */

/**
 * Maximum number of datagrams that wait for the window; further ones are refused.
 * // docs/protocol.md, "Datagrams"
 */
const OUTGOING_LIMIT = 256;
/**
 * Maximum number of datagrams that wait for the application, and of their bytes. Beyond it the
 * oldest is dropped.
 */
const INCOMING_LIMIT = 512;
const INCOMING_LIMIT_BYTES: number = 4 * 1024 * 1024;

export class Datagrams {
  sentCount = 0;
  receivedCount = 0;
  /** Datagrams that arrived and were dropped because the application did not read them. */
  droppedCount = 0;
  /** An event was raised and the application has not read yet. */
  isAnnounced = false;
  private readonly outgoing: Uint8Array[] = [];
  private readonly incoming: Uint8Array[] = [];
  private incomingBytes = 0;

  /** Queues `bytes`, which must not change until sent. Returns false if too many datagrams wait. */
  send(bytes: Uint8Array): boolean {
    if (this.outgoing.length >= OUTGOING_LIMIT) return false;
    this.outgoing.push(bytes);
    return true;
  }

  get next(): Uint8Array | undefined {
    return this.outgoing[0];
  }

  takeNext(): void {
    this.outgoing.shift();
    this.sentCount++;
  }

  receive(bytes: Uint8Array): void {
    this.receivedCount++;
    this.incoming.push(bytes);
    this.incomingBytes += bytes.length;
    while (this.incoming.length > INCOMING_LIMIT || this.incomingBytes > INCOMING_LIMIT_BYTES) {
      this.incomingBytes -= this.incoming.shift()!.length;
      this.droppedCount++;
    }
  }

  read(): Uint8Array | undefined {
    const bytes = this.incoming.shift();
    if (bytes === undefined) this.isAnnounced = false;
    else this.incomingBytes -= bytes.length;
    return bytes;
  }
}

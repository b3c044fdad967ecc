/**
 * The timers of a connection, by name. A timer holds the time at which it expires; a stopped timer
 * never expires.
 *
 * The parts of a connection know their own deadlines, most of which follow from the last packet
 * sent or received. The connection copies them into this table when it is asked for the next one.
 * On a timeout each part compares its deadline with the clock again, because an earlier part may
 * have moved that deadline.
 */

export const TIMER = {
  /** The handshake repeats its packet, or tries a further address. */
  handshake: 0,
  /** A responder gives up a handshake that does not finish. */
  halfOpen: 1,
  /** Packets are declared lost, or a probe is sent.  // RFC 9002 §6 */
  lossDetection: 2,
  /** A delayed acknowledgement is sent. */
  ack: 3,
  /** The pacer releases the next burst. */
  pacing: 4,
  /** A larger datagram is probed.  // RFC 8899 */
  mtuProbe: 5,
  keepAlive: 6,
  /** Old keys are dropped, or new ones requested. */
  keyUpdate: 7,
  /** A challenge is repeated, or its path is given up.  // RFC 9000 §8.2 */
  pathValidation: 8,
  /** The path in use becomes suspect or dead. */
  pathLife: 9,
  /** The peer has been silent for too long.  // RFC 9000 §10.1 */
  idle: 10,
  /** CLOSE is repeated, or the connection is removed.  // RFC 9000 §10.2 */
  closing: 11,
} as const;

export type Timer = (typeof TIMER)[keyof typeof TIMER];

const TIMER_COUNT = 12;

export class TimerTable {
  private readonly expiryMs: Float64Array = new Float64Array(TIMER_COUNT).fill(Number.POSITIVE_INFINITY);

  /** Arms `timer` for `atMs`; Infinity stops it. */
  set(timer: Timer, atMs: number): void {
    this.expiryMs[timer] = atMs;
  }

  stopAll(): void {
    this.expiryMs.fill(Number.POSITIVE_INFINITY);
  }

  /** When the first timer expires; Infinity if all are stopped. */
  next(): number {
    let earliestMs = Number.POSITIVE_INFINITY;
    for (let timer = 0; timer < TIMER_COUNT; timer++) {
      const atMs = this.expiryMs[timer] ?? Number.POSITIVE_INFINITY;
      if (atMs < earliestMs) earliestMs = atMs;
    }
    return earliestMs;
  }
}

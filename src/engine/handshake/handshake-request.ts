/** The initiator's message in the air: the same again and again, at growing pauses, until it is answered. */

/** Pause before the first repetition, how it grows, and the longest. */
const RESEND_MS = 250;
const RESEND_GROWTH = 1.5;
const RESEND_MOST_MS = 1000;

export class RepeatedRequest {
  private current: Uint8Array;
  /** When it is to be sent again. */
  dueAtMs: number;
  private pauseMs: number;
  private readonly mostMs: number;

  /** @param steadyPauseMs the pause between any two, instead of growing ones */
  constructor(nowMs: number, bytes: Uint8Array, steadyPauseMs?: number) {
    this.current = bytes;
    this.pauseMs = steadyPauseMs ?? RESEND_MS;
    this.mostMs = steadyPauseMs ?? RESEND_MOST_MS;
    this.dueAtMs = nowMs + this.pauseMs;
  }

  get bytes(): Uint8Array {
    return this.current;
  }

  /** The same message with a cookie, which is repeated from now on. */
  replace(bytes: Uint8Array): void {
    this.current = bytes;
  }

  /** The bytes if their time has come, which then is set anew. */
  handleTimeout(nowMs: number): Uint8Array | undefined {
    if (nowMs < this.dueAtMs) return undefined;
    this.pauseMs = Math.min(this.mostMs, this.pauseMs * RESEND_GROWTH);
    this.dueAtMs = nowMs + this.pauseMs;
    return this.bytes;
  }
}

/** So many at once and so many in a second: a token bucket. */

export class Allowance {
  private readonly burst: number;
  private readonly perMs: number;
  private left: number;
  private countedAtMs = 0;

  constructor(burst: number, perSecond: number) {
    this.burst = burst;
    this.perMs = perSecond / 1000;
    this.left = burst;
  }

  /** Whether there is one left. */
  has(nowMs: number): boolean {
    this.left = Math.min(this.burst, this.left + (nowMs - this.countedAtMs) * this.perMs);
    this.countedAtMs = nowMs;
    return this.left >= 1;
  }

  /** Takes one, left or not: what is spent beyond the allowance is missing later. */
  spend(nowMs: number): void {
    this.has(nowMs);
    this.left--;
  }

  /** Whether there was one left, which is then gone. */
  take(nowMs: number): boolean {
    if (!this.has(nowMs)) return false;
    this.left--;
    return true;
  }
}

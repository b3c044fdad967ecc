/** A token bucket: a burst, and a rate at which it refills. */

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

  /** Takes one even if none is left. An overdraft must refill first. */
  spend(nowMs: number): void {
    this.has(nowMs);
    this.left--;
  }

  /** Takes one if there is one left. */
  take(nowMs: number): boolean {
    if (!this.has(nowMs)) return false;
    this.left--;
    return true;
  }
}

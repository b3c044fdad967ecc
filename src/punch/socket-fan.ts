/** The hard side of birthday probing: from which of its many sockets the next opening goes out. */

/**
 * When each socket's openings leave after it was opened, by what they are: past one NAT, past two or three, and all
 * the way. What arrives before the easy side has probed that port may poison it there.
 */
const ROUNDS_MS = [0, 1500, 5000] as const;

export class SocketFan {
  private readonly sockets = new Set<number>();
  private readonly waiting: { socket: number; round: number; atMs: number }[] = [];

  add(nowMs: number, socket: number): void {
    this.sockets.add(socket);
    for (const [round, afterMs] of ROUNDS_MS.entries()) {
      this.waiting.push({ socket, round, atMs: nowMs + afterMs });
    }
    this.waiting.sort((a, b) => a.atMs - b.atMs);
  }

  remove(socket: number): void {
    if (!this.sockets.delete(socket)) return;
    const rest = this.waiting.filter((one) => one.socket !== socket);
    this.waiting.splice(0, this.waiting.length, ...rest);
  }

  get nextAtMs(): number {
    return this.waiting[0]?.atMs ?? Number.POSITIVE_INFINITY;
  }

  /** The next opening that is due, and in which round. */
  next(nowMs: number): { socket: number; round: number } | undefined {
    return this.nextAtMs <= nowMs ? this.waiting.shift() : undefined;
  }

  /** Its sockets; it is empty then. */
  clear(): number[] {
    const all = [...this.sockets];
    this.sockets.clear();
    this.waiting.length = 0;
    return all;
  }
}

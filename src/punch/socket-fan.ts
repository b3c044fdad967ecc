/** The hard peer's half of birthday probing: selects the socket that sends the next opening. */

/**
 * When the openings of each socket leave after it was opened, by round: past one NAT, past two or
 * three, and with full TTL. An opening that arrives before the easy peer has probed that port may
 * poison it there.
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

  /** The next opening that is due, and its round. */
  next(nowMs: number): { socket: number; round: number } | undefined {
    return this.nextAtMs <= nowMs ? this.waiting.shift() : undefined;
  }

  /** Removes and returns all sockets. */
  clear(): number[] {
    const all = [...this.sockets];
    this.sockets.clear();
    this.waiting.length = 0;
    return all;
  }
}

/**
 * Birthday probing, for a pair of which one side is hard: its NAT gives each socket another public port that nobody
 * can foretell, and the other side's NAT lets in only what comes from a port that was sent to.
 *
 * So the hard side opens many sockets and sends from each to the easy side's one public address; the easy side
 * sends to random ports of the hard side until one of them is among those opened. With 256 sockets in 64512 ports
 * 174 probes find one in half of the cases, 1024 in 98.4 %, 1600 in 99.8 %.
 */

/** Sockets of the hard side; fewer where its ports come from a small block. */
const SOCKETS = 256;
const SOCKETS_IN_BLOCK = 64;
/** Probes of the easy side: in one attempt, and in the life of an agent. */
const ATTEMPT_PROBES = 1600;
const LIFE_PROBES = 2048;
/** Ports below belong to services and are seldom given to mappings.  // RFC 4787 §4.2.2 */
const LOWEST_PORT = 1024;
const HIGHEST_PORT = 65535;
/**
 * When each socket's openings leave after its first, by what they are: past one NAT, past two or three, and all the
 * way. What arrives before the easy side has probed that port may poison it there.
 */
const ROUNDS_MS = [0, 1500, 5000] as const;

export interface PortRange {
  readonly low: number;
  readonly high: number;
}

/** How many sockets the hard side opens. */
export function birthdaySockets(block: PortRange | undefined): number {
  return block === undefined ? SOCKETS : SOCKETS_IN_BLOCK;
}

/** The easy side: which port is probed next. */
export class PortSpray {
  private readonly random: (byteLength: number) => Uint8Array;
  private addresses: readonly string[] = [];
  private range: PortRange = { low: LOWEST_PORT, high: HIGHEST_PORT };
  private readonly probed = new Set<number>();
  private attemptProbes = 0;
  private lifeProbes = 0;

  constructor(random: (byteLength: number) => Uint8Array) {
    this.random = random;
  }

  /** Begins an attempt: the other side has other sockets now, so every port may be probed again. */
  begin(addresses: readonly string[], range: PortRange | undefined): void {
    this.addresses = addresses;
    if (range !== undefined) this.range = range;
    this.probed.clear();
    this.attemptProbes = 0;
  }

  stop(): void {
    this.addresses = [];
  }

  get isRunning(): boolean {
    return this.addresses.length > 0 && this.attemptProbes < ATTEMPT_PROBES && this.lifeProbes < LIFE_PROBES;
  }

  /** The next target; no port twice before all were probed. Undefined at the end. */
  next(): { address: string; port: number } | undefined {
    if (!this.isRunning) return undefined;
    const { low, high } = this.range;
    const size = high - low + 1;
    if (this.probed.size >= size) this.probed.clear();
    let port = 0;
    do {
      const [a, b, c, d] = this.random(4);
      port = low + ((((a! << 24) | (b! << 16) | (c! << 8) | d!) >>> 0) % size);
    } while (this.probed.has(port));
    this.probed.add(port);
    const address = this.addresses[this.lifeProbes % this.addresses.length]!;
    this.attemptProbes++;
    this.lifeProbes++;
    return { address, port };
  }
}

/** The hard side: from which socket the next opening goes out. */
export class SocketFan {
  readonly sockets: number[] = [];
  private readonly waiting: { socket: number; round: number; atMs: number }[] = [];

  /** A socket that was opened for it. */
  add(nowMs: number, socket: number): void {
    this.sockets.push(socket);
    for (const [round, afterMs] of ROUNDS_MS.entries())
      this.waiting.push({ socket, round, atMs: nowMs + afterMs });
    this.waiting.sort((a, b) => a.atMs - b.atMs);
  }

  remove(socket: number): void {
    const keep = (one: number): boolean => one !== socket;
    this.sockets.splice(0, this.sockets.length, ...this.sockets.filter(keep));
    this.waiting.splice(0, this.waiting.length, ...this.waiting.filter((one) => keep(one.socket)));
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
    this.waiting.length = 0;
    return this.sockets.splice(0);
  }
}

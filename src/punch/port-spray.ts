/** The easy peer's half of birthday probing: selects the port of the hard peer to probe next. */

/** Maximum number of probes in one attempt, and in all attempts since the last success. */
const ATTEMPT_PROBES = 1600;
const FRUITLESS_PROBES = 2048;
/** Lower ports belong to services and are seldom assigned to mappings.  // RFC 4787 §4.2.2 */
const MIN_PORT = 1024;
const MAX_PORT = 65535;

interface PortRange {
  readonly low: number;
  readonly high: number;
}

export class PortSpray {
  private readonly random: (byteLength: number) => Uint8Array;
  private addresses: readonly string[] = [];
  private range: PortRange = { low: MIN_PORT, high: MAX_PORT };
  private readonly probed = new Set<number>();
  private attemptProbes = 0;
  private fruitlessProbes = 0;

  constructor(random: (byteLength: number) => Uint8Array) {
    this.random = random;
  }

  /** Begins an attempt. The peer has other sockets now, so every port may be probed again. */
  begin(addresses: readonly string[], range: PortRange | undefined): void {
    this.addresses = addresses;
    this.range = range ?? { low: MIN_PORT, high: MAX_PORT };
    this.probed.clear();
    this.attemptProbes = 0;
  }

  stop(): void {
    this.addresses = [];
  }

  succeed(): void {
    this.stop();
    this.fruitlessProbes = 0;
  }

  get isRunning(): boolean {
    const isLeft = this.attemptProbes < ATTEMPT_PROBES && this.fruitlessProbes < FRUITLESS_PROBES;
    return this.addresses.length > 0 && isLeft;
  }

  /** The next target. No port repeats before all were probed. Undefined after the last probe. */
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
    const address = this.addresses[this.fruitlessProbes % this.addresses.length]!;
    this.attemptProbes++;
    this.fruitlessProbes++;
    return { address, port };
  }
}

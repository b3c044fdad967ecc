/**
 * The search for the path's MTU on paths that lose probes, change their size and report late: never a size that
 * was not proved, never a probe that makes no sense, and in the end the right size within one step.
 */
import { DATAGRAM_FLOOR_BYTES } from "../../src/base/path.ts";
import { MtuDiscovery } from "../../src/engine/path/mtu-discovery.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

const CEILINGS = [1000, 1200, 1201, 1219, 1221, 1452, 1472, 8948, 65_507] as const;
const STEP_BYTES = 20;
/** Three tries for each of the sizes that a binary search over 64 KiB looks at, and then some. */
const MAX_PROBES = 80;
const RAISE_MS = 600_000;

class Search {
  private readonly random: Xorshift;
  private readonly mtu: MtuDiscovery;
  private readonly ceilingBytes: number;
  private pathBytes: number;
  private nowMs = 0;
  private readonly rttMs: number;
  private probe = 0;
  /** Probes that were lost or overtaken, and may yet count as arrived. */
  private readonly late: number[] = [];
  /** Size of the probe that was lost last, and how often in a row. */
  private lostBytes = 0;
  private losses = 0;
  private largestProved: number = DATAGRAM_FLOOR_BYTES;

  constructor(random: Xorshift) {
    this.random = random;
    this.ceilingBytes = random.pick(CEILINGS);
    this.rttMs = random.pick([0.1, 20, 600]);
    this.pathBytes = this.anySize();
    this.mtu = new MtuDiscovery(0, this.ceilingBytes);
  }

  step(): void {
    const { random, mtu } = this;
    switch (random.below(8)) {
      case 0:
      case 1:
        if (this.probe === 0 && mtu.probeAtMs <= this.nowMs) this.send();
        break;
      case 2:
      case 3:
        if (this.probe > 0) this.resolve(random.oneIn(5));
        break;
      case 4:
        if (mtu.probeAtMs < Number.POSITIVE_INFINITY) this.nowMs = Math.max(this.nowMs, mtu.probeAtMs);
        break;
      case 5:
        this.sendLarge();
        break;
      case 6:
        if (this.late.length > 0) this.arrive(this.late.splice(random.below(this.late.length), 1)[0]!);
        break;
      default:
        if (random.oneIn(10)) this.pathBytes = this.anySize();
        this.nowMs += random.unit() * this.rttMs;
    }
    this.check();
  }

  /** The path changes no more and loses nothing: the search ends, and rightly. */
  settle(): void {
    const { mtu } = this;
    if (this.probe > 0) this.resolve(false);
    for (let packets = 0; packets < 8; packets++) this.sendLarge();
    // Twice: what a black hole left behind is corrected when the search is repeated.
    for (let searches = 0; searches < 2; searches++) {
      let probes = 0;
      while (mtu.probeAtMs < this.nowMs + RAISE_MS / 2) {
        if (++probes > MAX_PROBES) broken("a search without end");
        this.nowMs = Math.max(this.nowMs, mtu.probeAtMs);
        this.send();
        this.resolve(false);
        this.check();
      }
      if (mtu.probeAtMs < Number.POSITIVE_INFINITY) this.nowMs = Math.max(this.nowMs, mtu.probeAtMs);
    }
    const largest = Math.max(DATAGRAM_FLOOR_BYTES, Math.min(this.pathBytes, this.ceilingBytes));
    const found = mtu.currentBytes;
    if (found > largest || found < largest - STEP_BYTES) broken(`found ${found} bytes where ${largest} pass`);
  }

  private send(): void {
    const { mtu } = this;
    const bytes = mtu.probeBytes;
    if (!(Number.isInteger(bytes) && bytes > DATAGRAM_FLOOR_BYTES && bytes <= this.ceilingBytes)) {
      broken(`a probe of ${bytes} bytes below a ceiling of ${this.ceilingBytes}`);
    }
    // One lost probe proves nothing: the same size is tried three times.  // RFC 8899 §5.1.2
    if (this.losses > 0 && this.losses < 3) same(bytes, this.lostBytes, "the size that is tried again");
    mtu.onProbeSent(bytes);
    this.probe = bytes;
    same(mtu.probeAtMs, Number.POSITIVE_INFINITY, "the next probe while one is under way");
  }

  private resolve(isUnlucky: boolean): void {
    const bytes = this.probe;
    this.probe = 0;
    this.nowMs += this.rttMs;
    if (bytes <= this.pathBytes && !isUnlucky) this.arrive(bytes);
    else {
      // What has arrived late is proved, whatever becomes of this one.
      const isProved = bytes <= this.mtu.currentBytes;
      this.losses = isProved ? 0 : bytes === this.lostBytes ? this.losses + 1 : 1;
      this.lostBytes = bytes;
      this.mtu.onProbeLost(this.nowMs, bytes, this.rttMs);
      if (this.losses === 3) this.losses = 0;
      if (bytes <= this.pathBytes) this.late.push(bytes);
    }
  }

  private arrive(bytes: number): void {
    this.largestProved = Math.max(this.largestProved, bytes);
    if (bytes > this.mtu.currentBytes) this.losses = 0;
    this.mtu.onProbeAcked(this.nowMs, bytes);
  }

  private sendLarge(): void {
    const { mtu } = this;
    if (mtu.currentBytes <= DATAGRAM_FLOOR_BYTES) return;
    if (mtu.currentBytes <= this.pathBytes) mtu.onLargeAcked();
    else {
      const before = mtu.currentBytes;
      const isBlackHole = mtu.onLargeLost(this.nowMs, 1 + this.random.below(3), this.rttMs);
      same(mtu.currentBytes, isBlackHole ? DATAGRAM_FLOOR_BYTES : before, "the size after a loss");
      if (!isBlackHole) return;
      // The fate of a probe under way is nobody's concern any more.
      this.probe = 0;
      this.losses = 0;
    }
  }

  private anySize(): number {
    const { random } = this;
    return random.oneIn(3)
      ? 100_000
      : DATAGRAM_FLOOR_BYTES + random.below(Math.max(40, this.ceilingBytes - 1150));
  }

  private check(): void {
    const { currentBytes, probeAtMs } = this.mtu;
    if (!(currentBytes >= DATAGRAM_FLOOR_BYTES && currentBytes <= this.largestProved)) {
      broken(`${currentBytes} bytes in use, ${this.largestProved} proved`);
    }
    if (Number.isNaN(probeAtMs)) broken("a timer at NaN");
  }
}

export const mtuSearches: FuzzTarget = {
  name: "mtu-search",
  inputsPerRun: 150,
  weight: 6,
  run(random) {
    const search = new Search(random);
    for (let input = 0; input < this.inputsPerRun; input++) search.step();
    search.settle();
  },
};

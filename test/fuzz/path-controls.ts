/**
 * Paths: whoever moves, probes and answers in whatever order, an address that never proved itself gets its
 * allowance and no more, and no path stays on trial for ever.
 */
import type { Path } from "../../src/base/path.ts";
import { PathControl } from "../../src/engine/path/path-control.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

const PATHS: readonly Path[] = [0, 1, 2, 3, 4, 5].map((n) => ({
  address: `192.0.2.${n >> 1}`,
  port: 1000 + (n & 1),
  socket: 0,
}));
const MAX_RESPONSES = 8;
const MAX_PROBES = 4;
const AMPLIFICATION = 3;

class World {
  private readonly random: Xorshift;
  private readonly control: PathControl;
  private readonly validated: Set<Path> = new Set([PATHS[0]!]);
  /** Tokens that went out over each path and may come back. */
  private tokens: { path: Path; token: Uint8Array }[] = [];
  private nowMs = 0;
  private readonly ptoMs: number;
  /** What the active path has had and given since it is on trial. */
  private received = 0;
  private sent = 0;

  constructor(random: Xorshift) {
    this.random = random;
    this.ptoMs = random.pick([8, 30, 400]);
    this.control = new PathControl(PATHS[0]!, random.oneIn(2), (byteLength) => random.bytes(byteLength));
  }

  step(): void {
    const { random, control } = this;
    const path = random.pick(PATHS);
    const before = control.active;
    switch (random.below(13)) {
      case 0:
      case 1: {
        const bytes = random.below(1400);
        control.follow(this.nowMs, path, bytes, this.ptoMs);
        // A packet that left before the peer heard of our own move is none of its own.
        if (control.active === before) break;
        this.received = bytes;
        this.sent = 0;
        break;
      }
      case 2:
        control.probe(this.nowMs, path, this.ptoMs);
        break;
      case 3:
        control.onChallenge(path, random.bytes(8));
        break;
      case 4:
      case 5:
        this.answer();
        break;
      case 6:
        if (control.onResponse(this.nowMs, random.bytes(8)) !== undefined)
          broken("a random token proved a path");
        break;
      case 7:
      case 8:
        this.send();
        break;
      case 9: {
        const bytes = random.below(1400);
        control.onReceived(path, bytes);
        if (path === control.active) this.received += bytes;
        break;
      }
      case 10:
        this.nowMs += random.unit() * random.pick([1, this.ptoMs, 2000]);
        break;
      case 11:
        this.wake();
        break;
      default:
        this.moveTo(path);
    }
    if (control.active !== before && !control.isValidated)
      this.tokens = this.tokens.filter(({ path }) => path !== before);
    this.check();
  }

  /** Nothing answers any more, however long one waits: the path in use is one that did answer. */
  settle(): void {
    const { control } = this;
    for (let wakes = 0; control.timeoutAt < Number.POSITIVE_INFINITY; wakes++) {
      if (wakes > 1500) break;
      this.nowMs = Math.max(this.nowMs, control.timeoutAt);
      this.wake();
      this.check();
    }
    if (!control.isValidated) broken("a path that never answered is still in use");
  }

  private wake(): void {
    const { control } = this;
    control.handleTimeout(this.nowMs, this.ptoMs);
    if (control.timeoutAt <= this.nowMs) broken("a timer that goes off again at once");
  }

  private answer(): void {
    const { random, control, tokens } = this;
    if (tokens.length === 0) return;
    const [{ path, token }] = tokens.splice(random.below(tokens.length), 1) as [
      { path: Path; token: Uint8Array },
    ];
    const validated = control.onResponse(this.nowMs, token);
    if (validated === undefined) return;
    same(validated, path, "the path that was proved");
    this.validated.add(validated);
  }

  private moveTo(path: Path): void {
    const { random, control } = this;
    if (random.oneIn(4)) control.onAcknowledged(random.below(20));
    if (!control.hasValidated(this.nowMs, path) || !random.oneIn(4)) return;
    if (!this.validated.has(path)) broken("a path that never answered may be moved to");
    control.use(this.nowMs, path, random.below(20), this.ptoMs);
    same(control.active, path, "the path moved to");
  }

  private send(): void {
    const { control } = this;
    for (let frames = 0; ; frames++) {
      if (frames > MAX_RESPONSES + MAX_PROBES + 1) broken("frames without end");
      const other = control.takeOther();
      if (other === undefined) break;
      same(other.path === control.active, false, "whether another path is the active one");
      if (!other.isResponse) this.tokens.push(other);
    }
    for (let frames = 0; ; frames++) {
      if (frames > MAX_RESPONSES + 1) broken("frames without end");
      const wants = control.hasFrame;
      const frame = control.takeActive();
      same(frame !== undefined, wants, "whether there is a frame");
      if (frame === undefined) break;
      if (!frame.isResponse) this.tokens.push({ path: control.active, token: frame.token });
    }
    const bytes = Math.min(1200, control.allowanceBytes);
    if (bytes <= 0) return;
    control.onSent(bytes);
    if (!control.isValidated) this.sent += bytes;
  }

  private check(): void {
    const { control } = this;
    const { allowanceBytes } = control;
    if (control.isValidated) {
      if (!this.validated.has(control.active)) broken("a path counts as proved that never answered");
      same(allowanceBytes, Number.POSITIVE_INFINITY, "the allowance of a proved path");
      return;
    }
    if (!(allowanceBytes <= AMPLIFICATION * this.received - this.sent))
      broken(`an allowance of ${allowanceBytes} bytes`);
    // Otherwise it stays on trial for ever.
    if (control.timeoutAt === Number.POSITIVE_INFINITY) broken("a path on trial that nobody asks");
    const { responses, probes } = control as unknown as { responses: unknown[]; probes: unknown[] };
    control.abandoned.length = 0;
    if (responses.length > MAX_RESPONSES || probes.length > MAX_PROBES) broken("too much waits");
  }
}

export const pathControls: FuzzTarget = {
  name: "path-control",
  inputsPerRun: 300,
  weight: 6,
  run(random) {
    const world = new World(random);
    for (let input = 0; input < this.inputsPerRun; input++) world.step();
    world.settle();
  },
};

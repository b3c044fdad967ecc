/** RangeSet and ReplayWindow against sets of numbers, also where 31, 32 and 48 bits end. */
import { RangeSet } from "../../src/base/range-set.ts";
import { REPLAY_WINDOW_PACKETS, ReplayWindow } from "../../src/crypto/replay-window.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

const BASES = [0, 2 ** 31 - 70, 2 ** 32 - 70, 2 ** 48 - 140, Number.MAX_SAFE_INTEGER - 140] as const;
/** Numbers that the model knows, above the base. */
const DOMAIN = 136;

export const rangeSets: FuzzTarget = {
  name: "range-set",
  inputsPerRun: 120,
  weight: 8,
  run(random) {
    const base = random.pick(BASES);
    const set = new RangeSet();
    const model = new Uint8Array(DOMAIN);
    const most = 1 + random.below(30);
    for (let input = 0; input < this.inputsPerRun; input++) {
      const from = random.below(DOMAIN);
      const to = Math.min(DOMAIN, from + random.below(most));
      const before = model.subarray(from, to).includes(0);
      switch (random.below(12)) {
        case 0:
        case 1:
        case 2:
          set.remove(base + from, base + to);
          model.fill(0, from, to);
          break;
        case 3:
          if (set.count === 0) break;
          model.fill(0, set.start(0) - base, set.end(0) - base);
          set.removeFirst();
          break;
        case 4:
          if (!random.oneIn(8)) break;
          set.removeBelow(base + from);
          model.fill(0, 0, from);
          break;
        case 5:
          if (!random.oneIn(64)) break;
          set.clear();
          model.fill(0);
          break;
        default:
          same(set.add(base + from, base + to), before, "whether anything was new");
          model.fill(1, from, to);
      }
      compare(set, model, base);
      same(
        set.containsRange(base + from, base + to),
        !model.subarray(from, to).includes(0),
        "a range's presence",
      );
      same(set.contains(base + from), model[from] === 1, "a number's presence");
    }
  },
};

function compare(set: RangeSet, model: Uint8Array, base: number): void {
  let at = 0;
  let size = 0;
  for (let range = 0; range < set.count; range++) {
    const start = set.start(range) - base;
    const end = set.end(range) - base;
    // Exactly the numbers up to `start` are missing, and those up to `end` are there.
    const present = model.indexOf(1, at);
    same(start, present < 0 ? Number.POSITIVE_INFINITY : present, "the start of a range");
    const missing = model.indexOf(0, start);
    same(end, missing < 0 ? DOMAIN : missing, "the end of a range");
    at = end;
    size += end - start;
  }
  if (model.indexOf(1, at) >= 0) broken("a range is missing");
  same(set.size, size, "the size");
}

export const replayWindows: FuzzTarget = {
  name: "replay-window",
  inputsPerRun: 400,
  weight: 6,
  run(random) {
    const window = new ReplayWindow();
    const seen = new Set<number>();
    let highest = -1;
    let near = random.oneIn(2) ? random.below(100) : Math.min(random.magnitude(), 2 ** 48 - 1);
    for (let input = 0; input < this.inputsPerRun; input++) {
      const number = anyNumber(random, near, highest);
      const isRecent = number > highest - REPLAY_WINDOW_PACKETS;
      const isNew = number >= 0 && number < 2 ** 48 && isRecent && !seen.has(number);
      same(window.accepts(number), isNew, `whether ${number} after ${highest} is new`);
      // Only what was opened is committed; a number that is refused changes nothing.
      if (random.oneIn(4)) continue;
      window.commit(number);
      if (!isNew) continue;
      seen.add(number);
      highest = Math.max(highest, number);
      near = highest;
      same(window.highest, highest, "the highest number");
    }
  },
};

function anyNumber(random: Xorshift, near: number, highest: number): number {
  switch (random.below(10)) {
    case 0:
      return highest - REPLAY_WINDOW_PACKETS + random.below(3) - 1;
    case 1:
      return highest + REPLAY_WINDOW_PACKETS * (1 + random.below(3)) + random.below(66) - 33;
    case 2:
      return highest - random.below(REPLAY_WINDOW_PACKETS + 100);
    case 3:
      return random.oneIn(40) ? random.magnitude() : highest + random.below(300);
    case 4:
      return random.pick([-1, highest, 2 ** 48, near - 1, near, 0]);
    default:
      return near + random.below(70) - 24;
  }
}

/**
 * What is acknowledged, and when: only numbers that came, the newest always, within the delay that was promised,
 * and in bounded memory whatever numbers a peer uses.
 */
import { MAX_ACK_DELAY_MS, ReceivedPackets } from "../../src/engine/recovery/received-packets.ts";
import { ACK_RANGES_LIMIT } from "../../src/wire/frames.ts";
import { broken, type FuzzTarget, same } from "./target.ts";

export const receivedPackets: FuzzTarget = {
  name: "received-packets",
  inputsPerRun: 500,
  weight: 6,
  run(random) {
    const received = new ReceivedPackets();
    const seen = new Set<number>();
    let nowMs = 0;
    let largest = -1;
    let owed = 0;
    let owedSinceMs = 0;
    let next = random.oneIn(2) ? 0 : Math.min(2 ** 47, random.magnitude());
    const gaps = random.pick([1, 2, 20]);
    const isForgotten = random.oneIn(2);
    for (let input = 0; input < this.inputsPerRun; input++) {
      switch (random.below(12)) {
        case 0:
          received.onAckFrequency(random.below(40), random.magnitude(), random.magnitude());
          break;
        case 1:
          if (random.oneIn(4)) {
            received.wantNow(nowMs);
            if (owed++ === 0) owedSinceMs = nowMs;
            same(received.isDue(nowMs), true, "whether an ACK that was asked for is due");
          }
          break;
        case 2:
        case 3:
          if (!received.isOwed) break;
          received.onAckSent();
          owed = 0;
          break;
        case 4:
          if (largest >= 0 && isForgotten)
            received.onAckAcknowledged(largest - random.below(random.oneIn(2) ? 3 : 300));
          break;
        case 5:
          nowMs += random.unit() * 20;
          break;
        default: {
          if (random.oneIn(12)) next += random.below(2000);
          const isLate = random.oneIn(5);
          if (!isLate) next += random.below(gaps) + 1;
          const number = isLate ? Math.max(0, next - random.below(200)) : next;
          // The replay window lets each number through once.
          if (seen.has(number)) break;
          seen.add(number);
          const isEliciting = !random.oneIn(4);
          received.onPacket(nowMs, number, isEliciting);
          largest = Math.max(largest, number);
          if (isEliciting && owed++ === 0) owedSinceMs = nowMs;
        }
      }
      const { ranges } = received;
      same(received.largest, largest, "the largest number");
      same(received.isOwed, owed > 0, "whether an ACK is owed");
      same(received.dueAtMs < Number.POSITIVE_INFINITY, owed > 0, "whether a timer runs");
      const latestMs = Math.max(nowMs, owedSinceMs + MAX_ACK_DELAY_MS);
      if (owed > 0 && received.dueAtMs > latestMs) broken("the ACK comes later than promised");
      if (ranges.count > ACK_RANGES_LIMIT) broken(`${ranges.count} ranges`);
      if (ranges.count === 0) continue;
      const range = random.below(ranges.count);
      if (!seen.has(ranges.start(range)) || !seen.has(ranges.end(range) - 1))
        broken("a number that never came");
      if (!(received.delaySince(nowMs) >= 0)) broken("a negative delay");
    }
  },
};

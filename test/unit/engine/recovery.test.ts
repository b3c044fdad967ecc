import { describe, expect, it } from "vitest";
import { RecoverySender } from "./recovery-sender.ts";

/** Has packets 0–2 lost, and then as many sent and acknowledged as it is told, 32 at a time and without a pause. */
function afterLosses(packets: number, everyMs: number): RecoverySender {
  const sender = new RecoverySender();
  sender.send(10);
  sender.ack([3, 9]);
  expect(sender.lost).toEqual([0, 1, 2]);
  while (sender.recovery.sent.next < packets) {
    sender.send(32);
    const { next } = sender.recovery.sent;
    sender.ackAfter(everyMs, [next - 32, next - 1]);
  }
  return sender;
}

describe("what is remembered of lost packets", () => {
  it("ends where acknowledgements come without a pause, so that no timer does", () => {
    const { sent } = afterLosses(10_000, 1).recovery;
    expect(sent.first).toBe(sent.next);
  });

  it("ends behind so many others, however short the time that these took", () => {
    const { sent } = afterLosses(20_000, 0.001).recovery;
    expect(sent.first).toBe(0);
    const later = afterLosses(40_000, 0.001).recovery.sent;
    expect(later.first).toBe(later.next);
  });

  it("lasts for a late acknowledgement", () => {
    const sender = afterLosses(100, 0.001);
    sender.ackAfter(0.001, [0, sender.recovery.sent.next - 1]);
    expect(sender.recovery.spuriousLosses).toBe(3);
  });
});

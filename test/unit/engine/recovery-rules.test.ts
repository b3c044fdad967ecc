/** The rules of RFC 9002, one test each, in virtual time. */
import { describe, expect, it, vi } from "vitest";
import { SENT } from "../../../src/engine/recovery/sent-packets.ts";
import { RecoverySender } from "./recovery-sender.ts";

/** A sender whose first packet was acknowledged after 20 ms: smoothed RTT 20 ms, variance 10 ms, PTO 85 ms. */
function withRttSample(): RecoverySender {
  const sender = new RecoverySender();
  sender.send(1);
  sender.ack([0, 0]);
  sender.acknowledged.length = 0;
  return sender;
}

/** Lets the timer of loss detection expire; returns whether it asks for probes. */
function expire(sender: RecoverySender): boolean {
  sender.nowMs = sender.recovery.timeoutAt;
  return sender.recovery.handleTimeout(sender.nowMs);
}

describe("loss by packet threshold (RFC 9002 §6.1.1)", () => {
  it("declares a packet lost when the third packet after it is acknowledged", () => {
    const sender = withRttSample();
    sender.send(4);
    sender.ack([2, 3]);
    expect(sender.lost).toEqual([]);
    sender.ackAfter(0, [4, 4]);
    expect(sender.lost).toEqual([1]);
  });

  it("never declares a packet lost that was sent after the largest acknowledged one", () => {
    const sender = withRttSample();
    sender.send(10);
    sender.ack([1, 1]);
    for (let i = 0; i < 5; i++) expire(sender);
    expect(sender.lost).toEqual([]);
  });

  it("removes a lost packet from the bytes in flight", () => {
    const sender = withRttSample();
    sender.send(4);
    expect(sender.recovery.bytesInFlight).toBe(4000);
    sender.ack([2, 4]);
    expect(sender.recovery.bytesInFlight).toBe(0);
    expect(sender.recovery.packetsInFlight).toBe(0);
  });
});

describe("loss by time threshold (RFC 9002 §6.1.2)", () => {
  it("declares a packet lost 9/8 of the RTT after it was sent, once a later packet is acknowledged", () => {
    const sender = withRttSample();
    const sentAtMs = sender.nowMs;
    sender.send(2);
    sender.ack([2, 2]);
    expect(sender.recovery.timeoutAt).toBe(sentAtMs + (9 / 8) * 20);
    sender.recovery.handleTimeout(sentAtMs + 22.4);
    expect(sender.lost).toEqual([]);
    expect(expire(sender)).toBe(false);
    expect(sender.lost).toEqual([1]);
  });

  it("waits for the larger of the smoothed and the latest RTT", () => {
    const sender = withRttSample();
    const sentAtMs = sender.nowMs;
    sender.send(2);
    sender.ackAfter(40, [2, 2]);
    expect(sender.lost).toEqual([]);
    expect(sender.recovery.timeoutAt).toBe(sentAtMs + (9 / 8) * 40);
  });
});

describe("the probe timeout (RFC 9002 §6.2)", () => {
  it("is the smoothed RTT, four variances and the peer's maximum ACK delay after the last ack-eliciting packet", () => {
    const sender = withRttSample();
    sender.recovery.peerMaxAckDelayMs = 7;
    sender.send(1);
    sender.nowMs += 5;
    sender.send(1);
    expect(sender.recovery.timeoutAt).toBe(sender.nowMs + 20 + 4 * 10 + 7);
  });

  it("is not armed while nothing ack-eliciting is in flight", () => {
    const sender = withRttSample();
    expect(sender.recovery.timeoutAt).toBe(Infinity);
    sender.send(1, 0);
    expect(sender.recovery.timeoutAt).toBe(Infinity);
  });

  it("asks for one probe, and for two when it expires again", () => {
    const sender = withRttSample();
    sender.send(1);
    expect(expire(sender)).toBe(true);
    expect(sender.recovery.probesWanted).toBe(1);
    expect(expire(sender)).toBe(true);
    expect(sender.recovery.probesWanted).toBe(2);
  });

  it("declares nothing lost and takes nothing out of flight", () => {
    const sender = withRttSample();
    sender.send(3);
    for (let i = 0; i < 4; i++) expire(sender);
    expect(sender.lost).toEqual([]);
    expect(sender.recovery.bytesInFlight).toBe(3000);
  });

  it("doubles each time it expires, up to one second", () => {
    const sender = withRttSample();
    sender.send(1);
    const timeouts = [85, 170, 340, 680, 1000, 1000];
    for (const timeoutMs of timeouts) {
      expect(sender.recovery.ptoMs).toBe(timeoutMs);
      expire(sender);
    }
  });

  it("is at least its base value where that is longer than the limit of its backoff", () => {
    const sender = new RecoverySender();
    sender.send(1);
    sender.ackAfter(2000, [0, 0]);
    const baseMs = sender.recovery.ptoMs;
    expect(baseMs).toBeGreaterThan(1000);
    sender.send(1);
    expire(sender);
    expect(sender.recovery.ptoMs).toBe(baseMs);
  });

  it("returns to its base value, without probes, when an ACK arrives", () => {
    const sender = withRttSample();
    sender.send(1);
    expire(sender);
    expire(sender);
    sender.ack([1, 1]);
    expect(sender.recovery.ptoCount).toBe(0);
    expect(sender.recovery.probesWanted).toBe(0);
  });
});

describe("an RTT sample (RFC 9002 §5.1)", () => {
  it("is taken from the largest acknowledged packet when it is newly acknowledged", () => {
    const sender = withRttSample();
    sender.send(1);
    sender.nowMs += 10;
    sender.send(1);
    sender.ackAfter(30, [1, 2]);
    expect(sender.recovery.rtt.latestMs).toBe(30);
  });

  it("is not taken when the largest acknowledged packet was acknowledged before", () => {
    const sender = withRttSample();
    sender.send(2);
    sender.ack([2, 2]);
    sender.ackAfter(1, [1, 2]);
    expect(sender.acknowledged).toEqual([2, 1]);
    expect(sender.recovery.rtt.latestMs).toBe(20);
  });

  it("is not taken when no newly acknowledged packet is ack-eliciting", () => {
    const sender = withRttSample();
    sender.send(1, 0);
    sender.ackAfter(50, [1, 1]);
    expect(sender.recovery.rtt.latestMs).toBe(20);
  });

  it("is not taken from a packet that was sent on an earlier path", () => {
    const sender = withRttSample();
    sender.send(1);
    sender.recovery.resetPath(sender.controller());
    sender.ackAfter(50, [1, 1]);
    expect(sender.recovery.rtt.hasSample).toBe(false);
  });
});

describe("the peer's ACK delay (RFC 9002 §5.3)", () => {
  it("is subtracted from a sample after the first", () => {
    const sender = withRttSample();
    sender.send(1);
    sender.ackDelayMs = 10;
    sender.ackAfter(40, [1, 1]);
    expect(sender.recovery.rtt.smoothedMs).toBe((7 * 20 + 30) / 8);
  });

  it("is not subtracted from the first sample", () => {
    const sender = new RecoverySender();
    sender.send(1);
    sender.ackDelayMs = 10;
    sender.ackAfter(40, [0, 0]);
    expect(sender.recovery.rtt.smoothedMs).toBe(40);
    expect(sender.recovery.rtt.minMs).toBe(40);
  });

  it("counts no further than the maximum that the peer announced", () => {
    const sender = withRttSample();
    sender.recovery.peerMaxAckDelayMs = 25;
    sender.send(1);
    sender.ackDelayMs = 500;
    sender.ackAfter(60, [1, 1]);
    expect(sender.recovery.rtt.smoothedMs).toBe((7 * 20 + 35) / 8);
  });

  it("is not subtracted where the sample would fall below the minimum RTT", () => {
    const sender = withRttSample();
    sender.send(1);
    sender.ackDelayMs = 20;
    sender.ackAfter(30, [1, 1]);
    expect(sender.recovery.rtt.smoothedMs).toBe((7 * 20 + 30) / 8);
  });
});

describe("persistent congestion (RFC 9002 §7.6)", () => {
  /** Sends packets 1 and 2 `apartMs` apart, more behind them, and acknowledges `ranges` 20 ms later. */
  function losing(sender: RecoverySender, apartMs: number, ...ranges: [number, number][]) {
    const onPersistentCongestion = vi.spyOn(sender.recovery.controller, "onPersistentCongestion");
    sender.nowMs++;
    sender.send(1);
    sender.nowMs += apartMs / 2;
    sender.send(1);
    sender.nowMs += apartMs / 2;
    sender.send(1);
    sender.send(3);
    sender.ack(...ranges);
    return onPersistentCongestion;
  }

  it("is declared when all packets over more than three probe timeouts are lost", () => {
    const sender = withRttSample();
    const onPersistentCongestion = losing(sender, 300, [6, 6]);
    expect(sender.lost).toEqual([1, 2, 3]);
    expect(onPersistentCongestion).toHaveBeenCalledOnce();
  });

  it("is not declared when the losses span less than three probe timeouts", () => {
    const sender = withRttSample();
    const onPersistentCongestion = losing(sender, 200, [6, 6]);
    expect(sender.lost).toEqual([1, 2, 3]);
    expect(onPersistentCongestion).not.toHaveBeenCalled();
  });

  it("is not declared when a packet between the lost ones was acknowledged", () => {
    const sender = withRttSample();
    const onPersistentCongestion = losing(sender, 300, [6, 6], [2, 2]);
    expect(sender.lost).toEqual([1, 3]);
    expect(onPersistentCongestion).not.toHaveBeenCalled();
  });

  it("is not declared for packets that were sent before the first RTT sample", () => {
    const sender = new RecoverySender();
    const onPersistentCongestion = vi.spyOn(sender.recovery.controller, "onPersistentCongestion");
    sender.send(1);
    sender.nowMs += 10_000;
    sender.send(4);
    sender.ack([4, 4]);
    expect(sender.lost).toEqual([0, 1]);
    expect(onPersistentCongestion).not.toHaveBeenCalled();
  });

  it("forgets the minimum RTT of the path before", () => {
    const sender = withRttSample();
    sender.send(1);
    sender.nowMs += 400;
    sender.send(1);
    sender.send(3);
    sender.ackAfter(100, [3, 5]);
    expect(sender.recovery.rtt.minMs).toBe(20);
    sender.nowMs++;
    sender.send(1);
    sender.nowMs += 900;
    sender.send(4);
    sender.ackAfter(100, [10, 10]);
    expect(sender.recovery.rtt.minMs).toBe(100);
  });
});

describe("a spurious loss", () => {
  it("acknowledges the frames of a packet whose ACK arrives after it was declared lost", () => {
    const sender = withRttSample();
    sender.send(4);
    sender.ack([2, 4]);
    expect(sender.lost).toEqual([1]);
    sender.ackAfter(1, [1, 4]);
    expect(sender.acknowledged).toContain(1);
    expect(sender.recovery.spuriousLosses).toBe(1);
  });

  it("raises the packet threshold to the reordering that it shows", () => {
    const sender = withRttSample();
    sender.send(6);
    sender.ack([2, 6]);
    sender.ackAfter(1, [1, 6]);
    expect(sender.recovery.packetThreshold).toBe(6);
    expect(sender.recovery.timeThreshold).toBe(5 / 4);
    sender.lost.length = 0;
    sender.send(6);
    sender.ack([8, 11]);
    expect(sender.lost).toEqual([]);
  });

  it("raises the packet threshold to 20 at most", () => {
    const sender = withRttSample();
    sender.send(100);
    sender.ack([2, 100]);
    sender.ackAfter(1, [1, 100]);
    expect(sender.recovery.packetThreshold).toBe(20);
  });

  it("restores the congestion window once every loss of its loss event was spurious", () => {
    const sender = withRttSample();
    sender.send(6);
    sender.ack([3, 6]);
    expect(sender.lost).toEqual([1, 2]);
    sender.ackAfter(1, [2, 6]);
    expect(sender.restored).toBe(0);
    sender.ackAfter(1, [1, 6]);
    expect(sender.restored).toBe(1);
  });
});

describe("an ACK that no honest peer sends (RFC 9000 §13.1)", () => {
  it("is refused when it acknowledges a packet that was never sent", () => {
    const sender = withRttSample();
    expect(sender.ack([0, 1])).toBe(false);
  });

  it("is refused when it acknowledges a skipped packet number", () => {
    const sender = withRttSample();
    sender.recovery.skipNumber();
    sender.send(1);
    expect(sender.ack([2, 2], [0, 0])).toBe(true);
    expect(sender.ack([1, 2])).toBe(false);
  });
});

describe("the loss of an MTU probe (RFC 9000 §14.4)", () => {
  it("is reported with its size and not to the congestion controller", () => {
    const sender = withRttSample();
    const onLost = vi.spyOn(sender.recovery.controller, "onLost");
    sender.send(1, SENT.ackEliciting | SENT.mtuProbe);
    sender.send(3);
    sender.ack([2, 4]);
    expect(sender.recovery.lostMtuProbeBytes).toBe(1000);
    expect(sender.recovery.lostPackets).toBe(0);
    expect(onLost).not.toHaveBeenCalled();
  });
});

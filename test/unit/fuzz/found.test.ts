/** What the fuzzers have found, each in the shortest form that shows it. */
import { describe, expect, it } from "vitest";
import { ConnectionIds } from "../../../src/engine/connection/connection-ids.ts";
import { MtuDiscovery } from "../../../src/engine/path/mtu-discovery.ts";
import { PathControl } from "../../../src/engine/path/path-control.ts";
import { RecoverySender } from "../engine/recovery-sender.ts";

/** A sender that has mostly acknowledged until now, and whose newest 512 packets are in flight. */
function listenerThatSpeaks(): RecoverySender {
  const sender = new RecoverySender();
  sender.send(1);
  sender.ack([0, 0]);
  sender.send(300, 0);
  // The ACK comes twice: the places of what was not in flight are given back.
  sender.ack([0, 0]);
  sender.send(512);
  sender.acknowledged.length = 0;
  return sender;
}

describe("found by fuzzing: recovery", () => {
  it("does not take an old packet's ACK for that of the newer one in its place", () => {
    const sender = listenerThatSpeaks();
    expect(sender.ack([150, 150])).toBe(true);
    expect(sender.acknowledged.filter((packetNumber) => packetNumber > 300)).toEqual([]);
    expect(sender.recovery.bytesInFlight).toBe(512_000);
  });

  it("does not lose newer packets in the places of old ones", () => {
    const sender = listenerThatSpeaks();
    expect(sender.ack([303, 303])).toBe(true);
    expect(sender.lost).toEqual([]);
    expect(sender.recovery.bytesInFlight).toBe(511_000);
  });

  it("notices an ACK of a number that was left out, also when everything before it is settled", () => {
    const sender = new RecoverySender();
    sender.send(3);
    sender.recovery.skipNumber();
    sender.send(3);
    expect(sender.ack([0, 2])).toBe(true);
    expect(sender.ack([5, 6], [0, 2])).toBe(true);
    expect(sender.ack([3, 6])).toBe(false);
  });

  it("gives the window back for the losses of one event, not for those of two together", () => {
    const sender = new RecoverySender();
    sender.send(10);
    // 0 and 1 are lost, then 0 turns out to be late only.
    sender.ack([5, 5]);
    expect(sender.lost).toEqual([0, 1, 2]);
    sender.send(10);
    // A second event: 10 is lost for good.
    sender.ack([14, 19], [5, 9]);
    expect(sender.lost).toContain(10);
    expect(sender.ack([14, 19], [3, 9], [1, 2])).toBe(true);
    expect(sender.restored).toBe(0);
    sender.ack([10, 19], [3, 9], [0, 2]);
    expect(sender.restored).toBe(1);
  });

  it("does not tell a new path's controller of losses on the old one", () => {
    const sender = new RecoverySender();
    sender.send(10);
    sender.ack([5, 5]);
    sender.recovery.resetPath(sender.controller());
    sender.ack([0, 9]);
    expect(sender.restored).toBe(0);
    expect(sender.recovery.bytesInFlight).toBe(0);
  });
});

describe("found by fuzzing: paths", () => {
  it("a search for the MTU that has reached its ceiling is over", () => {
    const mtu = new MtuDiscovery(0, 1452);
    mtu.onProbeSent(mtu.probeBytes);
    mtu.onProbeAcked(10, 1452);
    expect(mtu.currentBytes).toBe(1452);
    expect(mtu.probeAtMs).toBe(Number.POSITIVE_INFINITY);
  });

  it("a probe that is no larger than what has arrived since counts against no size", () => {
    const mtu = new MtuDiscovery(0, 8948);
    for (let tries = 0; tries < 3; tries++) {
      mtu.onProbeSent(mtu.probeBytes);
      mtu.onProbeLost(tries, 8948, 1);
    }
    const smaller = mtu.probeBytes;
    mtu.onProbeSent(smaller);
    // A larger one, given up for lost, has arrived after all.
    mtu.onProbeAcked(5, smaller + 1000);
    mtu.onProbeLost(6, smaller, 1);
    const next = mtu.probeBytes;
    for (let tries = 0; tries < 2; tries++) {
      mtu.onProbeSent(next);
      mtu.onProbeLost(10 + tries, next, 1);
    }
    expect(mtu.probeBytes).toBe(next);
  });

  it("a path that becomes the one in use is not probed beside it", () => {
    const [home, away] = [1000, 2000].map((port) => ({ address: "192.0.2.1", port, socket: 0 }));
    const control = new PathControl(home!, true, (byteLength) => new Uint8Array(byteLength).fill(1));
    control.probe(0, away!, 100);
    control.follow(0, away!, 50, 100);
    // Its challenge goes with the packets on this path, within their allowance.
    expect(control.takeOther()).toBeUndefined();
    expect(control.takeActive()?.isResponse).toBe(false);
  });

  it("connection IDs that the peer cannot know are not taken back, and waiting ones are queued once", () => {
    const ids = new ConnectionIds(
      new Uint8Array(8),
      new Uint8Array(8).fill(1),
      (byteLength) => new Uint8Array(byteLength),
    );
    expect(() => ids.onRetire(1)).toThrow("connection ID");
    for (let probes = 0; probes < 10; probes++) ids.onAnnounceLost(1);
    let waiting = 0;
    for (; ids.hasFrame; waiting++) ids.onAnnounced();
    expect(waiting).toBeLessThanOrEqual(3);
    ids.onRetire(1);
    expect(ids.nextToAnnounce?.sequence).toBe(3);
  });
});

import { describe, expect, it } from "vitest";
import { LanChannel, type LanOptions } from "../../../src/traversal/signalling/lan-channel.ts";
import { LanGroup } from "../../../src/traversal/signalling/lan-group.ts";
import { decodeLanMessage, encodeLanMessage } from "../../../src/wire/lan-message.ts";
import { pause } from "../../lib/deadline.ts";
import { openUdp, unusedPort } from "../../lib/udp.ts";
import { closing, newPlace, Visitor } from "../server/points.ts";

const POLL = { timeout: 10_000 };

/** Only this machine, at a port that no other test speaks to. */
async function onLoopback(): Promise<LanOptions> {
  const port = await unusedPort();
  return { port, interfaces: () => [{ family: 4, by: "127.0.0.1" }] };
}

const channel = (options: LanOptions) => closing(new LanChannel(options));

describe("two on one network", () => {
  it("get each other's blobs, whoever comes first, and each change at once", async () => {
    const options = await onLoopback();
    const point = newPlace();
    const responder = new Visitor(channel(options), point, "responder");
    responder.publish("answer 1");
    const initiator = new Visitor(channel(options), point, "initiator");
    initiator.publish("offer 1");
    await Promise.all([initiator.hears("answer 1"), responder.hears("offer 1")]);
    initiator.publish("offer 2");
    // Well before the next periodic announcement, which is 5 s apart.
    await responder.hears("offer 2", 4000);
    responder.publish("answer 2");
    await initiator.hears("answer 2", 4000);
  });

  it("meet at once although one has been waiting for long", async () => {
    const options = await onLoopback();
    const point = newPlace();
    const responder = new Visitor(channel(options), point, "responder");
    responder.publish("answer");
    // Beyond its first, frequent words.
    await pause(4200);
    const initiator = new Visitor(channel(options), point, "initiator");
    initiator.publish("offer");
    // The next periodic announcement of the responder is 5 s away.
    await Promise.all([initiator.hears("answer", 4000), responder.hears("offer", 4000)]);
  }, 15_000);

  it("hear nothing of other places and of their own side", async () => {
    const options = await onLoopback();
    const point = newPlace();
    const lonely = new Visitor(channel(options), point, "initiator");
    lonely.publish("mine");
    const rival = new Visitor(channel(options), point, "initiator");
    rival.publish("a rival's");
    const stranger = new Visitor(channel(options), newPlace(), "responder");
    stranger.publish("a stranger's");
    const peer = new Visitor(channel(options), point, "responder");
    peer.publish("for both");
    await Promise.all([lonely.hears("for both"), rival.hears("for both")]);
    expect(new Set([...lonely.heard, ...rival.heard])).toEqual(new Set(["for both"]));
    expect(stranger.heard).toEqual([]);
  });

  it("do not show the place's name, and are not flooded by who has heard theirs", async () => {
    const options = await onLoopback();
    const point = newPlace();
    const spoken: Uint8Array[] = [];
    const spy = closing(new LanGroup(options));
    spy.onMessage = (bytes) => spoken.push(Uint8Array.from(bytes));
    const visitor = new Visitor(channel(options), point, "responder");
    visitor.publish("answer");
    await expect
      .poll(() => spoken.some((bytes) => decodeLanMessage(bytes)?.blob.length === 6), POLL)
      .toBe(true);
    const { point: shown } = decodeLanMessage(spoken[0]!)!;
    expect(Buffer.concat(spoken).includes(Buffer.from(point.id))).toBe(false);
    for (let i = 0; i < 200; i++) {
      const blob = Buffer.from(`junk ${i}`);
      spy.send(encodeLanMessage({ side: 0, point: shown, peerDigest: new Uint8Array(8), blob }));
    }
    await pause(500);
    expect(visitor.heard.length).toBeGreaterThan(0);
    expect(visitor.heard.length).toBeLessThanOrEqual(31);
    // What was said because of it is bounded, too.
    const said = spoken.filter((bytes) => decodeLanMessage(bytes)?.side === 1).length;
    expect(said).toBeLessThan(20);
  });

  it("say so where there is no network, and meet once there is one", async () => {
    const { port } = await onLoopback();
    let isUp = false;
    const options: LanOptions = {
      port,
      interfaces: () => (isUp ? [{ family: 4, by: "127.0.0.1" }] : []),
    };
    const point = newPlace();
    const initiator = new Visitor(channel(options), point, "initiator");
    initiator.publish("offer");
    expect(await initiator.trouble()).toMatch(/ERR_NO_MEETING_PLACE No local network/);
    isUp = true;
    const responder = new Visitor(channel(options), point, "responder");
    responder.publish("answer");
    await Promise.all([initiator.hears("answer", 12_000), responder.hears("offer", 12_000)]);
  }, 20_000);
});

describe("a message to the group", () => {
  it("survives its coding, and nothing else is taken for one", () => {
    const message = {
      side: 1,
      point: new Uint8Array(32).fill(3),
      peerDigest: new Uint8Array(8).fill(4),
      blob: new Uint8Array(100).fill(5),
    } as const;
    const bytes = encodeLanMessage(message);
    expect(decodeLanMessage(bytes)).toEqual(message);
    for (let end = 0; end < bytes.length; end++) {
      expect(decodeLanMessage(bytes.subarray(0, end))).toBeUndefined();
    }
    expect(decodeLanMessage(Buffer.concat([bytes, bytes]))).toBeUndefined();
    for (const at of [0, 4, 5]) {
      expect(decodeLanMessage(bytes.map((byte, index) => (index === at ? byte ^ 2 : byte)))).toBeUndefined();
    }
  });
});

describe("a host that makes blobs up", () => {
  it("does not keep two others from meeting", async () => {
    const options = await onLoopback();
    const point = newPlace();
    const responder = new Visitor(channel(options), point, "responder");
    responder.publish("answer");
    // The place as it is said on the network, as everybody there hears it.
    const spoofed = await new Promise<Uint8Array>((resolve) => {
      const ear = closing(new LanGroup(options));
      ear.onMessage = (bytes) => {
        const message = decodeLanMessage(bytes);
        if (message !== undefined) resolve(Uint8Array.from(message.point));
      };
    });
    const spoofer = closing(await openUdp("127.0.0.9"));
    let count = 0;
    const say = (): void => {
      for (let i = 0; i < 5; i++) {
        const blob = Buffer.from(`made up ${count++}`);
        const message = { side: 0, point: spoofed, peerDigest: new Uint8Array(8), blob } as const;
        spoofer.send(encodeLanMessage(message), options.port!, "239.255.83.82");
      }
    };
    spoofer.setMulticastInterface("127.0.0.1");
    say();
    const flood = setInterval(say, 5);
    closing({ close: () => clearInterval(flood) });
    await expect.poll(() => responder.heard.some((text) => text.startsWith("made up")), POLL).toBe(true);
    // Its share is used up before the genuine peer comes.
    await pause(1500);
    const initiator = new Visitor(channel(options), point, "initiator");
    initiator.publish("offer");
    await expect.poll(() => responder.heard, { ...POLL, message: "the peer's blob" }).toContain("offer");
  }, 15_000);
});

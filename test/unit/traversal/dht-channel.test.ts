import { randomBytes } from "node:crypto";
import { beforeAll, describe, expect, it } from "vitest";
import { DhtChannel } from "../../../src/traversal/signalling/dht-channel.ts";
import { DhtKey, DhtNode, isSigned } from "../../../src/traversal/signalling/dht-node.ts";
import { unusedPort } from "../../lib/udp.ts";
import { closing, newPlace, Visitor } from "../server/points.ts";

let isInstalled = true;

beforeAll(async () => {
  try {
    await (await DhtNode.start({ bootstrap: [], address: "127.0.0.1" })).close();
  } catch {
    isInstalled = false;
    console.log("bittorrent-dht is not installed: what needs a DHT is left out");
  }
});

/** A DHT of real nodes on this machine. @returns what a node of it is reached at */
async function privateDht(nodes: number): Promise<string[]> {
  const first = closing(await DhtNode.start({ bootstrap: [], address: "127.0.0.1" }));
  const bootstrap = [`127.0.0.1:${first.port}`];
  for (let i = 1; i < nodes; i++) closing(await DhtNode.start({ bootstrap, address: "127.0.0.1" }));
  return bootstrap;
}

const channel = (bootstrap: readonly string[]) =>
  closing(new DhtChannel({ bootstrap, address: "127.0.0.1" }));

describe("two at one place of a DHT", () => {
  it("get each other's blobs, and later ones in place of the first", async (context) => {
    if (!isInstalled) context.skip();
    const bootstrap = await privateDht(12);
    const point = newPlace();
    const responder = new Visitor(channel(bootstrap), point, "responder");
    responder.publish("answer 1");
    const initiator = new Visitor(channel(bootstrap), point, "initiator");
    initiator.publish("offer 1");
    await Promise.all([initiator.hears("answer 1", 15_000), responder.hears("offer 1", 15_000)]);
    responder.publish("answer 2");
    responder.publish("answer 3");
    await initiator.hears("answer 3", 15_000);
  }, 60_000);

  it("are found by a blob of the largest size, and only under the place's own key", async (context) => {
    if (!isInstalled) context.skip();
    const bootstrap = await privateDht(6);
    const node = closing(await DhtNode.start({ bootstrap, address: "127.0.0.1" }));
    const key = new DhtKey(new Uint8Array(randomBytes(32)));
    const salt = Buffer.from("i");
    const value = new Uint8Array(990).fill(7);
    expect(await node.put(key, salt, 1, value)).toBeGreaterThan(0);
    const other = closing(await DhtNode.start({ bootstrap, address: "127.0.0.1" }));
    expect(new Uint8Array((await other.get(key, salt))!)).toEqual(value);
    expect(await other.get(key, Buffer.from("r"))).toBeUndefined();
    expect(await other.get(new DhtKey(new Uint8Array(32)), salt)).toBeUndefined();
    // An older one does not take its place.
    await other.put(key, salt, 0, new Uint8Array(1));
    expect(await node.get(key, salt)).toHaveLength(990);
  }, 30_000);

  it("are told when no node answers", async (context) => {
    if (!isInstalled) context.skip();
    const visitor = new Visitor(channel([`127.0.0.1:${await unusedPort()}`]), newPlace(), "initiator");
    visitor.publish("offer");
    expect(await visitor.trouble(20_000)).toMatch(/ERR_NO_MEETING_PLACE No node of the DHT answers/);
  }, 30_000);
});

describe("a place's key in the DHT", () => {
  it("is the one of RFC 8032, and lies where BEP 44 says", () => {
    // RFC 8032 §7.1, test 1
    const seed = Buffer.from("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "hex");
    const key = new DhtKey(seed);
    expect(key.publicKey.toString("hex")).toBe(
      "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    );
    const nothing = Buffer.alloc(0);
    const signature = key.sign(nothing);
    expect(signature.toString("hex")).toMatch(/^e5564300c360ac729086e2cc806e828a84877f1e/);
    expect(isSigned(signature, nothing, key.publicKey)).toBe(true);
    expect(isSigned(signature, Buffer.from("changed"), key.publicKey)).toBe(false);
    expect(isSigned(signature, nothing, Buffer.alloc(32))).toBe(false);
    expect(isSigned(signature, nothing, Buffer.alloc(3))).toBe(false);
  });
});

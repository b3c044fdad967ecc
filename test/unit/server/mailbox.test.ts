import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { Endpoint } from "../../../src/link/endpoint.ts";
import { UdpSocket } from "../../../src/platform/udp/udp-socket.ts";
import { openRelay } from "../../../src/traversal/relay/relay-socket.ts";
import { MailboxChannel } from "../../../src/traversal/signalling/mailbox-channel.ts";
import { orderServers, parseRendezvousUrl } from "../../../src/traversal/signalling/rendezvous-url.ts";
import { encodeRequest } from "../../../src/wire/mailbox-messages.ts";
import { openUdp, unusedPort } from "../../lib/udp.ts";
import { closing, newPlace, startServer, Visitor } from "./points.ts";

const POLL = { timeout: 10_000 };

const urlOf = (server: { port: number }) => `udp://127.0.0.1:${server.port}`;
const carrierTo = (...servers: string[]) => closing(new MailboxChannel(servers));

describe("two at one place", () => {
  it("get each other's blobs, whoever comes first, and each change at once", async () => {
    const server = await startServer();
    const point = newPlace();
    const responder = new Visitor(carrierTo(urlOf(server)), point, "responder");
    responder.publish("answer 1");
    const initiator = new Visitor(carrierTo(urlOf(server)), point, "initiator");
    initiator.publish("offer 1");
    await Promise.all([initiator.hears("answer 1"), responder.hears("offer 1")]);
    initiator.publish("offer 2");
    // The server pushes it: the deadline of 8 s ends before the client would ask again, after 15 s.
    await responder.hears("offer 2");
    responder.publish("answer 2");
    await initiator.hears("answer 2");
    expect(server.statistics.waiting).toBe(2);
    expect(server.statistics.points).toBe(1);
  });

  it("see nothing of what lies elsewhere, and nothing of their own", async () => {
    const server = await startServer();
    const channel = carrierTo(urlOf(server));
    const [point, elsewhere] = [newPlace(), newPlace()];
    const lonely = new Visitor(channel, point, "initiator");
    lonely.publish("mine");
    const rival = new Visitor(carrierTo(urlOf(server)), point, "initiator");
    rival.publish("a rival's");
    const stranger = new Visitor(carrierTo(urlOf(server)), elsewhere, "responder");
    stranger.publish("a stranger's");
    const peer = new Visitor(channel, point, "responder");
    peer.publish("for both");
    await Promise.all([lonely.hears("for both"), rival.hears("for both")]);
    expect([...lonely.heard, ...rival.heard]).toEqual(["for both", "for both"]);
    expect(stranger.heard).toEqual([]);
  });

  it("meet although one has nothing to say yet", async () => {
    const server = await startServer();
    const point = newPlace();
    const initiator = new Visitor(carrierTo(urlOf(server)), point, "initiator");
    const responder = new Visitor(carrierTo(urlOf(server)), point, "responder");
    responder.publish("waiting");
    await initiator.hears("waiting");
    initiator.publish("coming");
    await responder.hears("coming");
  });

  it("find each other again after the server was started anew", async () => {
    const first = await startServer();
    const { port } = first;
    const point = newPlace();
    const responder = new Visitor(carrierTo(urlOf(first)), point, "responder");
    responder.publish("answer");
    const initiator = new Visitor(carrierTo(urlOf(first)), point, "initiator");
    initiator.publish("offer");
    await Promise.all([initiator.hears("answer"), responder.hears("offer")]);
    await first.close();
    initiator.publish("offer after the end");
    await startServer({ port });
    responder.publish("answer of the second");
    await Promise.all([initiator.hears("answer of the second"), responder.hears("offer after the end")]);
  }, 20_000);

  it("are forgotten when they leave", async () => {
    const server = await startServer();
    const point = newPlace();
    const responder = new Visitor(carrierTo(urlOf(server)), point, "responder");
    responder.publish("answer");
    const initiator = new Visitor(carrierTo(urlOf(server)), point, "initiator");
    initiator.publish("offer");
    await Promise.all([initiator.hears("answer"), responder.hears("offer")]);
    await responder.subscription.close();
    const late = new Visitor(carrierTo(urlOf(server)), point, "initiator");
    late.publish("anybody?");
    await initiator.subscription.close();
    await expect.poll(() => server.statistics.waiting, POLL).toBe(1);
    expect(late.heard).toEqual([]);
  });
});

describe("a mailbox shared with an endpoint", () => {
  it("is asked from the endpoint's own port", async () => {
    const server = await startServer();
    const socket = await UdpSocket.bind({ family: 4, address: "127.0.0.1", port: 0 });
    const endpoint = new Endpoint([socket]);
    closing(endpoint);
    const point = newPlace();
    const channel = closing(new MailboxChannel([urlOf(server)], { shared: endpoint }));
    const visitor = new Visitor(channel, point, "initiator");
    visitor.publish("offer");
    const peer = new Visitor(carrierTo(urlOf(server)), point, "responder");
    peer.publish("answer");
    await Promise.all([visitor.hears("answer"), peer.hears("offer")]);
    expect(endpoint.strayDatagrams).toBe(0);
    await channel.close();
    // What comes now belongs to nobody.
    const stranger = await openUdp();
    stranger.send(new Uint8Array(40).fill(0xf3), socket.local.port, "127.0.0.1");
    await expect.poll(() => endpoint.strayDatagrams, POLL).toBeGreaterThan(0);
    stranger.close();
  });
});

describe("several channels to one server", () => {
  it("may share an endpoint's sockets, and a relay beside them goes by UDP too", async () => {
    const server = await startServer();
    const endpoint = closing(
      new Endpoint([await UdpSocket.bind({ family: 4, address: "127.0.0.1", port: 0 })]),
    );
    const points = [newPlace(), newPlace()];
    const visitors = points.map((point) => {
      const channel = closing(new MailboxChannel([urlOf(server)], { shared: endpoint }));
      const visitor = new Visitor(channel, point, "initiator");
      visitor.publish("offer");
      return visitor;
    });
    const relay = closing(await openRelay(urlOf(server), points[0]!, "initiator", { shared: endpoint }));
    for (const point of points) {
      new Visitor(carrierTo(urlOf(server)), point, "responder").publish("answer");
    }
    await Promise.all(visitors.map((visitor) => visitor.hears("answer")));
    expect(relay.transport).toBe("udp");
    expect(server.statistics.webSockets).toBe(0);
  });
});

describe("a server", () => {
  it("sends nothing but a cookie, no larger than the question, to an address that has not echoed one", async () => {
    const server = await startServer();
    const stranger = await openUdp();
    const meet = encodeRequest({
      kind: "meet",
      transaction: new Uint8Array(8).fill(1),
      cookie: new Uint8Array(16).fill(9),
      point: newPlace().id,
      side: 0,
      localDigest: new Uint8Array(8),
      peerDigest: new Uint8Array(8),
      blob: new Uint8Array(900),
    });
    const answered = once(stranger, "message");
    stranger.send(meet, server.port, "127.0.0.1");
    const [answer] = (await answered) as [Buffer];
    expect(answer.length).toBeLessThanOrEqual(26);
    expect(server.statistics).toMatchObject({ waiting: 0, published: 0, cookies: 1 });
    stranger.close();
  });

  it("takes a cookie from the address that it was made for only", async () => {
    const server = await startServer();
    const [honest, thief] = [await openUdp(), await openUdp()];
    const answered = once(honest, "message");
    honest.send(encodeRequest({ kind: "hello", transaction: new Uint8Array(8) }), server.port, "127.0.0.1");
    const [answer] = (await answered) as [Buffer];
    const cookie = answer.subarray(10, 26);
    const leave = encodeRequest({
      kind: "meet",
      transaction: new Uint8Array(8),
      cookie,
      point: newPlace().id,
      side: 0,
      localDigest: new Uint8Array(8),
      peerDigest: new Uint8Array(8),
      blob: new Uint8Array(10),
    });
    const refused = once(thief, "message");
    thief.send(leave, server.port, "127.0.0.1");
    expect(((await refused) as [Buffer])[0]).toHaveLength(26);
    expect(server.statistics.waiting).toBe(0);
    const taken = once(honest, "message");
    honest.send(leave, server.port, "127.0.0.1");
    expect(((await taken) as [Buffer])[0].length).toBeGreaterThan(26);
    expect(server.statistics.waiting).toBe(1);
    honest.close();
    thief.close();
  });

  it("bounds places, and what one address may have of them, and says so", async () => {
    const server = await startServer({ limits: { entriesPerAddress: 2 } });
    const channel = carrierTo(urlOf(server));
    for (let i = 0; i < 2; i++) new Visitor(channel, newPlace(), "initiator").publish("x");
    await expect.poll(() => server.statistics.waiting, POLL).toBe(2);
    const third = new Visitor(channel, newPlace(), "initiator");
    expect(await third.trouble()).toMatch(/ERR_NO_MEETING_PLACE .*refuses \(too many/);
    expect(server.statistics.waiting).toBe(2);

    const small = await startServer({ limits: { points: 1 } });
    const other = carrierTo(urlOf(small));
    new Visitor(other, newPlace(), "initiator").publish("x");
    await expect.poll(() => small.statistics.waiting, POLL).toBe(1);
    expect(await new Visitor(other, newPlace(), "initiator").trouble()).toMatch(/refuses \(it is full\)/);
  });
});

describe("several servers", () => {
  it("are put in the same order by both peers, however they name them, and share the places", () => {
    const urls = ["udp://a.example:1", "udp://b.example:2", "udp://c.example:3"].map(parseRendezvousUrl);
    const firsts = new Map<string, number>();
    for (let i = 0; i < 300; i++) {
      const { id } = newPlace();
      const [first] = orderServers(urls, id);
      expect(orderServers([...urls].reverse(), id)[0]).toBe(first);
      firsts.set(first!.text, (firsts.get(first!.text) ?? 0) + 1);
    }
    for (const { text } of urls) expect(firsts.get(text)).toBeGreaterThan(50);
  });

  it("serve although the first for a place is dead for one of the two", async () => {
    const [one, other] = [await startServer(), await startServer()];
    const dead = `udp://127.0.0.1:${await unusedPort()}`;
    const point = newPlace();
    // Only the second list holds a server that answers; the orders of the two lists differ in the rest.
    const initiator = new Visitor(carrierTo(dead, urlOf(other)), point, "initiator");
    initiator.publish("offer");
    const responder = new Visitor(carrierTo(dead, urlOf(one), urlOf(other)), point, "responder");
    responder.publish("answer");
    await Promise.all([initiator.hears("answer", 12_000), responder.hears("offer", 12_000)]);
  }, 20_000);

  it("that are all dead are told about once, and the search goes on", async () => {
    const port = await unusedPort();
    const visitor = new Visitor(carrierTo(`udp://127.0.0.1:${port}`), newPlace(), "initiator");
    expect(await visitor.trouble()).toMatch(/ERR_NO_MEETING_PLACE udp:\/\/127\.0\.0\.1:\d+ does not answer/);
    const server = await startServer({ port });
    await expect.poll(() => server.statistics.waiting, POLL).toBe(1);
    expect(visitor.troubles).toHaveLength(1);
  }, 20_000);
});

describe("a server's URL", () => {
  it("is read in all its forms", () => {
    const read = (text: string) => {
      const { scheme, host, port, text: normal, webSocketUrl } = parseRendezvousUrl(text);
      return [scheme, host, port, normal, webSocketUrl];
    };
    expect(read("udp://Example.org")).toEqual([
      "udp",
      "example.org",
      3478,
      "udp://example.org:3478",
      "ws://example.org:3478/",
    ]);
    expect(read("udp://[2001:db8::7]:99")).toEqual([
      "udp",
      "2001:db8::7",
      99,
      "udp://[2001:db8::7]:99",
      "ws://[2001:db8::7]:99/",
    ]);
    expect(read("wss://meet.example.org")[2]).toBe(443);
    expect(read("ws://meet.example.org/a")).toEqual([
      "ws",
      "meet.example.org",
      80,
      "ws://meet.example.org:80/a",
      "ws://meet.example.org:80/a",
    ]);
  });

  it("is refused when it is none", () => {
    for (const text of [
      "",
      "host:1",
      "http://host",
      "udp://",
      "udp://host:0",
      "udp://host:65536",
      "udp://host/x",
      "udp://a b",
    ]) {
      expect(() => parseRendezvousUrl(text), text).toThrow(expect.objectContaining({ code: "ERR_USAGE" }));
    }
  });
});

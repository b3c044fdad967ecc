import type { Socket } from "node:dgram";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import type { Client } from "../../../src/server/client.ts";
import { BURST_MS, USUAL_LIMITS } from "../../../src/server/limits.ts";
import { Relay } from "../../../src/server/relay.ts";
import type { RendezvousServer } from "../../../src/server/rendezvous-server.ts";
import { emptyStatistics } from "../../../src/server/statistics.ts";
import { openRelay, type RelaySocket } from "../../../src/traversal/relay/relay-socket.ts";
import type { RendezvousPoint, SignallingRole } from "../../../src/traversal/signalling/channel.ts";
import { roomOfPoint } from "../../../src/traversal/signalling/rendezvous-point.ts";
import {
  decodeReply,
  encodeRequest,
  type MailboxRequest,
  writeRelayHead,
} from "../../../src/wire/mailbox-messages.ts";
import { within } from "../../lib/deadline.ts";
import { openUdp, unusedPort } from "../../lib/udp.ts";
import { closing, newPlace, startServer } from "./points.ts";

const POLL = { timeout: 10_000 };
const schemes = ["udp", "ws"] as const;

async function relayTo(
  server: RendezvousServer,
  point: RendezvousPoint,
  side: SignallingRole,
  scheme: "udp" | "ws" = "udp",
): Promise<RelaySocket> {
  return closing(await openRelay(`${scheme}://127.0.0.1:${server.port}`, point, side));
}

/** A client that keeps what is sent to it. */
class RecordingClient implements Client {
  readonly isReliable = false;
  readonly sent: Uint8Array[] = [];
  readonly address: string;

  constructor(address: string) {
    this.address = address;
  }

  send(bytes: Uint8Array): void {
    this.sent.push(bytes);
  }

  equals(other: Client): boolean {
    return other === this;
  }
}

/** The next datagram that a socket gets, sending `bytes` by `from` until it is there: datagrams may be lost. */
function arriving(at: RelaySocket, timeoutMs = 8000): Promise<Uint8Array> {
  const coming = new Promise<Uint8Array>((resolve) => {
    at.onDatagram = (_socket, address, port, bytes) => {
      expect([address, port]).toEqual(["relay", 1]);
      resolve(bytes);
    };
  });
  return within(coming, timeoutMs, () => "no relayed datagram");
}

describe("a relayed connection", () => {
  for (const one of schemes) {
    for (const other of schemes) {
      it(`carries datagrams both ways as they are, ${one} to ${other}`, async () => {
        const server = await startServer();
        const point = newPlace();
        const near = await relayTo(server, point, "initiator", one);
        expect(near.isPeerPresent).toBe(false);
        const far = await relayTo(server, point, "responder", other);
        expect(far.isPeerPresent).toBe(true);
        for (const length of [1, 1200, 1450]) {
          const bytes = new Uint8Array(length).fill(length & 0xff);
          let coming = arriving(far);
          near.send(bytes);
          expect(new Uint8Array(await coming)).toEqual(bytes);
          coming = arriving(near);
          far.sendLast(bytes);
          expect(new Uint8Array(await coming)).toEqual(bytes);
        }
        expect(near.isPeerPresent).toBe(true);
        expect([near.transport, far.transport]).toEqual(
          [one, other].map((way) => (way === "ws" ? "webSocket" : way)),
        );
        expect(server.statistics).toMatchObject({ relays: 1, relayedDatagrams: 6 });
      });
    }
  }

  it("reports the end of a batch, as an endpoint expects", async () => {
    const server = await startServer();
    const relay = await relayTo(server, newPlace(), "initiator");
    const reported = new Promise<void>((resolve) => {
      relay.onSent = resolve;
    });
    relay.sendLast(new Uint8Array(10));
    await within(reported, 2000, () => "onSent was not called");
  });

  it("gives its end back when it closes", async () => {
    const server = await startServer();
    const point = newPlace();
    const near = await relayTo(server, point, "initiator");
    const far = await relayTo(server, point, "responder", "ws");
    expect(server.statistics.relays).toBe(1);
    near.close();
    far.close();
    await expect.poll(() => server.statistics.relays, POLL).toBe(0);
  });

  it("cannot be entered by who only sees the place's name", async () => {
    const server = await startServer();
    const point = newPlace();
    await relayTo(server, point, "initiator");
    const spy = { ...point, seed: new Uint8Array(32) };
    const far = await relayTo(server, spy, "responder");
    expect(far.isPeerPresent).toBe(false);
  });

  it("takes nothing from who has seen a session and is somewhere else", async () => {
    const server = await startServer();
    const point = newPlace();
    const far = await relayTo(server, point, "responder");
    const heard: string[] = [];
    far.onDatagram = (_socket, _address, _port, bytes) => heard.push(Buffer.from(bytes).toString());
    const [owner, stranger] = [closing(await openUdp()), closing(await openUdp())];
    const ask = async (request: MailboxRequest) => {
      const answered = once(owner, "message");
      owner.send(encodeRequest(request), server.port, "127.0.0.1");
      return decodeReply(((await answered) as [Buffer])[0]);
    };
    const transaction = new Uint8Array(8);
    const hello = await ask({ kind: "hello", transaction });
    if (hello?.kind !== "cookie") throw new Error("no cookie");
    const { cookie } = hello;
    const granted = await ask({ kind: "relayOpen", transaction, cookie, point: roomOfPoint(point), side: 0 });
    if (granted?.kind !== "relayState") throw new Error("no end");
    const say = (socket: Socket, text: string): void => {
      const bytes = Buffer.concat([Buffer.alloc(9), Buffer.from(text)]);
      writeRelayHead(bytes, granted.session);
      socket.send(bytes, server.port, "127.0.0.1");
    };
    say(stranger, "a stranger's");
    await expect.poll(() => server.statistics.relayDropped, POLL).toBe(1);
    say(owner, "the owner's");
    await expect.poll(() => heard, POLL).toEqual(["the owner's"]);
  });

  it("goes on when one end comes from another address, and the server was started anew", async () => {
    const first = await startServer();
    const point = newPlace();
    const near = await relayTo(first, point, "initiator");
    const far = await relayTo(first, point, "responder");
    await first.close();
    await startServer({ port: first.port });
    const coming = arriving(far, 15_000);
    const beat = setInterval(() => {
      near.send(new Uint8Array([1]));
      far.send(new Uint8Array([2]));
    }, 100);
    try {
      expect([...(await coming)]).toEqual([1]);
    } finally {
      clearInterval(beat);
    }
  }, 20_000);
});

describe("a relay's limits", () => {
  it("lets through no more than its rate and the burst, and drops the rest", () => {
    const statistics = emptyStatistics();
    const limits = { ...USUAL_LIMITS, relayRateBytes: 100_000 };
    const relay = new Relay(0, limits, statistics);
    const [near, far] = [new RecordingClient("192.0.2.1"), new RecordingClient("192.0.2.2")];
    const request = {
      kind: "relayOpen",
      transaction: new Uint8Array(8),
      cookie: new Uint8Array(16),
    } as const;
    const point = new Uint8Array(32);
    expect(relay.open(0, near, { ...request, point, side: 0 })).toBeUndefined();
    expect(relay.open(0, far, { ...request, point, side: 1 })).toBeUndefined();
    const granted = decodeReply(near.sent[0]!);
    if (granted?.kind !== "relayState") throw new Error("no end was granted");
    far.sent.length = 0;
    // Twenty times the rate for one second of virtual time.
    for (let nowMs = 0; nowMs < 1000; nowMs += 5) {
      for (let i = 0; i < 10; i++) {
        const datagram = new Uint8Array(1000);
        writeRelayHead(datagram, granted.session);
        relay.pass(nowMs, near, datagram);
      }
    }
    const relayedBytes = 1000 * far.sent.length;
    expect(relayedBytes).toBeLessThanOrEqual(100_000 + 100_000 * (BURST_MS / 1000));
    expect(relayedBytes).toBeGreaterThan(100_000);
    expect(statistics).toMatchObject({ relayedBytes, relayDropped: 2000 - far.sent.length });
  });

  it("reports its rate to the clients", async () => {
    const server = await startServer({ limits: { relayRateBytes: 100_000 } });
    expect((await relayTo(server, newPlace(), "initiator")).rateBytes).toBe(100_000);
  });

  it("end what has had its share, and tell both ends", async () => {
    const server = await startServer({ limits: { relayQuotaBytes: 10_000 } });
    const point = newPlace();
    const near = await relayTo(server, point, "initiator");
    const far = await relayTo(server, point, "responder");
    const ended = [near, far].map((relay) => {
      const reported = new Promise<string>((resolve) => {
        relay.onEnded = (error) => resolve(error.code);
      });
      return within(reported, 5000, () => "no end");
    });
    for (let i = 0; i < 20; i++) near.send(new Uint8Array(1000));
    expect(await Promise.all(ended)).toEqual(["ERR_RELAY_REFUSED", "ERR_RELAY_REFUSED"]);
    expect(server.statistics.relayedBytes).toBeLessThanOrEqual(11_100);
    await expect(relayTo(server, point, "initiator")).rejects.toMatchObject({ code: "ERR_RELAY_REFUSED" });
  });

  it("refuse where there is no relay, and what one address has too many of", async () => {
    const none = await startServer({ limits: { relays: 0 } });
    await expect(relayTo(none, newPlace(), "initiator")).rejects.toThrow(/it relays nothing/);
    const few = await startServer({ limits: { relaysPerAddress: 1 } });
    await relayTo(few, newPlace(), "initiator");
    await expect(relayTo(few, newPlace(), "initiator")).rejects.toThrow(/too many from this address/);
    const small = await startServer({ limits: { relays: 1 } });
    await relayTo(small, newPlace(), "initiator");
    await expect(relayTo(small, newPlace(), "initiator")).rejects.toThrow(/it is full/);
  });
});

describe("a relay that cannot be had", () => {
  it("is given up after three seconds of silence, or when nobody wants it any more", async () => {
    const url = `udp://127.0.0.1:${await unusedPort()}`;
    await expect(openRelay(url, newPlace(), "initiator")).rejects.toMatchObject({
      code: "ERR_NO_MEETING_PLACE",
    });
    const signal = AbortSignal.abort(new Error("enough"));
    await expect(openRelay(url, newPlace(), "initiator", { signal })).rejects.toThrow("enough");
  });
});

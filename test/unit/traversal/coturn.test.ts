/** The TURN client, and the gatherer, against a real server. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Endpoint } from "../../../src/link/endpoint.ts";
import { UdpSocket } from "../../../src/platform/udp/udp-socket.ts";
import { Gatherer } from "../../../src/traversal/gather/gatherer.ts";
import { openTurn, type TurnOptions } from "../../../src/traversal/relay/open-turn.ts";
import type { TurnSocket } from "../../../src/traversal/relay/turn-socket.ts";
import { COTURN_USER, Coturn, coturnMissing } from "../../lib/coturn.ts";
import { pause, within } from "../../lib/deadline.ts";

const missing = coturnMissing();
if (missing !== undefined) console.warn(`coturn.test: skipped, ${missing}`);

const USER = `${COTURN_USER.username}:${encodeURIComponent(COTURN_USER.password)}@`;
const LIFETIME_S = 2;

interface Heard {
  readonly text: string;
  readonly address: string;
  readonly port: number;
}

/** What comes in at a socket, one after the other. */
class Ear {
  readonly #heard: Heard[] = [];
  #reported: (() => void) | undefined;

  constructor(socket: UdpSocket | TurnSocket) {
    socket.onDatagram = (_socket, address, port, bytes) => {
      this.#heard.push({ text: Buffer.from(bytes).toString(), address, port });
      this.#reported?.();
    };
  }

  async next(): Promise<Heard> {
    while (this.#heard.length === 0)
      await within(new Promise<void>((resolve) => (this.#reported = resolve)), 5000, () => "nothing came");
    return this.#heard.shift()!;
  }
}

describe.skipIf(missing !== undefined)("a relay at coturn", () => {
  let coturn: Coturn;
  const open: { close(): void }[] = [];
  beforeAll(async () => {
    coturn = await Coturn.start(
      `--permission-lifetime=${LIFETIME_S}`,
      `--max-allocate-lifetime=${LIFETIME_S}`,
      "--stale-nonce=1",
      "--user-quota=12",
    );
  });
  afterAll(async () => {
    for (const one of open) one.close();
    await coturn.stop();
  });

  async function relay(uri: string, options: TurnOptions = {}): Promise<TurnSocket> {
    const socket = await openTurn(uri, { permissionLifetimeMs: LIFETIME_S * 1000, ...options });
    open.push(socket);
    return socket;
  }

  async function plainSocket(): Promise<UdpSocket> {
    const socket = await UdpSocket.bind({ family: 4, port: 0, address: "127.0.0.1" });
    open.push(socket);
    return socket;
  }

  const ways = [
    ["UDP", () => `turn:${USER}127.0.0.1:${coturn.port}?transport=udp`],
    ["TCP", () => `turn:${USER}127.0.0.1:${coturn.port}?transport=tcp`],
    ["TLS", () => `turns:${USER}localhost:${coturn.tlsPort}`],
    ["whatever comes first", () => `turn:${USER}127.0.0.1:${coturn.port}`],
  ] as const;
  for (const [name, uri] of ways) {
    it(`carries datagrams both ways by ${name}`, async () => {
      const socket = await relay(uri(), { tls: { ca: coturn.certificate } });
      expect(socket.relayed).toMatchObject({ address: "127.0.0.1", family: 4 });
      const peer = await plainSocket();
      const [atPeer, atRelay] = [new Ear(peer), new Ear(socket)];
      const texts = ["one", "", "a longer one of another length", "x".repeat(1200)];
      for (const text of texts) socket.send(Buffer.from(text), peer.local.address, peer.local.port);
      const { address, port } = socket.relayed;
      for (const text of texts) expect(await atPeer.next()).toEqual({ text, address, port });
      for (const text of texts) peer.send(Buffer.from(text), address, port);
      for (const text of texts)
        expect(await atRelay.next()).toEqual({ text, address: peer.local.address, port: peer.local.port });
    });
  }

  it("tells when the last of a batch has left, be the peer known to the server or not", async () => {
    const peer = await plainSocket();
    for (const transport of ["udp", "tcp"]) {
      const socket = await relay(`turn:${USER}127.0.0.1:${coturn.port}?transport=${transport}`);
      for (let batch = 0; batch < 2; batch++) {
        const sent = new Promise<void>((resolve) => (socket.onSent = resolve));
        socket.sendLast(Buffer.from("x"), peer.local.address, peer.local.port);
        await within(sent, 2000, () => `batch ${batch} by ${transport} was not told`);
        const ear = new Ear(peer);
        if (batch === 0) await ear.next();
      }
    }
  });

  it("links two relays, neither of which can be reached in another way", async () => {
    const [a, b] = [await relay(ways[0][1]()), await relay(ways[1][1]())];
    const [atA, atB] = [new Ear(a), new Ear(b)];
    // The first opens the way that the second comes by.
    a.send(Buffer.from("open"), b.relayed.address, b.relayed.port);
    for (;;) {
      b.send(Buffer.from("to a"), a.relayed.address, a.relayed.port);
      const heard = await Promise.race([atA.next(), pause(50)]);
      if (heard !== undefined) {
        expect(heard).toEqual({ text: "to a", address: b.relayed.address, port: b.relayed.port });
        break;
      }
    }
    a.send(Buffer.from("to b"), b.relayed.address, b.relayed.port);
    expect((await atB.next()).text).toMatch(/^(?:open|to b)$/);
  });

  it("lives on when allocation, permission and nonce have run out more than once", async () => {
    let isLost = false;
    const socket = await relay(ways[0][1]());
    socket.onLost = () => {
      isLost = true;
    };
    const peer = await plainSocket();
    const [atPeer, atRelay] = [new Ear(peer), new Ear(socket)];
    socket.send(Buffer.from("first"), peer.local.address, peer.local.port);
    await atPeer.next();
    // Three times of everything: this needs its time by its nature.
    await pause(3 * LIFETIME_S * 1000);
    expect(isLost).toBe(false);
    peer.send(Buffer.from("in"), socket.relayed.address, socket.relayed.port);
    expect((await atRelay.next()).text).toBe("in");
    socket.send(Buffer.from("out"), peer.local.address, peer.local.port);
    expect((await atPeer.next()).text).toBe("out");
    // A peer never met before, with a nonce that is stale by now.
    const other = await plainSocket();
    const atOther = new Ear(other);
    socket.send(Buffer.from("new"), other.local.address, other.local.port);
    expect((await atOther.next()).text).toBe("new");
  }, 20_000);

  it("gives its relay back when it is closed", async () => {
    const quota = await Coturn.start("--user-quota=1");
    try {
      const uri = `turn:${USER}127.0.0.1:${quota.port}?transport=udp`;
      const first = await relay(uri);
      await expect(relay(uri)).rejects.toMatchObject({
        code: "ERR_RELAY_REFUSED",
        message: expect.stringContaining("answers 486"),
      });
      first.close();
      // It would be taken for ten minutes otherwise.
      const again = async (): Promise<TurnSocket> => {
        for (;;) {
          const socket = await relay(uri).catch(() => undefined);
          if (socket !== undefined) return socket;
        }
      };
      const second = await within(again(), 10_000, () => "the relay is still taken");
      expect(second.relayed.port).toBeGreaterThan(0);
    } finally {
      await quota.stop();
    }
  }, 20_000);

  it("is told when a stream to the server has ended", async () => {
    const short = await Coturn.start();
    const socket = await relay(`turn:${USER}127.0.0.1:${short.port}?transport=tcp`);
    const lost = new Promise<void>((resolve) => (socket.onLost = resolve));
    await short.stop();
    await within(lost, 5000, () => "the loss was not told");
    // And nothing throws any more.
    socket.sendLast(Buffer.from("x"), "127.0.0.1", 9);
    socket.close();
  });

  it("says who refused and why, and no password", async () => {
    const wrong = `turn:user:wr%25ng@127.0.0.1:${coturn.port}?transport=udp`;
    await expect(relay(wrong)).rejects.toThrow(
      `turn:127.0.0.1:${coturn.port}?transport=udp does not know that user and password`,
    );
    await expect(relay(`turn:127.0.0.1:${coturn.port}?transport=tcp`)).rejects.toThrow(
      "wants a user and a password",
    );
    const closed = await plainSocket();
    await expect(relay(`turn:${USER}127.0.0.1:${closed.local.port}?transport=tcp`)).rejects.toThrow(
      "(ECONNREFUSED)",
    );
  });

  it("goes to no server that proves itself with a certificate that nobody vouches for", async () => {
    await expect(relay(ways[2][1]())).rejects.toMatchObject({
      code: "ERR_RELAY_REFUSED",
      message: expect.stringMatching(/SELF_SIGNED|UNABLE_TO/),
    });
  });

  it("gives up when it is told to", async () => {
    const silent = await plainSocket();
    const giveUp = new AbortController();
    const opening = relay(`turn:${USER}127.0.0.1:${silent.local.port}?transport=udp`, {
      signal: giveUp.signal,
    });
    const reason = new Error("enough");
    giveUp.abort(reason);
    await expect(opening).rejects.toBe(reason);
  });

  it("is a STUN server from which mapping and filtering are learned", async () => {
    const socket = await UdpSocket.bind({ family: 4, port: 0 });
    const endpoint = new Endpoint([socket]);
    const gatherer = new Gatherer(endpoint, { stunServers: [{ host: "127.0.0.1", port: coturn.port }] });
    open.push(endpoint, gatherer);
    gatherer.start([socket]);
    await gatherer.done;
    expect(gatherer.behaviour(4)).toMatchObject({
      mapping: "endpointIndependent",
      portPattern: "preserved",
      filtering: "endpointIndependent",
    });
  });
});

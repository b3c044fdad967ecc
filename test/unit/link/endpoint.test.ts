import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { afterEach, describe, expect, it } from "vitest";
import { concatBytes } from "../../../src/base/bytes.ts";
import { Endpoint } from "../../../src/link/endpoint.ts";
import type { FaultHandler } from "../../../src/link/fault.ts";
import { UdpSocket } from "../../../src/platform/udp/udp-socket.ts";
import { HEADER_BYTES, writeHeader } from "../../../src/wire/packet.ts";
import { FakeConnection, FakeOwner } from "./fake-connection.ts";

const LOOPBACK = "127.0.0.1";
const ONE = [1, 2, 3, 4, 5, 6, 7, 8];
const TWO = [1, 2, 3, 4, 5, 6, 9, 9];
const THREE = [3, 3, 3, 3, 3, 3, 3, 3];

const opened: { close(): void }[] = [];

afterEach(() => {
  for (const one of opened.splice(0)) one.close();
});

async function newEndpoint(onFault?: FaultHandler): Promise<Endpoint> {
  const endpoint = new Endpoint([await UdpSocket.bind({ family: 4, address: LOOPBACK, port: 0 })], onFault);
  opened.push(endpoint);
  return endpoint;
}

async function newPeer(): Promise<Socket> {
  const socket = createSocket("udp4");
  socket.bind(0, LOOPBACK);
  await once(socket, "listening");
  opened.push({ close: () => socket.close() });
  return socket;
}

/** Sends datagrams to the endpoint and waits until everything before a last one was looked at. */
async function deliver(endpoint: Endpoint, peer: Socket, ...datagrams: Uint8Array[]): Promise<void> {
  const seen = endpoint.strayDatagrams;
  const strays = datagrams.filter((bytes) => bytes[0] === undefined || bytes[0] < 0xc0).length;
  for (const bytes of [...datagrams, new Uint8Array([0])]) {
    await new Promise((resolve) => peer.send(bytes, endpoint.sockets[0]!.local.port, LOOPBACK, resolve));
  }
  while (endpoint.strayDatagrams < seen + strays + 1) await new Promise(setImmediate);
  await new Promise(setImmediate);
}

function dataPacket(connectionId: readonly number[], ...rest: number[]): Uint8Array {
  return Uint8Array.from([0xc0, ...connectionId, ...rest]);
}

function handshakePacket(destination: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(60);
  bytes[0] = 0xd0;
  bytes.set(destination, 3);
  return bytes;
}

function notice(destination: readonly number[]): Uint8Array {
  return Uint8Array.from([0xe0, 1, ...destination, 0, 0]);
}

describe("the endpoint", () => {
  it("finds the connection that a datagram names, by each kind of packet", async () => {
    const endpoint = await newEndpoint();
    const peer = await newPeer();
    const one = new FakeConnection(...ONE);
    const three = new FakeConnection(...THREE);
    endpoint.attach(one, new FakeOwner(), []);
    endpoint.attach(three, new FakeOwner(), []);
    await deliver(
      endpoint,
      peer,
      dataPacket(ONE, 1),
      dataPacket(THREE, 2),
      handshakePacket(ONE),
      notice(THREE),
    );
    expect(one.received.map(({ bytes }) => bytes[0])).toEqual([0xc0, 0xd0]);
    expect(three.received.map(({ bytes }) => bytes[0])).toEqual([0xc0, 0xe0]);
  });

  it("takes a buffer apart that holds packets of several connections, a handshake and junk", async () => {
    const socket = await UdpSocket.bind({ family: 4, address: LOOPBACK, port: 0 });
    Object.defineProperty(socket, "isCoalescing", { value: true });
    const endpoint = new Endpoint([socket]);
    opened.push(endpoint);
    const one = new FakeConnection(...ONE);
    const three = new FakeConnection(...THREE);
    endpoint.attach(one, new FakeOwner(), []);
    endpoint.attach(three, new FakeOwner(), []);
    const whole = (id: readonly number[], byteLength = 1200): Uint8Array => {
      const packet = new Uint8Array(byteLength);
      writeHeader(packet, 0, 0, Uint8Array.from(id), 1, byteLength - HEADER_BYTES);
      return packet;
    };
    const handshake = new Uint8Array(1200);
    handshake.set(handshakePacket(THREE));
    const parts = [
      whole(ONE),
      whole(ONE),
      new Uint8Array(1200).fill(0x99),
      whole(THREE),
      handshake,
      whole(ONE, 90),
    ];
    socket.onDatagram?.(socket, LOOPBACK, 9, concatBytes(...parts));
    expect(one.received.map(({ bytes }) => bytes.length)).toEqual([2400, 90]);
    expect(three.received.map(({ bytes }) => bytes[0])).toEqual([0xc0, 0xd0]);
    expect(endpoint.strayDatagrams).toBe(1);
  });

  it("gives other protocols bytes of their own, where the socket uses its memory again", async () => {
    const socket = await UdpSocket.bind({ family: 4, address: LOOPBACK, port: 0 });
    Object.defineProperty(socket, "isCoalescing", { value: true });
    const endpoint = new Endpoint([socket]);
    opened.push(endpoint);
    const kept: Uint8Array[] = [];
    endpoint.route(0, 0xff, (_now, _from, bytes) => {
      kept.push(bytes);
      return true;
    });
    const memory = Uint8Array.of(0x64, 1, 2, 3);
    socket.onDatagram?.(socket, LOOPBACK, 9, memory);
    memory.fill(0);
    expect(kept).toEqual([Uint8Array.of(0x64, 1, 2, 3)]);
  });

  it("counts what belongs to nobody, and what is nothing", async () => {
    const endpoint = await newEndpoint();
    const peer = await newPeer();
    const one = new FakeConnection(...ONE);
    endpoint.attach(one, new FakeOwner(), []);
    const junk = [
      dataPacket(TWO),
      dataPacket(THREE),
      new Uint8Array(0),
      new Uint8Array([0xc0, 1]),
      notice(THREE),
    ];
    const before = endpoint.strayDatagrams;
    await deliver(endpoint, peer, ...junk);
    expect(endpoint.strayDatagrams - before).toBe(junk.length + 1);
    expect(one.received).toEqual([]);
  });

  it("gives a first message to whoever waits for one", async () => {
    const endpoint = await newEndpoint();
    const peer = await newPeer();
    const firsts: number[] = [];
    endpoint.acceptFirstMessages((_now, from) => firsts.push(from.port));
    await deliver(
      endpoint,
      peer,
      handshakePacket(new Array(8).fill(0)),
      handshakePacket(THREE),
      dataPacket(THREE),
    );
    expect(firsts).toEqual([peer.address().port]);
  });

  it("drains once behind a batch: what is to be sent, the deadline, the events, in this order", async () => {
    const endpoint = await newEndpoint();
    const peer = await newPeer();
    const one = new FakeConnection(...ONE);
    endpoint.attach(one, new FakeOwner(), []);
    await new Promise(setImmediate);
    one.calls.length = 0;
    endpoint.setListening(true);
    // Both are in the socket's buffer before the event loop looks.
    const { port } = endpoint.sockets[0]!.local;
    await Promise.all(
      [1, 2].map((n) => new Promise((resolve) => peer.send(dataPacket(ONE, n), port, LOOPBACK, resolve))),
    );
    one.events.push(7);
    while (one.received.length < 2) await new Promise(setImmediate);
    await new Promise(setImmediate);
    const behind = one.calls.slice(one.calls.lastIndexOf("datagram") + 1);
    expect(behind).toEqual(["nothing to send", "deadline", "event", "no event"]);
  });

  it("reads the clock for each datagram, and not again before what follows from them", async () => {
    const endpoint = await newEndpoint();
    const one = new FakeConnection(...ONE);
    const connectionHandle = endpoint.attach(one, new FakeOwner(), [])!;
    const socket = endpoint.sockets[0] as UdpSocket;
    for (const n of [1, 2, 3]) {
      const arrivedMs = performance.now();
      // The process stands still: what comes meanwhile has not come before.
      while (performance.now() < arrivedMs + 2);
      socket.onDatagram?.(socket, LOOPBACK, 9, dataPacket(ONE, n));
      expect(one.received.at(-1)!.now).toBeGreaterThanOrEqual(arrivedMs + 2);
    }
    expect(connectionHandle.now()).toBe(one.received.at(-1)!.now);
  });

  it("has one path for each address that a connection is heard from", async () => {
    const endpoint = await newEndpoint();
    const known = { address: LOOPBACK, port: 1000, socket: 0 };
    const one = new FakeConnection(...ONE);
    endpoint.attach(one, new FakeOwner(), [known]);
    const socket = endpoint.sockets[0] as UdpSocket;
    for (const port of [1000, 2000, 1000, 2000])
      socket.onDatagram?.(socket, LOOPBACK, port, dataPacket(ONE, 0));
    const paths = one.received.map(({ path }) => path);
    expect(paths[0]).toBe(known);
    expect(paths[2]).toBe(known);
    expect(paths[3]).toBe(paths[1]);
    expect(paths[1]).toEqual({ address: LOOPBACK, port: 2000, socket: 0 });
  });

  it("forgets addresses beyond a bound, but not the one in use", async () => {
    const endpoint = await newEndpoint();
    const one = new FakeConnection(...ONE);
    endpoint.attach(one, new FakeOwner(), []);
    const socket = endpoint.sockets[0] as UdpSocket;
    socket.onDatagram?.(socket, LOOPBACK, 1, dataPacket(ONE, 0));
    for (let port = 2; port < 100; port++) {
      socket.onDatagram?.(socket, LOOPBACK, port, dataPacket(ONE, 0));
      socket.onDatagram?.(socket, LOOPBACK, port, dataPacket(ONE, 0));
    }
    const paths = one.received.map(({ path }) => path);
    expect(paths.at(-1)).toBe(paths.at(-2));
    socket.onDatagram?.(socket, LOOPBACK, 1, dataPacket(ONE, 0));
    expect(one.received.at(-1)!.path).not.toBe(paths[0]);
  });

  it("sends a batch as datagrams of the segment's length, the last one shorter", async () => {
    const endpoint = await newEndpoint();
    const peer = await newPeer();
    const lengths: number[] = [];
    const heard: number[] = [];
    const all = new Promise<void>((resolve) => {
      peer.on("message", (bytes) => {
        lengths.push(bytes.length);
        heard.push(...bytes);
        if (lengths.length === 5) resolve();
      });
    });
    const path = { address: LOOPBACK, port: peer.address().port, socket: 0 };
    const one = new FakeConnection(...ONE);
    const bytes = Uint8Array.from({ length: 1000 }, (_, i) => i % 251);
    one.outgoing.push(
      { bytes, segmentBytes: 300, path },
      { bytes: bytes.subarray(0, 40), segmentBytes: 40, path },
    );
    endpoint.attach(one, new FakeOwner(), [path]);
    await all;
    expect(lengths).toEqual([300, 300, 300, 100, 40]);
    expect(heard).toEqual([...bytes, ...bytes.subarray(0, 40)]);
  });

  it("survives what cannot be sent, and counts it", async () => {
    const endpoint = await newEndpoint();
    const one = new FakeConnection(...ONE);
    const path = { address: LOOPBACK, port: 9, socket: 0 };
    one.outgoing.push({
      bytes: new Uint8Array(60_000).fill(1),
      segmentBytes: 60_000,
      path: { ...path, address: "255.255.255.255" },
    });
    endpoint.attach(one, new FakeOwner(), [path]);
    const socket = endpoint.sockets[0] as UdpSocket;
    while (socket.sendErrors === 0) await new Promise(setImmediate);
    expect(one.state).toBe("established");
  });

  it("calls handleTimeout when the deadline has come, and not for a moved one before", async () => {
    const endpoint = await newEndpoint();
    const one = new FakeConnection(...ONE);
    const started = performance.now();
    one.deadlineMs = started + 40;
    const timedOut = new Promise<number>((resolve) => {
      one.onTimeout = () => {
        one.deadlineMs = Number.POSITIVE_INFINITY;
        resolve(performance.now());
      };
    });
    const connectionHandle = endpoint.attach(one, new FakeOwner(), [])!;
    await new Promise((resolve) => setTimeout(resolve, 10));
    one.deadlineMs = started + 90;
    connectionHandle.touch();
    expect((await timedOut) - started).toBeGreaterThanOrEqual(89);
    expect(one.calls.filter((call) => call === "timeout")).toHaveLength(1);
  });

  it("serves the earliest of several deadlines", async () => {
    const endpoint = await newEndpoint();
    const order: number[] = [];
    const started = performance.now();
    const waits = [450, 150, 300].map((delayMs, index) => {
      const connection = new FakeConnection(index, 1, 1, 1, 1, 1, 1, 1);
      connection.deadlineMs = started + delayMs;
      endpoint.attach(connection, new FakeOwner(), []);
      return new Promise<void>((resolve) => {
        connection.onTimeout = () => {
          connection.deadlineMs = Number.POSITIVE_INFINITY;
          order.push(delayMs);
          resolve();
        };
      });
    });
    await Promise.all(waits);
    expect(order).toEqual([150, 300, 450]);
  });

  it("does what an event's owner commands in the same turn", async () => {
    const endpoint = await newEndpoint();
    const one = new FakeConnection(...ONE);
    const owner = new FakeOwner();
    let connectionHandle: ReturnType<Endpoint["attach"]>;
    owner.onEvent = () => {
      one.calls.push("command");
      connectionHandle!.touch();
    };
    connectionHandle = endpoint.attach(one, owner, []);
    one.events.push(1);
    connectionHandle!.flush();
    expect(one.calls.slice(one.calls.indexOf("command"))).toEqual([
      "command",
      "no event",
      "nothing to send",
      "deadline",
      "no event",
    ]);
  });

  it("lets other I/O happen while events and commands answer each other without end", async () => {
    const endpoint = await newEndpoint();
    const one = new FakeConnection(...ONE);
    const owner = new FakeOwner();
    // Every round brings an event, and every event a command.
    one.pollTimeout = () => {
      one.events.push(1);
      return Number.POSITIVE_INFINITY;
    };
    const connectionHandle = endpoint.attach(one, owner, [])!;
    owner.onEvent = () => connectionHandle.touch();
    await new Promise((resolve) => setTimeout(resolve, 5));
    const before = owner.kinds.length;
    expect(before).toBeGreaterThan(8);
    await new Promise(setImmediate);
    expect(owner.kinds.length - before).toBeLessThanOrEqual(16);
    owner.onEvent = undefined;
  });

  it("gives what an owner throws to that owner alone, and the other connections their turn", async () => {
    const endpoint = await newEndpoint();
    const one = new FakeConnection(...ONE);
    const three = new FakeConnection(...THREE);
    const owner = new FakeOwner();
    const bug = new Error("a bug");
    owner.onEvent = () => {
      throw bug;
    };
    const other = new FakeOwner();
    const connectionHandle = endpoint.attach(one, owner, [])!;
    endpoint.attach(three, other, []);
    one.events.push(1);
    three.events.push(2);
    connectionHandle.flush();
    expect(owner.faults).toEqual([bug]);
    expect(other.kinds).toEqual([2]);
    expect(other.faults).toEqual([]);
    expect(endpoint.faults).toBe(1);
  });

  it.each([
    ["takes a datagram", "handleDatagram"],
    ["handles a timeout", "handleTimeout"],
    ["fills a packet", "pollTransmit"],
    ["gives an event", "pollEvent"],
  ] as const)(
    "ends a connection that throws while it %s, and lets go of it the second time",
    async (_what, method) => {
      const faults: unknown[] = [];
      const endpoint = await newEndpoint((fault) => faults.push(fault));
      const peer = await newPeer();
      const one = new FakeConnection(...ONE);
      const three = new FakeConnection(...THREE);
      const owner = new FakeOwner();
      const other = new FakeOwner();
      one[method] = (): never => {
        throw new Error(method);
      };
      const connectionHandle = endpoint.attach(one, owner, [])!;
      endpoint.attach(three, other, []);
      for (let turn = 0; turn < 2; turn++) {
        one.deadlineMs = performance.now();
        connectionHandle.touch();
        await deliver(endpoint, peer, dataPacket(ONE, 1), dataPacket(THREE, 2));
      }
      await expect.poll(() => owner.isDetached).toBe(true);
      expect(owner.faults).toEqual([expect.objectContaining({ message: method })]);
      expect(faults.length).toBeGreaterThanOrEqual(2);
      await deliver(endpoint, peer, dataPacket(THREE, 3));
      expect(three.received).toHaveLength(3);
      expect(other.faults).toEqual([]);
    },
  );

  it("survives a handler of first messages, or of another protocol, that throws", async () => {
    const remotes: unknown[] = [];
    const endpoint = await newEndpoint((_fault, remote) => remotes.push(remote));
    const peer = await newPeer();
    endpoint.acceptFirstMessages(() => {
      throw new Error("a bug");
    });
    endpoint.route(0x00, 0x0f, (_now, _from, bytes) => {
      if (bytes.length > 1) throw new Error("another bug");
      return false;
    });
    await deliver(endpoint, peer, handshakePacket([0, 0, 0, 0, 0, 0, 0, 0]));
    peer.send(Uint8Array.of(1, 1), endpoint.sockets[0]!.local.port, LOOPBACK);
    await expect.poll(() => endpoint.faults).toBe(2);
    expect(remotes).toEqual(Array(2).fill({ address: LOOPBACK, port: peer.address().port, family: 4 }));
  });

  it("lets go of a connection that is closed, and with the last one closes its sockets", async () => {
    const endpoint = await newEndpoint();
    const one = new FakeConnection(...ONE);
    const owner = new FakeOwner();
    const connectionHandle = endpoint.attach(one, owner, [])!;
    one.state = "closed";
    connectionHandle.touch();
    await expect.poll(() => owner.isDetached).toBe(true);
    // Its port is free again.
    const { port } = endpoint.sockets[0]!.local;
    opened.push(await UdpSocket.bind({ family: 4, address: LOOPBACK, port }));
  });

  it("refuses a connection ID that it could not tell from another", async () => {
    const endpoint = await newEndpoint();
    expect(endpoint.attach(new FakeConnection(...ONE), new FakeOwner(), [])).toBeDefined();
    expect(endpoint.attach(new FakeConnection(...TWO), new FakeOwner(), [])).toBeUndefined();
  });

  it("takes further sockets over and lets single ones go", async () => {
    const endpoint = await newEndpoint();
    const one = new FakeConnection(...ONE);
    endpoint.attach(one, new FakeOwner(), []);
    const second = await UdpSocket.bind({ family: 4, address: LOOPBACK, port: 0 });
    endpoint.addSocket(second);
    expect(second.index).toBe(1);
    const heard = new Promise<number>((resolve) => {
      endpoint.route(0xe0, 0xef, (_now, from) => {
        resolve(from.socket.index);
        return true;
      });
    });
    endpoint.socketAt(0)!.send(Uint8Array.of(0xe1), LOOPBACK, second.local.port);
    expect(await heard).toBe(1);
    endpoint.removeSocket(1);
    expect(endpoint.socketAt(1)).toBeUndefined();
    expect(endpoint.sockets.map((socket) => socket.index)).toEqual([0]);
  });

  it("asks handlers in their order, each for its range, and counts what nobody takes", async () => {
    const endpoint = await newEndpoint();
    endpoint.attach(new FakeConnection(...ONE), new FakeOwner(), []);
    const asked: string[] = [];
    const end = endpoint.route(0x00, 0x3f, () => {
      asked.push("first");
      return false;
    });
    let heard = (): void => undefined;
    endpoint.route(0x20, 0x2f, () => {
      asked.push("second");
      heard();
      return true;
    });
    const socket = endpoint.sockets[0]!;
    const send = (first: number): Promise<void> =>
      new Promise((resolve) => {
        heard = resolve;
        socket.send(Uint8Array.of(first), LOOPBACK, socket.local.port);
      });
    await send(0x20);
    expect(asked).toEqual(["first", "second"]);
    end();
    await send(0x2f);
    expect(asked).toEqual(["first", "second", "second"]);
    socket.send(Uint8Array.of(0x30), LOOPBACK, socket.local.port);
    await send(0x20);
    expect(endpoint.strayDatagrams).toBe(1);
  });

  it("sends an opening that dies on the way, and ordinary datagrams behind it", async () => {
    // Loopback has no routers: what is to be seen here is that both arrive and nothing is left behind.
    const endpoint = await newEndpoint();
    endpoint.attach(new FakeConnection(...ONE), new FakeOwner(), []);
    const heard: number[] = [];
    const all = new Promise<void>((resolve) => {
      endpoint.route(0x01, 0x02, (_now, _from, bytes) => {
        heard.push(bytes[0]!);
        if (heard.length === 2) resolve();
        return true;
      });
    });
    const socket = endpoint.sockets[0]!;
    socket.sendWithTtl(Uint8Array.of(1), LOOPBACK, socket.local.port, 4);
    socket.send(Uint8Array.of(2), LOOPBACK, socket.local.port);
    await all;
    expect(heard).toEqual([1, 2]);
  });
});

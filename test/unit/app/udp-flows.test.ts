/** UDP flows over a real link within this process: how they start, fail and end, and that nothing stays behind. */
import type { Socket } from "node:dgram";
import { once } from "node:events";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { Dialer } from "../../../src/app/forward/dialer.ts";
import { ForwardPeer } from "../../../src/app/forward/forward-peer.ts";
import { Permissions } from "../../../src/app/forward/permissions/permissions.ts";
import { RemotePortRegistry } from "../../../src/app/forward/remote-port-registry.ts";
import {
  FLOW_IDLE_MS,
  type PortAddress,
  TargetFlow,
} from "../../../src/app/forward/udp/target-association.ts";
import type { FlowOptions, UdpAssociation } from "../../../src/app/forward/udp/udp-association.ts";
import { openUdpPort } from "../../../src/app/forward/udp/udp-port.ts";
import type { ForwardFailure } from "../../../src/app/forward/watcher.ts";
import { concatBytes } from "../../../src/base/bytes.ts";
import { SrudpError } from "../../../src/base/errors.ts";
import type { Link, Stream } from "../../../src/index.ts";
import {
  type Address,
  decodeForwardReply,
  encodeAnswer,
  encodeCancel,
  encodeForwardRequest,
  encodeHead,
  FORWARD_RECORD,
  type Target,
} from "../../../src/link/forward-records.ts";
import { openUdp, unusedPort } from "../../lib/udp.ts";
import { linkedPair } from "../link/loopback.ts";

const sockets: Socket[] = [];

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
});

async function plainSocket(address?: string): Promise<Socket> {
  const socket = await openUdp(address);
  sockets.push(socket);
  return socket;
}

async function echo(): Promise<number> {
  const socket = await plainSocket();
  socket.on("message", (bytes, from) => socket.send(bytes, from.port, from.address));
  return socket.address().port;
}

function udp(port: number, host = "127.0.0.1"): PortAddress {
  return { kind: "udp", host, port };
}

/** The side of a link that a hostile peer talks to, with what it reports. */
function serving(link: Link, expose: string[], permitListen: string[] = []): ForwardFailure[] {
  const failures: ForwardFailure[] = [];
  new ForwardPeer(link, {
    permissions: new Permissions(expose, permitListen),
    remotePorts: new RemotePortRegistry(),
    watcher: { failed: (failure) => failures.push(failure) },
  });
  return failures;
}

/** The other side, when it behaves. */
function using(link: Link): ForwardPeer {
  return new ForwardPeer(link, {
    permissions: new Permissions(),
    remotePorts: new RemotePortRegistry(),
    watcher: { failed: () => undefined },
  });
}

/** Both ends of a link, neither of which takes an error for the end of the world. */
async function links(): Promise<{ near: Link; far: Link }> {
  const { near, far } = await linkedPair();
  for (const link of [near, far]) link.on("error", () => undefined).resume();
  return { near, far };
}

async function openRaw(link: Link, target: Target): Promise<Stream> {
  const stream = await link.openStream("forward");
  stream.on("error", () => undefined);
  stream.write(encodeHead(target));
  return stream;
}

/** A datagram of the link that belongs to the flow of `stream`. */
function flowDatagram(stream: Stream, text: string): Uint8Array {
  const id = stream.streamId;
  const number = id < 64 ? [id] : [0x40 | (id >> 8), id & 0xff];
  return concatBytes(Uint8Array.from(number), Buffer.from(text));
}

/** Whether a connection through the link still works: nothing of it has ended. */
async function answers(peer: ForwardPeer, port: number): Promise<string> {
  const { promise, resolve } = deferred<string>();
  let opened: UdpAssociation | undefined;
  const flow: FlowOptions = {
    deliver: (bytes) => resolve(Buffer.from(bytes).toString()),
    onClose: () => resolve("closed"),
  };
  const over = peer.reachFlow(udp(port), flow, (channel) => {
    opened = channel;
    channel.send(Buffer.from("still here"));
  });
  over.catch(() => undefined);
  const answer = await promise;
  opened?.close();
  return answer;
}

describe("a flow whose socket cannot be connected", () => {
  it("is refused on both sides, and a datagram for it ends nothing", async () => {
    const { near, far } = await links();
    const port = await echo();
    // Connecting to the broadcast address takes a permission that the socket does not ask for.
    const refused = udp(53, "255.255.255.255");
    const failures = serving(far, ["255.255.255.255:53/udp", `127.0.0.1:${port}/udp`]);
    const peer = using(near);
    const stream = await openRaw(near, refused);
    await once(stream, "readable");
    near.send(flowDatagram(stream, "too late"));
    const flow = { deliver: () => undefined, onClose: () => undefined };
    await expect(peer.reachFlow(refused, flow, () => undefined)).rejects.toMatchObject({
      code: "ERR_TARGET_UNREACHABLE",
    });
    expect(failures.map(({ by, error }) => [by, error.code])).toEqual(
      Array(2).fill(["peer", "ERR_TARGET_UNREACHABLE"]),
    );
    expect(await answers(peer, port)).toBe("still here");
  });
});

describe("a flow to a name with several addresses", () => {
  /** The exposing side of a flow by itself: what it sends to the peer, and how it ended. */
  function flowTo(address: PortAddress, addresses: { address: string; family: number }[]) {
    const sent: string[] = [];
    const first = deferred<void>();
    const closed = deferred<SrudpError | undefined>();
    const refusals: SrudpError[] = [];
    let deliver: FlowOptions["deliver"] = () => undefined;
    let close = (): void => undefined;
    const flow = new TargetFlow({
      address,
      addressesOf: async () => addresses,
      onRefused: (error) => refusals.push(error),
      openChannel: (options) => {
        deliver = options.deliver;
        let isClosed = false;
        const channel = {
          lastAtMs: performance.now(),
          send: (bytes: Uint8Array) => {
            sent.push(Buffer.from(bytes).toString());
            first.resolve();
          },
          close: (error?: SrudpError) => {
            if (isClosed) return;
            isClosed = true;
            options.onClose();
            closed.resolve(error);
          },
          run: () => closed.promise,
        };
        close = channel.close;
        return channel as unknown as UdpAssociation;
      },
    });
    const reached = deferred<void>();
    const over = flow.run(reached.resolve);
    return {
      sent,
      refusals,
      reached: reached.promise,
      first: first.promise,
      closed: closed.promise,
      over,
      close,
      send: (text: string) => deliver(Buffer.from(text)),
    };
  }

  it("goes on to the next one when the first refuses, with the datagrams that had no answer", async () => {
    const port = await echo();
    const flow = flowTo(udp(port, "name"), [
      { address: "::1", family: 6 },
      { address: "127.0.0.1", family: 4 },
    ]);
    await flow.reached;
    flow.send("question");
    await flow.first;
    expect(flow.sent).toEqual(["question"]);
    expect(flow.refusals).toEqual([]);
    flow.close();
    await flow.over;
  });

  it("ends with the refusal when all refuse", async () => {
    const flow = flowTo(udp(await unusedPort(), "name"), [
      { address: "::1", family: 6 },
      { address: "127.0.0.1", family: 4 },
    ]);
    await flow.reached;
    flow.send("question");
    expect(await flow.closed).toMatchObject({ code: "ERR_TARGET_REFUSED" });
    await flow.over;
    expect(flow.refusals).toHaveLength(1);
    // What still comes for it is lost, and nothing more.
    flow.send("question");
  });
});

describe("a target that refuses datagrams", () => {
  it("ends the flow, and both sides are told why", async () => {
    const { near, far } = await links();
    const target = udp(await unusedPort());
    const failures = serving(far, [`127.0.0.1:${target.port}/udp`]);
    const reported: ForwardFailure[] = [];
    const failed = deferred<void>();
    const port = await openUdpPort(udp(0), target, using(near), {
      failed: (failure) => {
        reported.push(failure);
        failed.resolve();
      },
    });
    const client = await plainSocket();
    client.send("anybody?", portOf(port.address), "127.0.0.1");
    await failed.promise;
    for (const [by, list] of [
      ["own", reported],
      ["peer", failures],
    ] as const)
      expect(list).toMatchObject([{ by, what: "connection", error: { code: "ERR_TARGET_REFUSED" } }]);
    expect(port.flowCount).toBe(0);
    port.close();
  });
});

describe("a UDP port that the peer had opened", () => {
  it("drops a datagram that arrives in the same batch as its cancellation, and the link goes on", async () => {
    const { near, far } = await links();
    const port = await echo();
    serving(far, [`127.0.0.1:${port}/udp`], ["127.0.0.1:0/udp"]);
    const opened = nextRecord(near);
    near.sendRecord(FORWARD_RECORD.request, encodeForwardRequest({ requestId: 0, bind: udp(0) }));
    const { port: asked } = decodeForwardReply(await opened);
    const arriving = once(near, "forward");
    const client = await plainSocket();
    const answered = once(client, "message");
    client.send("question", asked, "127.0.0.1");
    const [stream] = (await arriving) as [Stream];
    stream.on("error", () => undefined);
    stream.write(encodeAnswer());
    near.send(flowDatagram(stream, "answer"));
    expect(String((await answered)[0])).toBe("answer");
    // As the endpoint's loop delivers both, with nothing in between.
    far.emit("record", FORWARD_RECORD.cancel, encodeCancel(0));
    far.emit("datagram", flowDatagram(stream, "too late"));
    expect(await answers(using(near), port)).toBe("still here");
  });
});

describe("streams that are reset while their target is looked up", () => {
  it.each([
    ["by the entry's words", "localhost"],
    ["for a pattern", "127.0.0.0/8"],
  ])("(%s) leave neither sockets nor timers behind", async (_, exposed) => {
    // Those of the tests before this one have gone.
    await expect.poll(openSockets).toBe(0);
    const port = await echo();
    const sweeps = new Set<NodeJS.Timeout>();
    const set = vi.spyOn(globalThis, "setInterval");
    const cleared = vi.spyOn(globalThis, "clearInterval");
    const { listener, near, far } = await linkedPair();
    for (const link of [near, far]) link.on("error", () => undefined).resume();
    serving(far, [`${exposed}:${port}/udp`]);
    for (let round = 0; round < 5; round++) {
      const streams = await Promise.all(
        Array.from({ length: 40 }, () => openRaw(near, udp(port, "localhost"))),
      );
      // By the time the reset arrives, some look-ups have begun, some have ended, and some flows stand.
      for (const [index, stream] of streams.entries()) setTimeout(() => stream.destroy(), index % 8);
      await Promise.all(streams.map((stream) => stream.closed || once(stream, "close")));
    }
    near.destroy();
    await listener.close();
    await expect.poll(openSockets, { timeout: 5000 }).toBe(1);
    for (const [index, { value }] of set.mock.results.entries())
      if (set.mock.calls[index]![1] === FLOW_IDLE_MS) sweeps.add(value as NodeJS.Timeout);
    expect(sweeps.size).toBeGreaterThan(100);
    for (const [timer] of cleared.mock.calls) sweeps.delete(timer as NodeJS.Timeout);
    expect(sweeps.size).toBe(0);
    vi.restoreAllMocks();
  });
});

describe("a UDP port that closes while its flows wait for the peer", () => {
  it("closes a flow that opens later, and reports nothing", async () => {
    const reported: ForwardFailure[] = [];
    const { dialer, flows, arrived } = waitingVia();
    const port = await openUdpPort(udp(0), udp(1), dialer, { failed: (failure) => reported.push(failure) });
    const client = await plainSocket();
    client.send("early", portOf(port.address), "127.0.0.1");
    await arrived(1);
    expect(port.flowCount).toBe(1);
    port.close();
    // A link that ends closes its ports again.
    port.close();
    expect(port.flowCount).toBe(0);
    expect(flows[0]!.open()).toBe(true);
    flows[0]!.fail(new SrudpError("ERR_PEER_RESET"));
    await flows[0]!.over;
    expect(reported).toEqual([]);
  });

  it("keeps the flow of a sender that began anew when an earlier one of it ends late", async () => {
    const { dialer, flows, arrived } = waitingVia();
    const port = await openUdpPort(udp(0), udp(1), dialer, { failed: () => undefined });
    const client = await plainSocket();
    client.send("first", portOf(port.address), "127.0.0.1");
    await arrived(1);
    flows[0]!.fail(new SrudpError("ERR_PEER_RESET"));
    await flows[0]!.over;
    client.send("second", portOf(port.address), "127.0.0.1");
    await arrived(2);
    flows[0]!.options.onClose();
    expect(port.flowCount).toBe(1);
    port.close();
  });
});

/** A way to a peer that answers when the test says so. */
function waitingVia() {
  interface Waiting {
    readonly options: FlowOptions;
    readonly over: Promise<unknown>;
    readonly fail: (error: SrudpError) => void;
    /** Opens the flow; returns whether it was closed at once. */
    readonly open: () => boolean;
  }
  const flows: Waiting[] = [];
  const waiting: (() => void)[] = [];
  const dialer: Dialer = {
    reach: () => Promise.reject(new Error("not used")),
    reachFlow: (_target, options, onOpen) => {
      const over = deferred<SrudpError | undefined>();
      const open = (): boolean => {
        let isClosed = false;
        const close = (): void => {
          isClosed = true;
        };
        const channel = { lastAtMs: 0, send: () => undefined, close };
        onOpen(channel as unknown as UdpAssociation);
        return isClosed;
      };
      flows.push({ options, over: over.promise.catch(() => undefined), fail: over.reject, open });
      for (const wake of waiting.splice(0)) wake();
      return over.promise;
    },
  };
  const arrived = async (count: number): Promise<void> => {
    while (flows.length < count) await new Promise<void>((resolve) => waiting.push(resolve));
  };
  return { dialer, flows, arrived };
}

interface Deferred<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: Error) => void;
}

function deferred<T>(): Deferred<T> {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<T>((take, refuse) => {
    resolve = take;
    reject = refuse;
  });
  return { promise, resolve, reject };
}

function openSockets(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === "UDPWrap").length;
}

async function nextRecord(link: Link): Promise<Uint8Array> {
  const [, body] = (await once(link, "record")) as [number, Uint8Array];
  return body;
}

function portOf(address: Address): number {
  return address.kind === "unix" ? 0 : address.port;
}

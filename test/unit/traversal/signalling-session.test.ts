/** The signalling session with fake channels, sockets and timers: when it publishes, whom it serves, what it ends. */
import { randomBytes } from "node:crypto";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { SrudpError } from "../../../src/base/errors.ts";
import type { Endpoint } from "../../../src/link/endpoint.ts";
import type { TraversalEvent } from "../../../src/link/traversal-options.ts";
import { openSignal, sealSignal } from "../../../src/punch/sealed-signal.ts";
import type {
  SignallingChannel,
  SignallingRole,
  Subscription,
} from "../../../src/traversal/signalling/channel.ts";
import { pointOfLink } from "../../../src/traversal/signalling/rendezvous-point.ts";
import { SignallingSession } from "../../../src/traversal/signalling-session.ts";
import type { OpenedRelay, TraversalContext } from "../../../src/traversal/traversal.ts";
import type { Candidate } from "../../../src/wire/candidate-codec.ts";
import { UNKNOWN_BEHAVIOUR } from "../../../src/wire/nat-behaviour-codec.ts";
import type { Signal } from "../../../src/wire/signal.ts";

const POINT = pointOfLink(new Uint8Array(32).fill(1));
const OTHER_POINT = pointOfLink(new Uint8Array(32).fill(2));
/** The initiator publishes without a public address after this time. */
const GATHER_MS = 300;
const TRICKLE_MS = 20;
const RELAY_AFTER_MS = 150;

const HOST: Candidate = { kind: "host", address: "192.168.1.2", port: 4242, family: 4 };
const PUBLIC: Candidate = { kind: "serverReflexive", address: "198.51.100.2", port: 4242, family: 4 };
const REMOTE: Candidate = { kind: "serverReflexive", address: "203.0.113.5", port: 4242, family: 4 };
const RELAYED: Candidate = { kind: "relayed", address: "203.0.113.99", port: 5000, family: 4 };

const random = (byteLength: number) => new Uint8Array(randomBytes(byteLength));

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

class FakeSubscription implements Subscription {
  readonly published: Uint8Array[] = [];
  isClosed = false;
  onBlob: ((blob: Uint8Array) => void) | undefined;
  onTrouble: ((error: SrudpError) => void) | undefined;
  onContact: (() => void) | undefined;

  publish(blob: Uint8Array): void {
    this.published.push(blob);
  }

  close(): Promise<void> {
    this.isClosed = true;
    return Promise.resolve();
  }
}

class FakeChannel implements SignallingChannel {
  readonly name = "mailbox";
  readonly subscriptions: FakeSubscription[] = [];

  meet(): Subscription {
    const subscription = new FakeSubscription();
    this.subscriptions.push(subscription);
    return subscription;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** A socket that counts what it is given to send. */
function fakeSocket(kind: "udp" | "relay" = "udp") {
  return { kind, family: 4, index: -1, send: vi.fn(), sendWithTtl: vi.fn(), close: vi.fn() };
}

/** What a session uses of an endpoint. */
type UsedOfEndpoint = Pick<Endpoint, "sockets" | "now" | "route" | "socketAt" | "addSocket" | "removeSocket">;

class FakeEndpoint implements Record<keyof UsedOfEndpoint, unknown> {
  readonly sockets: ReturnType<typeof fakeSocket>[] = [];
  /** One for each peer that is served. */
  routes = 0;
  readonly removed: number[] = [];

  now(): number {
    return performance.now();
  }

  route(): () => void {
    this.routes++;
    return () => void this.routes--;
  }

  socketAt(index: number): ReturnType<typeof fakeSocket> | undefined {
    return this.sockets[index];
  }

  addSocket(socket: ReturnType<typeof fakeSocket>): void {
    socket.index = this.sockets.push(socket) - 1;
  }

  removeSocket(index: number): void {
    this.removed.push(index);
  }
}

/** What a session uses of the traversal context. */
type UsedOfTraversal = Pick<
  TraversalContext,
  | ("endpoint" | "options" | "localAddress" | "behaviour" | "candidates" | "locals" | "isGathered")
  | ("random" | "now" | "watch" | "refresh" | "openRelays")
  | ("note" | "reportTrouble" | "recordContact" | "recordPair")
>;

class FakeTraversal implements Record<keyof UsedOfTraversal, unknown> {
  readonly endpoint = new FakeEndpoint();
  readonly options: TraversalContext["options"] = {};
  readonly localAddress = undefined;
  readonly behaviour = UNKNOWN_BEHAVIOUR;
  readonly random = random;
  readonly watchers = new Set<() => void>();
  readonly notes: TraversalEvent[] = [];
  readonly reportTrouble = vi.fn();
  readonly recordContact = vi.fn();
  readonly recordPair = vi.fn();
  readonly refresh = vi.fn();
  readonly openRelays = vi.fn((): Promise<OpenedRelay | undefined>[] => []);
  candidates: Candidate[] = [HOST];
  isGathered = true;

  constructor() {
    this.endpoint.addSocket(fakeSocket());
  }

  get locals() {
    return [{ socket: 0, family: 4, kind: "udp", candidates: this.candidates } as const];
  }

  now(): number {
    return performance.now();
  }

  watch(reported: () => void): () => void {
    this.watchers.add(reported);
    return () => this.watchers.delete(reported);
  }

  note(note: TraversalEvent): void {
    this.notes.push(note);
  }

  learn(candidates: Candidate[], isGathered: boolean = true): void {
    this.candidates = candidates;
    this.isGathered = isGathered;
    for (const reported of this.watchers) reported();
  }
}

function start(side: SignallingRole, isEager: boolean = true) {
  const traversal = new FakeTraversal();
  const channel = new FakeChannel();
  const watcher = {
    onSignal: vi.fn(),
    onPair: vi.fn(),
    onBest: vi.fn(),
    onIndirect: vi.fn(),
    wantsRelay: vi.fn(() => true),
    isInUse: vi.fn((_: number) => false),
    onFault: vi.fn(),
  };
  const session = new SignallingSession({
    traversal: traversal as unknown as TraversalContext,
    side,
    channels: [channel],
    watcher,
    isEager,
  });
  return { traversal, channel, watcher, session };
}

/** A session that has joined one point. */
function joined(side: SignallingRole, isEager: boolean = true) {
  const started = start(side, isEager);
  started.session.join(POINT);
  const subscription = started.channel.subscriptions[0]!;
  return {
    ...started,
    subscription,
    /** The signals published by now. */
    signals: () => subscription.published.map((blob) => openSignal(POINT.sealKey, side, blob)!),
  };
}

/** A signal of the peer, sealed. */
function signalOf(role: SignallingRole, signal: Partial<Signal> = {}, point = POINT): Uint8Array {
  return sealSignal(point.sealKey, random, {
    role,
    generation: 1,
    attempt: 1,
    sessionNonce: new Uint8Array(16).fill(7),
    sentAtS: 1000,
    nat: UNKNOWN_BEHAVIOUR,
    candidates: [REMOTE],
    hasOpened: false,
    ...signal,
  });
}

const nonce = (value: number) => ({ sessionNonce: new Uint8Array(16).fill(value) });

describe("an initiator", () => {
  it("publishes its candidates at once when gathering is complete", () => {
    const { signals } = joined("initiator");
    vi.advanceTimersByTime(0);
    expect(signals()).toMatchObject([{ role: "initiator", generation: 1, candidates: [HOST] }]);
  });

  it("publishes without a public address when gathering takes longer than 300 ms", () => {
    const { traversal, session, channel } = start("initiator");
    traversal.isGathered = false;
    session.join(POINT);
    vi.advanceTimersByTime(GATHER_MS - 1);
    expect(channel.subscriptions[0]!.published).toHaveLength(0);
    vi.advanceTimersByTime(1);
    expect(channel.subscriptions[0]!.published).toHaveLength(1);
  });

  it("publishes 20 ms after gathering is complete, with all that was found by then", () => {
    const { traversal, session, channel } = start("initiator");
    traversal.isGathered = false;
    session.join(POINT);
    vi.advanceTimersByTime(50);
    traversal.learn([HOST, PUBLIC]);
    vi.advanceTimersByTime(TRICKLE_MS);
    const [blob] = channel.subscriptions[0]!.published;
    expect(openSignal(POINT.sealKey, "initiator", blob!)!.candidates).toEqual([HOST, PUBLIC]);
  });

  it("publishes changes within 20 ms in one signal", () => {
    const { traversal, signals } = joined("initiator");
    vi.advanceTimersByTime(0);
    traversal.learn([HOST, PUBLIC]);
    vi.advanceTimersByTime(TRICKLE_MS - 1);
    traversal.learn([HOST, PUBLIC, RELAYED]);
    vi.advanceTimersByTime(1000);
    expect(signals().map(({ candidates }) => candidates.length)).toEqual([1, 3]);
  });

  it("publishes nothing when there is no change", () => {
    const { traversal, signals } = joined("initiator");
    vi.advanceTimersByTime(0);
    traversal.learn([HOST]);
    vi.advanceTimersByTime(1000);
    expect(signals()).toHaveLength(1);
    expect(traversal.notes).toEqual([{ kind: "signal", from: "self", candidates: 1 }]);
  });

  it("publishes at each point that it joins", () => {
    const { session, channel } = joined("initiator");
    vi.advanceTimersByTime(0);
    session.join(OTHER_POINT);
    vi.advanceTimersByTime(0);
    expect(channel.subscriptions.map(({ published }) => published.length)).toEqual([1, 1]);
    expect(
      openSignal(OTHER_POINT.sealKey, "initiator", channel.subscriptions[1]!.published[0]!),
    ).toBeDefined();
  });

  it("that is not eager publishes nothing until it is restarted", () => {
    const { session, signals } = joined("initiator", false);
    vi.advanceTimersByTime(10_000);
    expect(signals()).toEqual([]);
    session.restart();
    vi.advanceTimersByTime(0);
    expect(signals()).toHaveLength(1);
  });

  it("that is not eager publishes when it has received a signal", () => {
    const { subscription, signals } = joined("initiator", false);
    subscription.onBlob!(signalOf("responder"));
    vi.advanceTimersByTime(0);
    expect(signals()).toHaveLength(1);
  });

  it("publishes a new generation when it is restarted", () => {
    const { session, subscription, signals } = joined("initiator");
    subscription.onBlob!(signalOf("responder"));
    vi.advanceTimersByTime(0);
    session.restart();
    vi.advanceTimersByTime(0);
    expect(signals().map(({ generation }) => generation)).toEqual([1, 2]);
  });
});

describe("a responder", () => {
  it("publishes nothing before it has received a signal", () => {
    const { traversal, signals } = joined("responder");
    vi.advanceTimersByTime(1000);
    traversal.learn([HOST, PUBLIC]);
    vi.advanceTimersByTime(10_000);
    expect(signals()).toEqual([]);
  });

  it("answers a signal once its openings have left", () => {
    const { traversal, subscription, signals } = joined("responder");
    subscription.onBlob!(signalOf("initiator"));
    const openings = traversal.endpoint.sockets[0]!.sendWithTtl;
    expect(signals()).toEqual([]);
    vi.advanceTimersByTime(500);
    expect(openings.mock.calls.length).toBeGreaterThanOrEqual(2);
    for (const [, address, port] of openings.mock.calls)
      expect([address, port]).toEqual([REMOTE.address, 4242]);
    expect(signals()).toMatchObject([{ role: "responder", hasOpened: true }]);
  });

  it("answers a signal without candidates after 500 ms, and publishes no change before that", () => {
    const { traversal, subscription, signals } = joined("responder");
    subscription.onBlob!(signalOf("initiator", { candidates: [] }));
    traversal.learn([HOST, PUBLIC]);
    vi.advanceTimersByTime(499);
    expect(signals()).toEqual([]);
    vi.advanceTimersByTime(TRICKLE_MS);
    expect(signals()).toMatchObject([{ hasOpened: true, candidates: [HOST, PUBLIC] }]);
  });

  it("serves four peers, and drops the one that came first for a fifth", () => {
    const { traversal, watcher, subscription } = joined("responder");
    for (let peer = 1; peer <= 4; peer++) subscription.onBlob!(signalOf("initiator", nonce(peer)));
    expect(traversal.endpoint.routes).toBe(4);
    subscription.onBlob!(signalOf("initiator", nonce(5)));
    expect(traversal.endpoint.routes).toBe(4);
    // The second is still known, so that its older signal is ignored; the first is not.
    watcher.onSignal.mockClear();
    subscription.onBlob!(signalOf("initiator", { ...nonce(2), sentAtS: 999 }));
    expect(watcher.onSignal).not.toHaveBeenCalled();
    subscription.onBlob!(signalOf("initiator", { ...nonce(1), sentAtS: 999 }));
    expect(watcher.onSignal).toHaveBeenCalledOnce();
  });
});

describe("a received blob", () => {
  it("is reported when it is a signal of the peer", () => {
    const { traversal, watcher, subscription } = joined("responder");
    subscription.onBlob!(signalOf("initiator"));
    expect(watcher.onSignal).toHaveBeenCalledOnce();
    expect(traversal.notes).toEqual([{ kind: "signal", from: "peer", candidates: 1 }]);
    expect(traversal.endpoint.routes).toBe(1);
  });

  it.each([
    ["of random bytes", random(200)],
    ["that is sealed for another point", signalOf("initiator", {}, OTHER_POINT)],
    ["of this side, which a channel has returned", signalOf("responder")],
  ])("%s is ignored", (_, blob) => {
    const { traversal, watcher, subscription } = joined("responder");
    subscription.onBlob!(blob);
    expect(watcher.onSignal).not.toHaveBeenCalled();
    expect(traversal.endpoint.routes).toBe(0);
  });

  it("that is older than the newest of the same peer is ignored", () => {
    const { watcher, subscription } = joined("responder");
    subscription.onBlob!(signalOf("initiator", { sentAtS: 1000 }));
    subscription.onBlob!(signalOf("initiator", { sentAtS: 999 }));
    expect(watcher.onSignal).toHaveBeenCalledTimes(1);
    subscription.onBlob!(signalOf("initiator", { sentAtS: 1000 }));
    expect(watcher.onSignal).toHaveBeenCalledTimes(2);
  });

  it("of a known peer starts no second agent for it", () => {
    const { traversal, subscription } = joined("responder");
    subscription.onBlob!(signalOf("initiator"));
    subscription.onBlob!(signalOf("initiator", { sentAtS: 1001 }));
    expect(traversal.endpoint.routes).toBe(1);
    expect(traversal.refresh).not.toHaveBeenCalled();
  });

  it("with a later generation makes this side gather again", () => {
    const { traversal, subscription } = joined("responder");
    subscription.onBlob!(signalOf("initiator"));
    subscription.onBlob!(signalOf("initiator", { sentAtS: 1001, generation: 2 }));
    expect(traversal.refresh).toHaveBeenCalledOnce();
  });

  it("that makes the observer throw is a fault, not an exception of the channel", () => {
    const { watcher, subscription } = joined("responder");
    const bug = new TypeError("not a function");
    watcher.onSignal.mockImplementation(() => {
      throw bug;
    });
    subscription.onBlob!(signalOf("initiator"));
    expect(watcher.onFault).toHaveBeenCalledWith(bug);
  });
});

describe("a channel", () => {
  it("that fails and works again is reported by name", () => {
    const { traversal, subscription } = joined("responder");
    const error = new SrudpError("ERR_NO_MEETING_PLACE");
    subscription.onTrouble!(error);
    expect(traversal.reportTrouble).toHaveBeenCalledWith("mailbox", error);
    subscription.onContact!();
    expect(traversal.recordContact).toHaveBeenCalledWith("mailbox");
  });
});

describe("a relay", () => {
  const opened = (candidate?: Candidate) => {
    const socket = fakeSocket("relay");
    const relay = { socket, ...(candidate === undefined ? {} : { candidate }) } as unknown as OpenedRelay;
    return { socket, relay };
  };

  it("is requested 150 ms after a peer has appeared, if there is no direct path by then", () => {
    const { traversal, subscription } = joined("responder");
    subscription.onBlob!(signalOf("initiator"));
    vi.advanceTimersByTime(RELAY_AFTER_MS - 1);
    expect(traversal.openRelays).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    expect(traversal.openRelays).toHaveBeenCalledExactlyOnceWith(POINT, "responder");
  });

  it("is requested at once where only relays are allowed", () => {
    const { traversal, subscription } = joined("responder");
    Object.assign(traversal.options, { only: "relay" });
    subscription.onBlob!(signalOf("initiator"));
    vi.advanceTimersByTime(0);
    expect(traversal.openRelays).toHaveBeenCalledOnce();
  });

  it("is not requested where only direct paths are allowed", () => {
    const { traversal, subscription } = joined("responder");
    Object.assign(traversal.options, { only: "direct" });
    subscription.onBlob!(signalOf("initiator"));
    vi.advanceTimersByTime(10_000);
    expect(traversal.openRelays).not.toHaveBeenCalled();
  });

  it("is not requested when the observer has no use for it", () => {
    const { traversal, watcher, subscription } = joined("responder");
    watcher.wantsRelay.mockReturnValue(false);
    subscription.onBlob!(signalOf("initiator"));
    vi.advanceTimersByTime(10_000);
    expect(traversal.openRelays).not.toHaveBeenCalled();
  });

  it("with an address is published 20 ms after it has opened", async () => {
    const { traversal, subscription, signals } = joined("initiator");
    const { relay } = opened(RELAYED);
    traversal.openRelays.mockReturnValue([Promise.resolve(relay)]);
    subscription.onBlob!(signalOf("responder"));
    await vi.advanceTimersByTimeAsync(RELAY_AFTER_MS + TRICKLE_MS);
    expect(signals().at(-1)!.candidates).toEqual([HOST, RELAYED]);
  });

  it("that opens after the session has ended is closed", async () => {
    const { traversal, session, subscription } = joined("responder");
    const { relay, socket } = opened();
    let open = (_: OpenedRelay): void => undefined;
    traversal.openRelays.mockReturnValue([new Promise((resolve) => (open = resolve))]);
    subscription.onBlob!(signalOf("initiator"));
    vi.advanceTimersByTime(RELAY_AFTER_MS);
    await session.close();
    open(relay);
    await vi.advanceTimersByTimeAsync(0);
    expect(socket.close).toHaveBeenCalledOnce();
    expect(socket.index).toBe(-1);
  });

  it.each([
    ["is removed with its session", false, [1]],
    ["outlives its session while a link uses it", true, []],
  ])("%s", async (_, isInUse, removed) => {
    const { traversal, watcher, session, subscription } = joined("responder");
    watcher.isInUse.mockReturnValue(isInUse);
    traversal.openRelays.mockReturnValue([Promise.resolve(opened().relay)]);
    subscription.onBlob!(signalOf("initiator"));
    await vi.advanceTimersByTimeAsync(RELAY_AFTER_MS);
    await session.close();
    expect(traversal.endpoint.removed).toEqual(removed);
  });
});

describe("a session that is closed", () => {
  it("leaves no subscription, watcher, route or timer", async () => {
    const { traversal, session, subscription } = joined("initiator");
    subscription.onBlob!(signalOf("responder"));
    await session.close();
    expect(subscription.isClosed).toBe(true);
    expect(traversal.watchers.size).toBe(0);
    expect(traversal.endpoint.routes).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("joins, publishes and receives nothing any more", async () => {
    const { traversal, session, channel, subscription, watcher } = joined("initiator");
    await session.close();
    session.join(OTHER_POINT);
    session.restart();
    subscription.onBlob!(signalOf("responder"));
    vi.advanceTimersByTime(10_000);
    expect(channel.subscriptions).toHaveLength(1);
    expect(subscription.published).toEqual([]);
    expect(watcher.onSignal).not.toHaveBeenCalled();
    expect(traversal.endpoint.routes).toBe(0);
  });
});

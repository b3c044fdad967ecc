/** The traversal context with fakes of the gatherer, the channels and the relays: what it shares, reports and ends. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { SrudpError } from "../../../src/base/errors.ts";
import type { Endpoint } from "../../../src/link/endpoint.ts";
import type { CommonOptions } from "../../../src/link/link-options.ts";
import type { TraversalEvent, TraversalOptions } from "../../../src/link/traversal-options.ts";
import type { DatagramSocket } from "../../../src/platform/udp/datagram-socket.ts";
import type { Gatherer, GathererOptions } from "../../../src/traversal/gather/gatherer.ts";
import { PUBLIC_STUN_SERVERS } from "../../../src/traversal/gather/stun-server.ts";
import { openTurn } from "../../../src/traversal/relay/open-turn.ts";
import { openRelay } from "../../../src/traversal/relay/relay-socket.ts";
import { pointOfLink } from "../../../src/traversal/signalling/rendezvous-point.ts";
import { stunServersOf, TraversalContext } from "../../../src/traversal/traversal.ts";
import type { Candidate } from "../../../src/wire/candidate-codec.ts";
import { UNKNOWN_BEHAVIOUR } from "../../../src/wire/nat-behaviour-codec.ts";

interface FakeChannel {
  readonly name: string;
  readonly close: ReturnType<typeof vi.fn>;
  readonly approach: ReturnType<typeof vi.fn>;
  transport: string | undefined;
  onClock?: (server: string, aheadMs: number) => void;
}

type FakeGatherer = Pick<Gatherer, "onCandidate" | "onBehaviour" | "onNetworkChange"> & {
  readonly options: GathererOptions;
  readonly rounds: (readonly DatagramSocket[])[];
  candidates: { socket: DatagramSocket; candidate: Candidate }[];
  readonly close: ReturnType<typeof vi.fn>;
  /** Ends the round in progress. */
  conclude(): void;
};

const made = vi.hoisted(() => ({ channels: [] as FakeChannel[], gatherers: [] as FakeGatherer[] }));

vi.mock("../../../src/traversal/gather/gatherer.ts", () => ({
  Gatherer: class {
    readonly rounds: unknown[] = [];
    readonly close = vi.fn(() => Promise.resolve());
    readonly options: unknown;
    candidates = [];
    ready = Promise.resolve();
    conclude = () => undefined;

    constructor(_: unknown, options: unknown) {
      this.options = options;
      made.gatherers.push(this as never);
    }

    behaviour(family: number) {
      return { ...UNKNOWN_BEHAVIOUR, isHard: family === 4 };
    }

    start(sockets: readonly unknown[]): void {
      this.rounds.push([...sockets]);
      this.ready = new Promise((resolve) => {
        this.conclude = resolve as never;
      });
    }
  },
}));

const fakeChannelClass = vi.hoisted(
  () => (name: string) =>
    class {
      readonly name = name;
      readonly close = vi.fn(() => Promise.resolve());
      readonly approach = vi.fn();
      transport: string | undefined;

      constructor() {
        made.channels.push(this);
      }

      transportTo(): string | undefined {
        return this.transport;
      }
    },
);
vi.mock("../../../src/traversal/signalling/mailbox-channel.ts", () => ({
  MailboxChannel: fakeChannelClass("mailbox"),
}));
vi.mock("../../../src/traversal/signalling/lan-channel.ts", () => ({ LanChannel: fakeChannelClass("lan") }));
vi.mock("../../../src/traversal/signalling/dht-channel.ts", () => ({ DhtChannel: fakeChannelClass("dht") }));
vi.mock("../../../src/traversal/relay/open-turn.ts", () => ({ openTurn: vi.fn() }));
vi.mock("../../../src/traversal/relay/relay-socket.ts", () => ({
  openRelay: vi.fn(),
  RELAY_ADDRESS: { address: "relay", port: 1 },
}));

const SERVER = "udp://192.0.2.1:3478";
const POINT = pointOfLink(new Uint8Array(32).fill(1));
const HOST: Candidate = { kind: "host", address: "192.168.1.2", port: 4242, family: 4 };
const PUBLIC: Candidate = { kind: "serverReflexive", address: "198.51.100.2", port: 4242, family: 4 };
const FAILED = new SrudpError("ERR_NO_MEETING_PLACE", "no answer");

beforeEach(() => {
  made.channels.length = 0;
  made.gatherers.length = 0;
});
afterEach(() => void vi.resetAllMocks());

const socketOf = (index: number, family: 4 | 6 = 4, kind: "udp" | "relay" = "udp") =>
  ({ index, family, kind }) as DatagramSocket;

function setup(options: TraversalOptions = {}, common: Partial<CommonOptions> = {}) {
  const sockets = [socketOf(0), socketOf(1, 6)];
  const notes: TraversalEvent[] = [];
  const endpoint = {
    sockets,
    socketAt: (index: number) => sockets.find((socket) => socket.index === index),
  } as unknown as Endpoint;
  const traversal = new TraversalContext(
    endpoint,
    { onNote: (note) => notes.push(note), ...options },
    common as CommonOptions,
  );
  return { traversal, sockets, notes, gatherer: made.gatherers[0]! };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));
const names = (channels: readonly { name: string }[]) => channels.map(({ name }) => name);

describe("the channels", () => {
  it.each<[string, TraversalOptions, string[], string[]]>([
    ["without servers: local network and DHT, both subscribed for good", {}, ["lan", "dht"], ["lan", "dht"]],
    [
      "with a server: all three, the DHT subscribed only while it is needed",
      { rendezvous: [SERVER] },
      ["mailbox", "lan", "dht"],
      ["mailbox", "lan"],
    ],
    ["without the DHT: the local network", { dht: false }, ["lan"], ["lan"]],
    [
      "without the local network: server and DHT",
      { lan: false, rendezvous: [SERVER] },
      ["mailbox", "dht"],
      ["mailbox"],
    ],
    ["without both: none", { lan: false, dht: false }, [], []],
  ])("%s", (_, options, all, warm) => {
    const { traversal } = setup(options);
    expect(names(traversal.channels)).toEqual(all);
    expect(names(traversal.warmChannels)).toEqual(warm);
  });

  it("of a ticket are the ticket alone", () => {
    const ticket = { side: "initiator", offer: {}, onTicket: () => undefined } as never;
    const { traversal } = setup({ ticket, rendezvous: [SERVER] });
    expect(names(traversal.channels)).toEqual(["ticket"]);
  });

  it("connect to the servers on start, not before", () => {
    const { traversal } = setup({ rendezvous: [SERVER] });
    const [mailbox] = made.channels;
    expect(mailbox!.approach).not.toHaveBeenCalled();
    traversal.start();
    expect(mailbox!.approach).toHaveBeenCalledOnce();
  });

  it("are missing when all servers have names and none may be looked up", () => {
    const options = { lan: false, dht: false, rendezvous: ["udp://example.org"] };
    expect(setup(options).traversal.hasNoChannel).toBe(false);
    expect(setup(options, { resolve: false }).traversal.hasNoChannel).toBe(true);
    expect(setup({ ...options, rendezvous: [SERVER] }, { resolve: false }).traversal.hasNoChannel).toBe(
      false,
    );
  });

  it("refuse an invalid server with ERR_USAGE", () => {
    expect(() => setup({ rendezvous: ["http://a"] })).toThrow(expect.objectContaining({ code: "ERR_USAGE" }));
  });
});

describe("trouble with channels", () => {
  it("is noted once for each outage, and its end is noted once", () => {
    const { traversal, notes } = setup();
    traversal.reportTrouble("lan", FAILED);
    traversal.reportTrouble("lan", FAILED);
    traversal.recordContact("lan");
    traversal.recordContact("lan");
    expect(notes).toEqual([
      { kind: "meeting", channel: "lan", trouble: "no answer" },
      { kind: "meeting", channel: "lan" },
    ]);
  });

  it("is the reason of a failure only until a channel has worked", () => {
    const { traversal } = setup();
    expect(traversal.failure).toBeUndefined();
    traversal.reportTrouble("dht", FAILED);
    expect(traversal.failure).toBe(FAILED);
    traversal.recordContact("lan");
    expect(traversal.failure).toBeUndefined();
  });

  it("is listed in the order of the channels, and is complete when all fail", () => {
    const { traversal } = setup();
    const [lan, dht] = [new SrudpError("ERR_NO_MEETING_PLACE"), new SrudpError("ERR_NO_MEETING_PLACE")];
    traversal.reportTrouble("dht", dht);
    expect(traversal.hasNoWorkingChannel).toBe(false);
    traversal.reportTrouble("lan", lan);
    expect(traversal.troubles).toEqual([lan, dht]);
    expect(traversal.hasNoWorkingChannel).toBe(true);
    traversal.recordContact("dht");
    expect(traversal.hasNoWorkingChannel).toBe(false);
  });

  it("is reported to its owner each time", () => {
    const { traversal } = setup();
    traversal.onTrouble = vi.fn();
    traversal.reportTrouble("lan", FAILED);
    traversal.reportTrouble("lan", FAILED);
    expect(traversal.onTrouble).toHaveBeenCalledTimes(2);
  });
});

describe("gathering", () => {
  it("starts on the first socket of each family, relays left out", () => {
    const { traversal, sockets, gatherer } = setup();
    sockets.unshift(socketOf(7, 4, "relay"));
    sockets.push(socketOf(2));
    traversal.start();
    expect(gatherer.rounds.map((round) => round.map(({ index }) => index))).toEqual([[0, 1]]);
  });

  it("does not start without a signalling channel", () => {
    const { traversal, gatherer } = setup({ lan: false, dht: false });
    traversal.start();
    expect(gatherer.rounds).toEqual([]);
  });

  it("is complete, and reported, when the gatherer is ready", async () => {
    const { traversal, gatherer } = setup();
    const reported = vi.fn();
    traversal.watch(reported);
    traversal.start();
    await settled();
    expect(traversal.isGathered).toBe(false);
    gatherer.conclude();
    await settled();
    expect(traversal.isGathered).toBe(true);
    expect(reported).toHaveBeenCalledOnce();
  });

  it("reports each candidate and what is learned of the NAT, until the watch ends", () => {
    const { traversal, sockets, notes, gatherer } = setup();
    const reported = vi.fn();
    const end = traversal.watch(reported);
    gatherer.onCandidate!({ socket: sockets[0]!, candidate: HOST });
    gatherer.onBehaviour!(4, UNKNOWN_BEHAVIOUR);
    expect(reported).toHaveBeenCalledTimes(2);
    expect(notes).toEqual([
      { kind: "candidate", text: "host 192.168.1.2:4242" },
      { kind: "behaviour", mapping: "unknown", filtering: "unknown" },
    ]);
    end();
    gatherer.onCandidate!({ socket: sockets[0]!, candidate: PUBLIC });
    expect(reported).toHaveBeenCalledTimes(2);
  });

  it("lists candidates in order of preference, and for each socket its own", () => {
    const { traversal, sockets, gatherer } = setup();
    traversal.start();
    const v6: Candidate = { kind: "host", address: "2001:db8::2", port: 4242, family: 6 };
    gatherer.candidates = [
      { socket: sockets[0]!, candidate: PUBLIC },
      { socket: sockets[0]!, candidate: HOST },
      { socket: sockets[1]!, candidate: v6 },
    ];
    expect(traversal.candidates).toHaveLength(3);
    expect(traversal.candidates.at(-1)).toEqual(PUBLIC);
    expect(traversal.locals).toMatchObject([
      { socket: 0, family: 4, candidates: [PUBLIC, HOST] },
      { socket: 1, family: 6, candidates: [v6] },
    ]);
  });

  it("publishes and offers nothing where only relays are allowed", () => {
    const { traversal, sockets, gatherer } = setup({ only: "relay" });
    traversal.start();
    gatherer.candidates = [{ socket: sockets[0]!, candidate: HOST }];
    expect([traversal.candidates, traversal.locals]).toEqual([[], []]);
  });

  it("starts again on sockets that replace those of their family", () => {
    const { traversal, sockets, gatherer } = setup();
    traversal.start();
    const fresh = socketOf(5);
    sockets.push(fresh);
    traversal.useSockets([fresh]);
    expect(gatherer.rounds.at(-1)!.map(({ index }) => index)).toEqual([1, 5]);
  });

  it("returns to the first socket when one that replaced it has closed", () => {
    const { traversal, sockets, gatherer } = setup();
    traversal.start();
    const fresh = socketOf(5);
    sockets.push(fresh);
    traversal.useSockets([fresh]);
    sockets.pop();
    traversal.refresh();
    expect(
      gatherer.rounds
        .at(-1)!
        .map(({ index }) => index)
        .sort(),
    ).toEqual([0, 1]);
  });

  it("reports the behaviour of the IPv4 NAT, unknown where there is no IPv4 socket", () => {
    const { traversal, sockets } = setup();
    expect(traversal.behaviour.isHard).toBe(true);
    sockets.shift();
    expect(traversal.behaviour).toEqual(UNKNOWN_BEHAVIOUR);
  });

  it("reports a change of this machine's addresses to network watchers only", () => {
    const { traversal, gatherer } = setup();
    const [reported, network] = [vi.fn(), vi.fn()];
    traversal.watch(reported);
    const end = traversal.watchNetwork(network);
    gatherer.onNetworkChange!();
    end();
    gatherer.onNetworkChange!();
    expect(network).toHaveBeenCalledOnce();
    expect(reported).not.toHaveBeenCalled();
    expect(traversal.counts).toEqual({ watchers: 1, networkWatchers: 0 });
  });
});

describe("the STUN servers", () => {
  it.each<[string, TraversalOptions, readonly object[]]>([
    ["public ones by default", {}, PUBLIC_STUN_SERVERS],
    [
      "both ports of each rendezvous server of UDP, where there is one",
      { rendezvous: [SERVER, "wss://b"] },
      [
        { host: "192.0.2.1", port: 3478 },
        { host: "192.0.2.1", port: 3479 },
      ],
    ],
    [
      "public ones where all rendezvous servers are WebSockets",
      { rendezvous: ["wss://b"] },
      PUBLIC_STUN_SERVERS,
    ],
    ["the named ones", { stun: ["a:1"], rendezvous: [SERVER] }, [{ host: "a", port: 1 }]],
  ])("are %s", (_, options, servers) => {
    expect(stunServersOf(options)).toEqual(servers);
    expect(setup(options).gatherer.options.stunServers).toEqual(servers);
  });
});

describe("the kind of a path", () => {
  const pair = { socket: 0, address: "203.0.113.5", port: 4242, rttMs: 10, path: "lan" } as const;

  it("is that of its pair once an agent has found it, and direct before", () => {
    const { traversal, notes } = setup();
    expect(traversal.kindOf(pair)).toBe("direct");
    traversal.recordPair(pair);
    expect(traversal.kindOf(pair)).toBe("lan");
    expect(traversal.kindOf({ ...pair, port: 1 })).toBe("direct");
    expect(traversal.kindOf(undefined)).toBe("direct");
    expect(notes).toEqual([{ kind: "pair", path: "lan", remote: "203.0.113.5:4242", rttMs: 10 }]);
  });

  it("is relay on a relay's socket", () => {
    const { traversal, sockets } = setup();
    sockets.push(socketOf(2, 4, "relay"));
    expect(traversal.kindOf({ ...pair, socket: 2 })).toBe("relay");
  });

  it("is remembered for the last 256 pairs", () => {
    const { traversal } = setup();
    for (let port = 1; port <= 256; port++) traversal.recordPair({ ...pair, port });
    // Found again: it is the newest now.
    traversal.recordPair({ ...pair, port: 1 });
    traversal.recordPair({ ...pair, port: 257 });
    expect(traversal.kindOf({ ...pair, port: 1 })).toBe("lan");
    expect(traversal.kindOf({ ...pair, port: 2 })).toBe("direct");
    expect(traversal.kindOf({ ...pair, port: 257 })).toBe("lan");
  });
});

describe("relays", () => {
  const socket = socketOf(-1, 4, "relay");

  it("are one of the first rendezvous server of the point, and one of each TURN server", async () => {
    const servers = [SERVER, "udp://192.0.2.2:3478"];
    const { traversal } = setup({ rendezvous: servers, turn: ["turn:a"] });
    vi.mocked(openRelay).mockResolvedValue(socket as never);
    const relayed = { address: "203.0.113.9", port: 5000, family: 4 };
    vi.mocked(openTurn).mockResolvedValue(Object.assign(socketOf(-1, 4, "relay"), { relayed }) as never);
    const [ours, turn] = await Promise.all(traversal.openRelays(POINT, "initiator"));
    expect(ours).toEqual({ socket, onlyPeer: { address: "relay", port: 1 } });
    expect(turn!.candidate).toEqual({ kind: "relayed", ...relayed });
    // The other peer may name the servers in another order.
    const other = setup({ rendezvous: servers.toReversed() }).traversal;
    await Promise.all(other.openRelays(POINT, "responder"));
    const [first, second] = vi.mocked(openRelay).mock.calls;
    expect(first![0]).toBe(second![0]);
  });

  it("are none where only direct paths are allowed", () => {
    const { traversal } = setup({ rendezvous: [SERVER], turn: ["turn:a"], only: "direct" });
    expect(traversal.openRelays(POINT, "initiator")).toEqual([]);
  });

  it.each([
    ["udp", false],
    ["webSocket", true],
  ])("of a server that is reached by %s take UDP for blocked: %s", async (transport, isUdpBlocked) => {
    const { traversal } = setup({ rendezvous: [SERVER] });
    made.channels[0]!.transport = transport;
    vi.mocked(openRelay).mockResolvedValue(socket as never);
    await Promise.all(traversal.openRelays(POINT, "initiator"));
    expect(vi.mocked(openRelay).mock.calls[0]![3]).toMatchObject({ isUdpBlocked });
  });

  it("that cannot be opened are noted and left out", async () => {
    const { traversal, notes } = setup({ rendezvous: [SERVER] });
    vi.mocked(openRelay).mockRejectedValue(new Error("refused"));
    expect(await Promise.all(traversal.openRelays(POINT, "initiator"))).toEqual([undefined]);
    expect(notes).toEqual([{ kind: "missing", part: "relay: refused" }]);
  });
});

describe("a server's clock", () => {
  it("that differs by more than five minutes is noted once, and adds a time", () => {
    const { traversal, notes } = setup({ rendezvous: [SERVER] });
    for (let i = 0; i < 2; i++) made.channels[0]!.onClock!(SERVER, 3_600_000.4);
    expect(notes).toEqual([
      { kind: "clock", aheadMs: 3_600_000, text: `this machine's clock is 1 h behind that of ${SERVER}` },
    ]);
    expect(traversal.clocks.times).toHaveLength(2);
  });
});

describe("a context that is closed", () => {
  it("closes the gatherer and each channel once, and forgets its watchers", async () => {
    const { traversal, gatherer } = setup({ rendezvous: [SERVER] });
    traversal.watch(() => undefined);
    traversal.watchNetwork(() => undefined);
    await Promise.all([traversal.close(), traversal.close()]);
    expect(gatherer.close).toHaveBeenCalledOnce();
    for (const { close } of made.channels) expect(close).toHaveBeenCalledOnce();
    expect(traversal.counts).toEqual({ watchers: 0, networkWatchers: 0 });
  });

  it("gathers nothing any more, and reports no round that ends later", async () => {
    const { traversal, gatherer } = setup();
    traversal.start();
    await traversal.close();
    gatherer.conclude();
    traversal.refresh();
    traversal.useSockets([socketOf(5)]);
    await settled();
    expect(gatherer.rounds).toHaveLength(1);
    expect(traversal.isGathered).toBe(false);
  });
});

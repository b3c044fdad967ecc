/** The gatherer against a server that pretends to stand behind NATs of each kind. */
import { afterAll, describe, expect, it } from "vitest";
import { Endpoint } from "../../../src/link/endpoint.ts";
import { UdpSocket } from "../../../src/platform/udp/udp-socket.ts";
import { Gatherer } from "../../../src/traversal/gather/gatherer.ts";
import type { Candidate } from "../../../src/wire/candidate-codec.ts";
import type { NatBehaviour } from "../../../src/wire/nat-behaviour-codec.ts";
import { STUN_ATTRIBUTE, STUN_CLASS, STUN_METHOD, StunWriter } from "../../../src/wire/stun.ts";
import { type Corner, type ResponderOptions, type Sight, StunResponder } from "../../lib/stun-responder.ts";
import { openUdp } from "../../lib/udp.ts";

const PUBLIC = "198.51.100.7";
const ends: (() => void)[] = [];
afterAll(() => {
  for (const end of ends.splice(0).reverse()) end();
});

interface Setup {
  readonly gatherer: Gatherer;
  readonly responder: StunResponder;
  readonly socket: UdpSocket;
  readonly endpoint: Endpoint;
}

async function setup(options: ResponderOptions, corners: readonly Corner[]): Promise<Setup> {
  const responder = await StunResponder.start(options);
  const socket = await UdpSocket.bind({ family: 4, port: 0 });
  const endpoint = new Endpoint([socket]);
  const servers = corners.map((corner) => {
    const { address, port } = responder.address(corner);
    return { host: address, port };
  });
  const gatherer = new Gatherer(endpoint, { stunServers: servers });
  ends.push(
    () => responder.close(),
    () => endpoint.close(),
    () => gatherer.close(),
  );
  return { gatherer, responder, socket, endpoint };
}

const FIRST: Corner = { address: 0, port: 0 };
const ALL: readonly Corner[] = [
  FIRST,
  { address: 0, port: 1 },
  { address: 1, port: 0 },
  { address: 1, port: 1 },
];

/** What the NATs of RFC 4787 would show: a public port for each remote, as far as it depends on it. */
function nat(portOf: (from: Sight, at: Corner, count: number) => number): ResponderOptions {
  return { see: (from, at, count) => ({ address: PUBLIC, port: portOf(from, at, count) }) };
}

async function behaviourBehind(
  options: ResponderOptions,
  corners: readonly Corner[] = [FIRST],
): Promise<NatBehaviour> {
  const { gatherer, socket } = await setup(options, corners);
  gatherer.start([socket]);
  await gatherer.done;
  return gatherer.behaviour(4);
}

const kindsOf = (candidates: readonly Candidate[], kind: string) =>
  candidates.filter((candidate) => candidate.kind === kind).map(({ address, port }) => `${address}:${port}`);

describe.concurrent("mapping", () => {
  it("learns from one server with two addresses that all see the same port", async () => {
    const { gatherer, responder, socket } = await setup(
      nat(() => 40_000),
      [FIRST],
    );
    gatherer.start([socket]);
    await gatherer.ready;
    expect(gatherer.behaviour(4)).toMatchObject({
      mapping: "endpointIndependent",
      portPattern: "consistent",
      isHard: false,
    });
    const ofSocket = responder.asked.filter(
      ({ from, change }) => from.port === socket.local.port && change === 0,
    );
    expect(new Set(ofSocket.map(({ at }) => `${at.address} ${at.port}`)).size).toBe(4);
    const candidates = gatherer.candidates.map(({ candidate }) => candidate);
    expect(kindsOf(candidates, "serverReflexive")).toEqual([`${PUBLIC}:40000`]);
    // A router may have the very same port opened by hand.
    expect(kindsOf(candidates, "predicted")).toEqual([`${PUBLIC}:${socket.local.port}`]);
    expect(candidates[0]!.kind).toBe("host");
  });

  it("tells ports that count up, and predicts the next sixteen", async () => {
    const mappings = new Map<string, number>();
    const { gatherer, socket } = await setup(
      nat((from, at) => {
        const key = `${from.port} ${at.address} ${at.port}`;
        const port = mappings.get(key) ?? 40_000 + mappings.size;
        mappings.set(key, port);
        return port;
      }),
      ALL,
    );
    gatherer.start([socket]);
    await gatherer.ready;
    expect(gatherer.behaviour(4)).toMatchObject({ portPattern: "sequential", portStep: 1, isHard: false });
    const predicted = kindsOf(
      gatherer.candidates.map(({ candidate }) => candidate),
      "predicted",
    );
    expect(predicted.slice(0, 16)).toEqual(Array.from({ length: 16 }, (_, i) => `${PUBLIC}:${40_004 + i}`));
    await gatherer.done;
  });

  it("tells random ports, and from which block they are, by sockets of its own", async () => {
    const block = [40_010, 40_700, 40_300, 40_990, 40_500, 40_100, 40_850, 40_200];
    let count = 0;
    const behaviour = await behaviourBehind(
      nat(() => block[count++ % block.length]!),
      ALL,
    );
    expect(behaviour).toMatchObject({
      mapping: "addressAndPortDependent",
      portPattern: "random",
      isHard: true,
    });
    expect(behaviour.portBlock?.low).toBeLessThanOrEqual(40_010);
    expect(behaviour.portBlock?.high).toBeGreaterThanOrEqual(40_990);
  });

  it("says nothing of the mapping when all but one answer is lost", async () => {
    const { gatherer, socket } = await setup(
      {
        see: (_from, at) =>
          at.address === 0 && at.port === 0 ? { address: PUBLIC, port: 40_000 } : undefined,
      },
      ALL,
    );
    const silent: number[] = [];
    gatherer.onSilentServer = (server) => silent.push(server.port);
    gatherer.start([socket]);
    await gatherer.done;
    expect(gatherer.behaviour(4).mapping).toBe("unknown");
    expect(gatherer.behaviour(4).isHard).toBe(false);
    expect(silent).toHaveLength(3);
  }, 10_000);

  it("asks again when a request is lost", async () => {
    const lost = new Set<string>();
    const { gatherer, socket } = await setup(
      {
        see: (from, at) => {
          const key = `${from.port} ${at.address} ${at.port}`;
          if (lost.has(key)) return { address: PUBLIC, port: 40_000 };
          lost.add(key);
          return undefined;
        },
      },
      ALL,
    );
    gatherer.start([socket]);
    await gatherer.done;
    expect(gatherer.behaviour(4).mapping).toBe("endpointIndependent");
  });
});

describe.concurrent("filtering", () => {
  it("lets everybody in", async () => {
    const behaviour = await behaviourBehind({ ...nat(() => 40_000), lets: () => true });
    expect(behaviour.filtering).toBe("endpointIndependent");
  });

  it("lets the address in that was sent to", async () => {
    const behaviour = await behaviourBehind({
      ...nat(() => 40_000),
      lets: (asked, answers) => asked.address === answers.address,
    });
    expect(behaviour.filtering).toBe("addressDependent");
  });

  it("lets only the port in that was sent to", async () => {
    const behaviour = await behaviourBehind({ ...nat(() => 40_000), lets: () => false });
    expect(behaviour.filtering).toBe("addressAndPortDependent");
  });

  it("is unknown where the server cannot answer from elsewhere, or does not", async () => {
    expect((await behaviourBehind({ ...nat(() => 40_000), tellsOther: false }, ALL)).filtering).toBe(
      "unknown",
    );
    expect((await behaviourBehind({ ...nat(() => 40_000), changes: false })).filtering).toBe("unknown");
  });

  it("is not asked by the link's own socket", async () => {
    const { gatherer, responder, socket } = await setup(
      nat(() => 40_000),
      [FIRST],
    );
    gatherer.start([socket]);
    await gatherer.done;
    const changes = responder.asked.filter(({ change }) => change !== 0);
    expect(changes.length).toBeGreaterThan(0);
    expect(changes.every(({ from }) => from.port !== socket.local.port)).toBe(true);
  });
});

describe.concurrent("hairpin", () => {
  it("is there when a packet to the public address comes back", async () => {
    let target = 0;
    // What the server says it saw is the socket itself, so that a packet to there does come in.
    const { gatherer, socket } = await setup({ see: () => ({ address: "127.0.0.99", port: target }) }, ALL);
    target = socket.local.port;
    gatherer.start([socket]);
    await gatherer.done;
    expect(gatherer.behaviour(4).hairpin).toBe(true);
  });

  it("is not there when nothing comes", async () => {
    const elsewhere = await openUdp("127.0.0.99");
    ends.push(() => elsewhere.close());
    const behaviour = await behaviourBehind(
      { see: () => ({ address: "127.0.0.99", port: elsewhere.address().port }) },
      ALL,
    );
    expect(behaviour.hairpin).toBe(false);
  });
});

describe.concurrent("a round", () => {
  it("is ready after 300 ms although no server has answered, long before it is done", async () => {
    const { gatherer, socket } = await setup({ see: () => undefined }, ALL);
    const startMs = performance.now();
    gatherer.start([socket]);
    const first = await Promise.race([gatherer.ready.then(() => "ready"), gatherer.done.then(() => "done")]);
    expect(first).toBe("ready");
    expect(performance.now() - startMs).toBeGreaterThan(290);
    expect(gatherer.candidates.every(({ candidate }) => candidate.kind === "host")).toBe(true);
  });

  it("takes no answer to a question of another round or of nobody", async () => {
    const { gatherer, socket, endpoint, responder } = await setup({}, ALL);
    gatherer.start([socket]);
    await gatherer.ready;
    await gatherer.done;
    const before = endpoint.strayDatagrams;
    const stranger = await openUdp();
    ends.push(() => stranger.close());
    const forged = new StunWriter(STUN_METHOD.binding, STUN_CLASS.success, new Uint8Array(12))
      .xorAddress(STUN_ATTRIBUTE.xorMappedAddress, "203.0.113.9", 9)
      .finish();
    stranger.send(forged, socket.local.port, "127.0.0.1");
    while (endpoint.strayDatagrams === before) await new Promise((resolve) => setImmediate(resolve));
    const found = gatherer.candidates.map(({ candidate }) => candidate.address);
    expect(found).not.toContain("203.0.113.9");
    // The machine's own address is no NAT's, so nobody guesses at ports of a router.
    expect(gatherer.candidates.some(({ candidate }) => candidate.kind === "predicted")).toBe(false);
    expect(gatherer.behaviour(4)).toMatchObject({ mapping: "endpointIndependent", portPattern: "preserved" });
    expect(responder.asked.length).toBeGreaterThan(3);
  });

  it("begins anew on other sockets and forgets the old ones", async () => {
    const { gatherer, socket, endpoint } = await setup({}, ALL);
    gatherer.start([socket]);
    await gatherer.ready;
    const fresh = await UdpSocket.bind({ family: 4, port: 0 });
    endpoint.addSocket(fresh);
    gatherer.start([fresh]);
    await gatherer.ready;
    expect(new Set(gatherer.candidates.map((found) => found.socket))).toEqual(new Set([fresh]));
    expect(gatherer.candidates.some(({ candidate }) => candidate.port === fresh.local.port)).toBe(true);
  });

  it("holds nothing open once it is closed", async () => {
    const { gatherer, socket } = await setup({ see: () => undefined }, ALL);
    gatherer.start([socket]);
    gatherer.close();
    await gatherer.ready;
    await gatherer.done;
    expect(gatherer.candidates.length).toBeGreaterThan(0);
  });
});

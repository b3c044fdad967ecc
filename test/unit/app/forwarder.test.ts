/** The forwarder with fake ports and fake peers: what it opens, requests again, reports and ends. */
import { EventEmitter } from "node:events";
import { type Duplex, PassThrough } from "node:stream";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { ForwardPeer } from "../../../src/app/forward/forward-peer.ts";
import { Forwarder, type ForwardStatus } from "../../../src/app/forward/forwarder.ts";
import { parseForward } from "../../../src/app/forward/spec.ts";
import { openStreamPort } from "../../../src/app/forward/stream-port.ts";
import { openUdpPort } from "../../../src/app/forward/udp/udp-port.ts";
import type { ForwardFailure } from "../../../src/app/forward/watcher.ts";
import { SrudpError } from "../../../src/base/errors.ts";
import { type Address, formatTarget } from "../../../src/link/forward-records.ts";
import type { Link } from "../../../src/link/link.ts";

vi.mock("../../../src/app/forward/stream-port.ts", async (original) => ({
  ...(await original<object>()),
  openStreamPort: vi.fn(),
}));
vi.mock("../../../src/app/forward/udp/udp-port.ts", () => ({ openUdpPort: vi.fn() }));

const FOUND_PORT = 40_001;
const BIND_TAKEN = new SrudpError("ERR_FORWARD_BIND", "localhost:8080");
const REFUSED = new SrudpError("ERR_PEER_FORWARD_BIND");

/** Ports that are open, by the address that was asked for. */
const ports = new Map<string, { connect: (socket: Duplex) => void; close: () => void }>();

function withPort(bind: Address, port: number): Address {
  return bind.kind === "unix" || bind.port !== 0 ? bind : { ...bind, port };
}

beforeEach(() => {
  vi.useFakeTimers();
  ports.clear();
  vi.mocked(openStreamPort).mockImplementation(async (bind, onConnection) => {
    const close = vi.fn();
    ports.set(formatTarget(bind), { connect: (socket) => onConnection(socket as never), close });
    return { address: withPort(bind, FOUND_PORT), close };
  });
  vi.mocked(openUdpPort).mockImplementation(async (bind) => {
    const close = vi.fn();
    ports.set(formatTarget(bind), { connect: () => undefined, close });
    return { address: bind, close, flowCount: 3 };
  });
});

afterEach(() => {
  vi.clearAllMocks();
  vi.useRealTimers();
});

class FakeLink
  extends EventEmitter
  implements Record<keyof Pick<Link, "closed" | "destroyed" | "fail">, unknown>
{
  closed = false;
  destroyed = false;
  readonly faults: unknown[] = [];

  fail(fault: unknown): void {
    this.faults.push(fault);
  }

  end(): void {
    this.closed = true;
    this.destroyed = true;
    this.emit("close");
  }
}

/** A peer that opens the ports which `answer` returns, or refuses. */
class FakePeer implements Record<keyof Pick<ForwardPeer, "link" | "requestForward" | "reach">, unknown> {
  readonly link = new FakeLink();
  readonly requests: string[] = [];
  readonly targets: string[] = [];
  readonly cancel = vi.fn();
  answer: (bind: Address) => number | Promise<number>;

  constructor(answer: (bind: Address) => number | Promise<number> = () => FOUND_PORT) {
    this.answer = answer;
  }

  async requestForward(bind: Address): Promise<{ port: number; cancel: () => void }> {
    this.requests.push(formatTarget(bind));
    return { port: await this.answer(bind), cancel: this.cancel };
  }

  /** The dial stays under way: what becomes of it is the splice's part. */
  reach(target: Address): Promise<never> {
    this.targets.push(formatTarget(target));
    return new Promise(() => undefined);
  }
}

/** A client's connection, as far as resets are concerned. */
function fakeSocket(): Duplex & { resetAndDestroy: () => void } {
  const socket = new PassThrough();
  return Object.assign(socket, { resetAndDestroy: vi.fn(() => void socket.destroy()) });
}

function newForwarder() {
  const standing: ForwardStatus[] = [];
  const failures: ForwardFailure[] = [];
  const forwarder = new Forwarder({
    forwarding: (status) => standing.push(status),
    failed: (failure) => failures.push(failure),
  });
  return {
    forwarder,
    standing,
    failures,
    use: async (peer: FakePeer) => {
      forwarder.use(peer as unknown as ForwardPeer);
      await settled();
    },
  };
}

const settled = () => vi.advanceTimersByTimeAsync(0);
const LOCAL = parseForward("L", "8080:db:5432");
const REMOTE = parseForward("R", "0:localhost:22");

describe("a local forward", () => {
  it("is open and reported before there is any link, with the port that was found for 0", async () => {
    const { forwarder, standing } = newForwarder();
    const status = await forwarder.add(parseForward("L", "0:db:5432"));
    expect(status).toEqual({
      name: "-L 0:db:5432",
      kind: "local",
      bind: `localhost:${FOUND_PORT}`,
      target: "db:5432",
      isOpen: true,
      connections: 0,
    });
    expect(standing).toEqual([status]);
  });

  it("of UDP counts its flows as connections", async () => {
    const { forwarder } = newForwarder();
    await forwarder.add(parseForward("L", "5353:db:53/udp"));
    expect(forwarder.counts).toEqual({ forwards: 1, connections: 3, waiting: 0 });
    expect(openStreamPort).not.toHaveBeenCalled();
  });

  it("whose port is taken rejects with the reason and is forgotten", async () => {
    const { forwarder, standing } = newForwarder();
    vi.mocked(openStreamPort).mockRejectedValueOnce(BIND_TAKEN);
    await expect(forwarder.add(LOCAL)).rejects.toBe(BIND_TAKEN);
    expect(forwarder.status).toEqual([]);
    expect(standing).toEqual([]);
    await expect(forwarder.add(LOCAL)).resolves.toMatchObject({ isOpen: true });
  });

  it("of a name that exists is refused, and the first one stays", async () => {
    const { forwarder } = newForwarder();
    await forwarder.add(LOCAL);
    await expect(forwarder.add(LOCAL)).rejects.toMatchObject({ code: "ERR_USAGE" });
    expect(forwarder.status).toHaveLength(1);
    expect(openStreamPort).toHaveBeenCalledOnce();
  });

  it("keeps its port while links end and are replaced", async () => {
    const { forwarder, use } = newForwarder();
    await forwarder.add(LOCAL);
    for (const peer of [new FakePeer(), new FakePeer()]) {
      await use(peer);
      peer.link.end();
    }
    expect(openStreamPort).toHaveBeenCalledOnce();
    expect(forwarder.status).toMatchObject([{ isOpen: true }]);
  });
});

describe("a connection to a local forward", () => {
  it("is dialled by the current link", async () => {
    const { forwarder, use } = newForwarder();
    await forwarder.add(LOCAL);
    const first = new FakePeer();
    await use(first);
    first.link.end();
    const second = new FakePeer();
    await use(second);
    ports.get("localhost:8080")!.connect(fakeSocket());
    await settled();
    expect([first.targets, second.targets]).toEqual([[], ["db:5432"]]);
    expect(forwarder.counts).toEqual({ forwards: 1, connections: 1, waiting: 0 });
  });

  it("waits for a link, and is dialled by the next one", async () => {
    const { forwarder, use } = newForwarder();
    await forwarder.add(LOCAL);
    const socket = fakeSocket();
    ports.get("localhost:8080")!.connect(socket);
    await vi.advanceTimersByTimeAsync(9999);
    expect(forwarder.counts).toMatchObject({ waiting: 1 });
    const peer = new FakePeer();
    await use(peer);
    expect(peer.targets).toEqual(["db:5432"]);
    expect(socket.destroyed).toBe(false);
    expect(forwarder.counts).toMatchObject({ waiting: 0 });
  });

  it("is reset and reported when no link comes within 10 s", async () => {
    const { forwarder, failures } = newForwarder();
    await forwarder.add(LOCAL);
    const socket = fakeSocket();
    ports.get("localhost:8080")!.connect(socket);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(socket.resetAndDestroy).toHaveBeenCalledOnce();
    expect(failures).toMatchObject([
      { by: "own", what: "connection", target: "db:5432", error: { code: "ERR_LINK_LOST" } },
    ]);
    expect(forwarder.counts).toEqual({ forwards: 1, connections: 0, waiting: 0 });
  });
});

describe("a remote forward", () => {
  it("is listed as closed while there is no link, and requested on the first one", async () => {
    const { forwarder, standing, use } = newForwarder();
    expect(await forwarder.add(REMOTE)).toMatchObject({ bind: "localhost:0", isOpen: false });
    expect(standing).toEqual([]);
    const peer = new FakePeer();
    await use(peer);
    expect(peer.requests).toEqual(["localhost:0"]);
    expect(standing).toMatchObject([{ bind: `localhost:${FOUND_PORT}`, isOpen: true }]);
  });

  it("is requested at once where there is a link", async () => {
    const { forwarder, use } = newForwarder();
    await use(new FakePeer());
    expect(await forwarder.add(REMOTE)).toMatchObject({ bind: `localhost:${FOUND_PORT}`, isOpen: true });
  });

  it("is closed when the link ends, and requested on the next one with the port that was found", async () => {
    const { forwarder, standing, use } = newForwarder();
    await forwarder.add(REMOTE);
    const first = new FakePeer();
    await use(first);
    first.link.end();
    expect(forwarder.status).toMatchObject([{ isOpen: false }]);
    const second = new FakePeer();
    await use(second);
    expect(second.requests).toEqual([`localhost:${FOUND_PORT}`]);
    expect(standing).toHaveLength(2);
  });

  it("is requested with any port where the one of the former link is taken", async () => {
    const { forwarder, use } = newForwarder();
    await forwarder.add(REMOTE);
    const first = new FakePeer();
    await use(first);
    first.link.end();
    const second = new FakePeer((bind) => {
      if (bind.kind !== "unix" && bind.port === FOUND_PORT) throw REFUSED;
      return 50_000;
    });
    await use(second);
    expect(second.requests).toEqual([`localhost:${FOUND_PORT}`, "localhost:0"]);
    expect(forwarder.status).toMatchObject([{ bind: "localhost:50000", isOpen: true }]);
  });

  it("that the peer refuses when it is added rejects with the reason and is forgotten", async () => {
    const { forwarder, failures, use } = newForwarder();
    await use(
      new FakePeer(() => {
        throw REFUSED;
      }),
    );
    await expect(forwarder.add(REMOTE)).rejects.toBe(REFUSED);
    expect(forwarder.status).toEqual([]);
    expect(failures).toEqual([]);
  });

  it("that the peer refuses on a later link is reported, stays listed, and is requested on the next", async () => {
    const { forwarder, failures, use } = newForwarder();
    await forwarder.add(REMOTE);
    const refusing = new FakePeer(() => {
      throw REFUSED;
    });
    await use(refusing);
    expect(failures).toEqual([{ by: "own", what: "port", target: "localhost:0", error: REFUSED }]);
    expect(forwarder.status).toMatchObject([{ isOpen: false }]);
    refusing.link.end();
    await use(new FakePeer());
    expect(forwarder.status).toMatchObject([{ isOpen: true }]);
  });

  it("whose request fails because the link has ended is not reported: the link's end is", async () => {
    const { forwarder, failures, use } = newForwarder();
    await forwarder.add(REMOTE);
    let fail = (_: Error): void => undefined;
    const peer = new FakePeer(() => new Promise((_, reject) => (fail = reject)));
    await use(peer);
    peer.link.end();
    fail(new SrudpError("ERR_LINK_LOST"));
    await settled();
    expect(failures).toEqual([]);
  });

  it("whose request fails by a bug ends the link with the fault", async () => {
    const { forwarder, failures, use } = newForwarder();
    await forwarder.add(REMOTE);
    const bug = new TypeError("not a function");
    const peer = new FakePeer(() => {
      throw bug;
    });
    await use(peer);
    expect(peer.link.faults).toEqual([bug]);
    expect(failures).toEqual([]);
  });

  it("that was cancelled while the peer opened it is closed at the peer", async () => {
    const { forwarder, standing, use } = newForwarder();
    let open = (_: number): void => undefined;
    const peer = new FakePeer(() => new Promise((resolve) => (open = resolve)));
    await use(peer);
    const adding = forwarder.add(REMOTE);
    forwarder.cancel(REMOTE.name);
    open(FOUND_PORT);
    await adding;
    expect(peer.cancel).toHaveBeenCalledOnce();
    expect(standing).toEqual([]);
  });

  it("stays open when a link that was replaced ends later", async () => {
    const { forwarder, use } = newForwarder();
    await forwarder.add(REMOTE);
    const [first, second] = [new FakePeer(), new FakePeer()];
    await use(first);
    await use(second);
    first.link.end();
    expect(forwarder.status).toMatchObject([{ isOpen: true }]);
  });
});

describe("cancelling a forward", () => {
  it("closes a local port, and leaves its connections alone", async () => {
    const { forwarder, use } = newForwarder();
    await forwarder.add(LOCAL);
    await use(new FakePeer());
    const port = ports.get("localhost:8080")!;
    const socket = fakeSocket();
    port.connect(socket);
    await settled();
    expect(forwarder.cancel(LOCAL.name)).toBe(true);
    expect(port.close).toHaveBeenCalledOnce();
    expect(socket.destroyed).toBe(false);
    expect(forwarder.status).toEqual([]);
  });

  it("closes a port at the peer", async () => {
    const { forwarder, use } = newForwarder();
    const peer = new FakePeer();
    await use(peer);
    await forwarder.add(REMOTE);
    expect(forwarder.cancel(REMOTE.name)).toBe(true);
    expect(peer.cancel).toHaveBeenCalledOnce();
  });

  it("returns false for a name that does not exist", () => {
    expect(newForwarder().forwarder.cancel("-L 1:a:1")).toBe(false);
  });
});

describe("closing the forwarder", () => {
  it("closes all ports and resets the connections that are left", async () => {
    const { forwarder, use } = newForwarder();
    await forwarder.add(LOCAL);
    const peer = new FakePeer();
    await use(peer);
    await forwarder.add(REMOTE);
    const port = ports.get("localhost:8080")!;
    const socket = fakeSocket();
    port.connect(socket);
    await settled();
    forwarder.close();
    expect(port.close).toHaveBeenCalledOnce();
    expect(peer.cancel).toHaveBeenCalledOnce();
    expect(socket.resetAndDestroy).toHaveBeenCalledOnce();
    expect(forwarder.counts).toEqual({ forwards: 0, connections: 0, waiting: 0 });
  });

  it("resets a connection that waits for a link, and leaves no timer", async () => {
    const { forwarder } = newForwarder();
    await forwarder.add(LOCAL);
    const socket = fakeSocket();
    ports.get("localhost:8080")!.connect(socket);
    await settled();
    forwarder.close();
    await settled();
    expect(socket.resetAndDestroy).toHaveBeenCalledOnce();
    expect(vi.getTimerCount()).toBe(0);
  });
});

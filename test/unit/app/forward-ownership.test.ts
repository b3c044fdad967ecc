/** What forwarding holds belongs to a link or a forward, and goes with it: ports, connections, waiting, listeners. */
import { EventEmitter, getEventListeners } from "node:events";
import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { CurrentPeer } from "../../../src/app/forward/current-peer.ts";
import { ForwardPeer } from "../../../src/app/forward/forward-peer.ts";
import { Forwarder } from "../../../src/app/forward/forwarder.ts";
import { Permissions } from "../../../src/app/forward/permissions/permissions.ts";
import { keepLink } from "../../../src/app/forward/reconnector.ts";
import { RemotePortRegistry } from "../../../src/app/forward/remote-port-registry.ts";
import { parseForward } from "../../../src/app/forward/spec.ts";
import type { ForwardFailure } from "../../../src/app/forward/watcher.ts";
import type { Link } from "../../../src/index.ts";
import {
  type Address,
  decodeForwardReply,
  encodeCancel,
  encodeForwardRequest,
  FORWARD_RECORD,
  type ForwardReply,
} from "../../../src/link/forward-records.ts";
import { within } from "../../lib/deadline.ts";
import { linkedPair } from "../link/loopback.ts";

const ANY_PORT: Address = { kind: "tcp", host: "", port: 0 };

/** Listening TCP sockets of this process. */
function openPorts(): number {
  return process.getActiveResourcesInfo().filter((kind) => kind === "TCPServerWrap").length;
}

beforeEach(() => expect.poll(openPorts).toBe(0));
afterEach(() => void vi.useRealTimers());

/** A link whose far side opens ports for the near one, which talks to it in bare records. */
async function permitting(): Promise<{
  near: Link;
  far: Link;
  peer: ForwardPeer;
  failures: ForwardFailure[];
}> {
  const { near, far } = await linkedPair();
  const failures: ForwardFailure[] = [];
  for (const link of [near, far]) link.on("error", () => undefined).resume();
  const peer = new ForwardPeer(far, {
    permissions: new Permissions([], ["0"]),
    remotePorts: new RemotePortRegistry(),
    watcher: { failed: (failure) => failures.push(failure) },
  });
  return { near, far, peer, failures };
}

function ask(link: Link, requestId: number): void {
  link.sendRecord(FORWARD_RECORD.request, encodeForwardRequest({ requestId, bind: ANY_PORT }));
}

function cancel(link: Link, requestId: number): void {
  link.sendRecord(FORWARD_RECORD.cancel, encodeCancel(requestId));
}

/** The answers that a link is given, as they come. */
function answersOf(link: Link, count: number): Promise<ForwardReply[]> {
  const answers: ForwardReply[] = [];
  return new Promise((resolve) => {
    link.on("record", (type, body) => {
      if (type === FORWARD_RECORD.reply) answers.push(decodeForwardReply(body));
      if (answers.length === count) resolve(answers);
    });
  });
}

function closed(link: Link): Promise<void> {
  return new Promise((resolve) => {
    if (link.closed) resolve();
    else link.once("close", () => resolve());
  });
}

describe("ports that the peer had opened", () => {
  it("are closed with the link when numbers are used again, which ends it", async () => {
    const { near, far } = await permitting();
    for (let requestId = 0; requestId < 100; requestId++) {
      ask(near, requestId);
      cancel(near, requestId);
      ask(near, requestId);
    }
    const failed = new Promise<{ code?: string }>((resolve) => near.once("error", resolve));
    expect(await failed).toMatchObject({ code: "ERR_PROTOCOL" });
    await closed(far);
    await expect.poll(openPorts).toBe(0);
  });

  it("are closed when they are cancelled while they are being opened", async () => {
    const { near, far, peer } = await permitting();
    for (let requestId = 0; requestId < 100; requestId++) {
      ask(near, requestId);
      cancel(near, requestId);
    }
    ask(near, 100);
    expect(await answersOf(near, 1)).toMatchObject([{ requestId: 100, failure: undefined }]);
    // One port, of both families.
    await expect.poll(openPorts).toBe(2);
    expect(peer.remotePorts).toHaveLength(1);
    near.destroy();
    await closed(far);
    await expect.poll(openPorts).toBe(0);
    expect(peer.remotePorts).toEqual([]);
  });

  it("are closed when the link ends while they are being opened", async () => {
    const { near, far } = await permitting();
    const opening = new Promise((resolve) => far.once("record", resolve));
    for (let requestId = 0; requestId < 100; requestId++) ask(near, requestId);
    await opening;
    far.destroy();
    await closed(far);
    await expect.poll(openPorts).toBe(0);
  });

  it("are 256 for each peer at most, those that are being opened included, and the next one is refused", async () => {
    const { near, far, failures } = await permitting();
    const answering = answersOf(near, 300);
    for (let requestId = 0; requestId < 300; requestId++) ask(near, requestId);
    const refused = (await answering).filter(({ failure }) => failure !== undefined);
    expect(refused.map(({ requestId }) => requestId)).toEqual(Array.from({ length: 44 }, (_, i) => 256 + i));
    expect(refused[0]!.failure!.code).toBe("ERR_PEER_FORWARD_BIND");
    expect(failures).toHaveLength(44);
    far.destroy();
    await closed(far);
    await expect.poll(openPorts).toBe(0);
  });
});

describe("a forward that ends while its port is being opened", () => {
  it.each([
    ["by being cancelled", (forwarder: Forwarder) => void forwarder.cancel("-D 0")],
    ["with all others", (forwarder: Forwarder) => forwarder.close()],
  ])("(%s) leaves no port behind", async (_, end) => {
    const forwarder = new Forwarder({ failed: () => undefined, forwarding: () => undefined });
    const adding = forwarder.add(parseForward("D", "0"));
    end(forwarder);
    await expect(adding).rejects.toMatchObject({ code: "ERR_FORWARD_BIND" });
    await expect.poll(openPorts).toBe(0);
    expect(forwarder.status).toEqual([]);
  });
});

describe("forwards that end with their link", () => {
  it("reset the clients that are left: one that waits for a link, and one that has not asked yet", async () => {
    const forwarder = new Forwarder({ failed: () => undefined, forwarding: () => undefined });
    const { bind } = await forwarder.add(parseForward("L", "0:localhost:1"));
    const proxy = await forwarder.add(parseForward("D", "0"));
    const clients = [bind, proxy.bind].map((text) => connect(Number(text.split(":").pop()), "127.0.0.1"));
    const ends = clients.map((client) => new Promise((resolve) => client.once("error", resolve)));
    await expect.poll(() => forwarder.status.map(({ connections }) => connections)).toEqual([1, 1]);
    forwarder.close();
    for (const end of ends)
      expect(await within(end, 2000, () => "not reset")).toMatchObject({ code: "ECONNRESET" });
  });

  it("let nobody wait for another one", async () => {
    vi.useFakeTimers();
    const current = new CurrentPeer();
    const waiting = current.reach({ kind: "first" });
    expect(vi.getTimerCount()).toBe(1);
    current.close();
    await expect(waiting).rejects.toMatchObject({ code: "ERR_LINK_LOST" });
    await expect(current.reach({ kind: "first" })).rejects.toMatchObject({ code: "ERR_LINK_LOST" });
    expect(vi.getTimerCount()).toBe(0);
  });

  it("do not take part in a link that has closed already", async () => {
    const forwarder = new Forwarder({ failed: () => undefined, forwarding: () => undefined });
    vi.useFakeTimers();
    forwarder.use({ link: { closed: true } } as unknown as ForwardPeer);
    const { bind } = await forwarder.add(parseForward("R", "0:localhost:1"));
    expect(bind).toBe("localhost:0");
    expect(forwarder.status).toMatchObject([{ isOpen: false }]);
  });
});

describe("links that are made again and again", () => {
  it("leave no listener at the signal that ends them all", async () => {
    vi.useFakeTimers();
    const ending = new AbortController();
    const links: FakeLink[] = [];
    const kept = keepLink({
      source: {
        open: async () => links[links.push(new FakeLink()) - 1] as unknown as Link,
        isRepeatable: true,
      },
      retriesFirst: false,
      isFinal: () => false,
      signal: ending.signal,
      onEvent: () => undefined,
    });
    const failed = expect(kept).rejects.toThrow("enough");
    for (let made = 1; made <= 20; made++) {
      await vi.advanceTimersByTimeAsync(1000);
      expect(links).toHaveLength(made);
      expect(getEventListeners(ending.signal, "abort")).toHaveLength(1);
      links.at(-1)!.closed = true;
      links.at(-1)!.emit("close");
    }
    ending.abort(new Error("enough"));
    await failed;
    expect(getEventListeners(ending.signal, "abort")).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(1000);
    expect(vi.getTimerCount()).toBe(0);
  });
});

/** A link from which something is always heard. */
class FakeLink extends EventEmitter {
  closed = false;
  readonly destroyed = false;
  readonly errored = null;
  #packets = 0;

  stats(): { receivedPackets: number; rttMs: number } {
    return { receivedPackets: ++this.#packets, rttMs: 1 };
  }

  ping(): void {}
}

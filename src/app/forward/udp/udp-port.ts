/** A UDP port that opens a flow to its destination for each sender. */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { SrudpError } from "../../../base/errors.ts";
import { type Address, formatTarget, type Target } from "../../../link/forward-records.ts";
import type { Dialer } from "../dialer.ts";
import { bindError, hostsOf, type OpenPort } from "../stream-port.ts";
import type { ForwardWatcher } from "../watcher.ts";
import { FLOW_IDLE_MS, type PortAddress } from "./target-association.ts";
import type { UdpAssociation } from "./udp-association.ts";

const SWEEP_INTERVAL_MS = 10_000;
/** Maximum number of senders. When it is reached, the flow that has been idle longest is closed. */
const FLOWS_LIMIT = 512;
/** Maximum number of datagrams that wait while a flow is being set up. */
const WAITING_LIMIT = 32;

export interface UdpPort extends OpenPort {
  readonly flowCount: number;
}

/**
 * Opens `bind`. The dialer opens its flows to `target` at the peer.
 *
 * @param watcher receives the error when a flow fails or is refused later
 * @throws SrudpError ERR_FORWARD_BIND
 */
export async function openUdpPort(
  bind: PortAddress,
  target: Target,
  dialer: Dialer,
  watcher: ForwardWatcher,
): Promise<UdpPort> {
  const port = new SenderFlows(target, dialer, watcher);
  try {
    return await port.open(bind);
  } catch (error) {
    port.close();
    throw bindError(bind, error as NodeJS.ErrnoException);
  }
}

/** Owns the sockets of a port and the flows of its senders. */
class SenderFlows implements UdpPort {
  readonly #target: Target;
  readonly #dialer: Dialer;
  readonly #watcher: ForwardWatcher;
  readonly #flows: Map<string, SenderFlow> = new Map();
  readonly #sockets: Socket[] = [];
  readonly #sweep: NodeJS.Timeout;
  #address: Address = { kind: "udp", host: "", port: 0 };
  #isClosed = false;

  constructor(target: Target, dialer: Dialer, watcher: ForwardWatcher) {
    this.#target = target;
    this.#dialer = dialer;
    this.#watcher = watcher;
    this.#sweep = setInterval(() => {
      const limitMs = performance.now() - FLOW_IDLE_MS;
      for (const flow of this.#flows.values()) if (flow.lastAtMs <= limitMs) flow.close();
    }, SWEEP_INTERVAL_MS);
    this.#sweep.unref();
  }

  async open(bind: PortAddress): Promise<this> {
    let { port } = bind;
    for (const [index, host] of hostsOf(bind.host).entries()) {
      try {
        const socket = await bound(host, port);
        this.#sockets.push(socket);
        // An error of a send is equivalent to a lost datagram.
        socket.on("error", () => undefined);
        socket.on("message", (bytes, from) => this.#receive(socket, bytes, from));
        ({ port } = socket.address());
      } catch (error) {
        // As for TCP ports, the second address family is optional, but another program must not
        // hold its port.
        const isTaken = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
        if (index === 0 || (isTaken && bind.port !== 0)) throw error;
      }
    }
    this.#address = { ...bind, port };
    return this;
  }

  get address(): Address {
    return this.#address;
  }

  get flowCount(): number {
    return this.#flows.size;
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#sweep);
    for (const flow of this.#flows.values()) flow.close();
    for (const socket of this.#sockets) socket.close();
  }

  #receive(socket: Socket, bytes: Uint8Array, from: RemoteInfo): void {
    // Source port 0 is legal and means that the sender expects no reply. Nothing can be sent to
    // it.  // RFC 768
    if (from.port === 0) return;
    const key = `${from.address} ${from.port}`;
    let flow = this.#flows.get(key);
    if (flow === undefined) {
      this.#makeRoom();
      flow = this.#startFlow(socket, from, key);
    }
    flow.send(bytes);
  }

  #startFlow(socket: Socket, from: RemoteInfo, key: string): SenderFlow {
    const flow = new SenderFlow({
      answer: (bytes) => {
        if (!this.#isClosed) socket.send(bytes, from.port, from.address);
      },
      onClose: () => {
        // The entry may belong to a later flow of the same sender.
        if (this.#flows.get(key) === flow) this.#flows.delete(key);
      },
    });
    this.#flows.set(key, flow);
    void flow.run(this.#dialer, this.#target).then((error) => {
      if (error !== undefined && !this.#isClosed) {
        const target = formatTarget(this.#target);
        this.#watcher.failed({ by: "own", what: "connection", target, error });
      }
    });
    return flow;
  }

  #makeRoom(): void {
    if (this.#flows.size < FLOWS_LIMIT) return;
    let oldest: SenderFlow | undefined;
    for (const flow of this.#flows.values())
      if (oldest === undefined || flow.lastAtMs < oldest.lastAtMs) oldest = flow;
    oldest?.close();
  }
}

interface SenderFlowOptions {
  /** Sends a datagram to the sender; must not throw. */
  readonly answer: (bytes: Uint8Array) => void;
  readonly onClose: () => void;
}

/**
 * The flow of one sender. It owns its association on the link from before the association exists.
 */
class SenderFlow {
  readonly #options: SenderFlowOptions;
  #sentAtMs = performance.now();
  #channel: UdpAssociation | undefined;
  #waiting: Uint8Array[] = [];
  #isClosed = false;
  /** Closed on this side before the flow ended by itself. */
  #isAbandoned = false;

  constructor(options: SenderFlowOptions) {
    this.#options = options;
  }

  /** Monotonic time of the last datagram in either direction. */
  get lastAtMs(): number {
    return Math.max(this.#sentAtMs, this.#channel?.lastAtMs ?? 0);
  }

  /** Never rejects. @returns why the flow failed, if the failure has to be reported */
  async run(dialer: Dialer, target: Target): Promise<SrudpError | undefined> {
    try {
      const flow = { deliver: this.#options.answer, onClose: () => this.#finish() };
      return await dialer.reachFlow(target, flow, (channel) => this.#open(channel));
    } catch (thrown) {
      // A flow that was closed on this side needs no error.
      return !this.#isAbandoned && thrown instanceof SrudpError ? thrown : undefined;
    } finally {
      this.#finish();
    }
  }

  send(bytes: Uint8Array): void {
    this.#sentAtMs = performance.now();
    if (this.#channel !== undefined) this.#channel.send(bytes);
    else if (this.#waiting.length < WAITING_LIMIT) this.#waiting.push(bytes);
  }

  close(): void {
    this.#isAbandoned = true;
    this.#finish();
  }

  #finish(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#waiting = [];
    this.#channel?.close();
    this.#options.onClose();
  }

  #open(channel: UdpAssociation): void {
    // The flow, or the whole port, was closed during the set-up.
    if (this.#isClosed) {
      channel.close();
      return;
    }
    this.#channel = channel;
    for (const bytes of this.#waiting.splice(0)) channel.send(bytes);
  }
}

/** Binds a socket to `host`, which is an address of this machine or a name for one. */
function bound(host: string, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const isSix = host.includes(":");
    const socket = createSocket({ type: isSix ? "udp6" : "udp4", ipv6Only: isSix });
    const refused = (error: Error): void => {
      socket.close();
      reject(error);
    };
    socket.once("error", refused);
    socket.bind({ address: host, port }, () => {
      socket.off("error", refused);
      resolve(socket);
    });
  });
}

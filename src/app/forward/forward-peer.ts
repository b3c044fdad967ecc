/**
 * The forwarding side of one link. It dials targets and requests ports at the peer, and serves the
 * peer's requests as permitted. Both sides of a link have one.
 */
import { SrudpError } from "../../base/errors.ts";
import { type Address, decodeAnswer, encodeHead, type Target } from "../../link/forward-records.ts";
import type { Link } from "../../link/link.ts";
import type { Stream } from "../../link/stream.ts";
import { Deadline } from "../../platform/deadline.ts";
import type { Dialer, DialResult } from "./dialer.ts";
import type { Connections } from "./forward-connection.ts";
import { readPiece } from "./head-reader.ts";
import { PeerService } from "./peer-service.ts";
import type { Permissions } from "./permissions/permissions.ts";
import { RemoteForwardRequests } from "./remote-forward-requests.ts";
import type { RemotePortRegistry } from "./remote-port-registry.ts";
import type { Destination } from "./spec.ts";
import { type FlowOptions, type Flows, readFlowDatagram, UdpAssociation } from "./udp/udp-association.ts";
import type { ForwardWatcher } from "./watcher.ts";

export interface ForwardPeerOptions {
  /** The targets that the peer may reach and the ports that it may open here. */
  readonly permissions: Permissions;
  /** The ports that peers have opened, shared by all links of the process. */
  readonly remotePorts: RemotePortRegistry;
  readonly watcher: ForwardWatcher;
}

/** How long a connection waits for a stream while the stream limit is reached. Then it is reset. */
const STREAM_TIMEOUT_MS = 30_000;

export class ForwardPeer implements Dialer {
  readonly link: Link;
  /**
   * Connections that the peer opened through this machine, and connections to the ports that it
   * opened here.
   */
  readonly connections: Connections = new Set();
  readonly #flows: Flows = new Map();
  readonly #requests: RemoteForwardRequests;

  /** Serves `link` from now on. The link itself refuses earlier requests of the peer. */
  constructor(link: Link, options: ForwardPeerOptions) {
    this.link = link;
    this.#requests = new RemoteForwardRequests(link, {
      dialer: this,
      connections: this.connections,
      ...options,
    });
    const service = new PeerService({
      requests: this.#requests,
      connections: this.connections,
      openFlow: (stream, flow) => new UdpAssociation(this.link, stream, this.#flows, flow),
      ...options,
    });
    link.on("forward", (stream) => {
      service.serve(stream).catch((fault) => link.fail(fault));
    });
    link.on("datagram", (bytes) => {
      const datagram = readFlowDatagram(bytes);
      if (datagram !== undefined) this.#flows.get(datagram.streamId)?.handleDatagram(datagram.payload);
    });
  }

  /** Ports that the peer opened here. */
  get remotePorts(): readonly Address[] {
    return this.#requests.open;
  }

  /** The numbers of entries it holds, by name. */
  get counts(): Readonly<Record<string, number>> {
    return { connections: this.connections.size, flows: this.#flows.size };
  }

  async reach(target: Target): Promise<DialResult> {
    const stream = await this.#openStream();
    stream.on("error", () => undefined);
    stream.write(encodeHead(target));
    const answered = readPiece(stream).then((answer) => {
      const failure = decodeAnswer(answer);
      if (failure !== undefined) throw failure;
    });
    answered.catch(() => undefined);
    return { stream, answered };
  }

  async reachFlow(
    target: Target,
    flow: FlowOptions,
    onOpen: (channel: UdpAssociation) => void,
  ): Promise<SrudpError | undefined> {
    const { stream, answered } = await this.reach(target);
    const channel = new UdpAssociation(this.link, stream, this.#flows, flow);
    onOpen(channel);
    try {
      await answered;
      return await channel.run();
    } finally {
      channel.close();
    }
  }

  /**
   * Requests that the peer opens `bind` and forwards its connections to `destination` on this side.
   *
   * @returns the port that was opened (0 for the path of a socket), and a function that closes it
   * @throws SrudpError ERR_TARGET_FORBIDDEN, ERR_FORWARD_BIND; the error that the link ended with
   */
  requestForward(bind: Address, destination: Destination): Promise<{ port: number; cancel: () => void }> {
    return this.#requests.requestForward(bind, destination);
  }

  async #openStream(): Promise<Stream> {
    const opening = this.link.openStream("forward");
    const deadline = new Deadline(undefined, STREAM_TIMEOUT_MS, () => new SrudpError("ERR_FORWARD_CROWDED"));
    try {
      return await deadline.limit(opening, (late) => late.destroy());
    } finally {
      deadline.end();
    }
  }
}

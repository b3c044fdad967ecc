/**
 * The remote forward requests of both sides of a link: ports that the peer opens for this side,
 * with their local destinations, and ports that this side opens for the peer.
 */
import { isRemoteError, SrudpError } from "../../base/errors.ts";
import {
  type Address,
  decodeCancel,
  decodeForwardReply,
  decodeForwardRequest,
  encodeCancel,
  encodeForwardReply,
  encodeForwardRequest,
  FORWARD_RECORD,
  type ForwardRequest,
  formatTarget,
} from "../../link/forward-records.ts";
import type { Link } from "../../link/link.ts";
import { failureForPeer } from "./dial.ts";
import type { Dialer } from "./dialer.ts";
import { type Connections, forwardConnection } from "./forward-connection.ts";
import type { Permissions } from "./permissions/permissions.ts";
import type { RemotePortRegistry } from "./remote-port-registry.ts";
import type { Destination } from "./spec.ts";
import { type OpenPort, openStreamPort } from "./stream-port.ts";
import { openUdpPort } from "./udp/udp-port.ts";
import type { ForwardWatcher } from "./watcher.ts";

export interface RemoteForwardRequestsOptions {
  /** Dials the peer that requested the port. */
  readonly dialer: Dialer;
  readonly connections: Connections;
  readonly permissions: Permissions;
  readonly remotePorts: RemotePortRegistry;
  readonly watcher: ForwardWatcher;
}

interface PendingRequest {
  readonly resolve: (port: number) => void;
  readonly reject: (error: Error) => void;
}

/** A port that the peer requested, from the request until it is closed or refused. */
interface Opening {
  readonly requestId: number;
  /** Undefined while the port is being opened. */
  port: OpenPort | undefined;
  /** The request was cancelled or its link has ended. A port that opens later is closed again. */
  isCancelled: boolean;
}

/**
 * Maximum number of ports that one peer may have open here, including those that are still being
 * opened.
 */
const PORTS_LIMIT = 256;

export class RemoteForwardRequests {
  readonly #link: Link;
  readonly #options: RemoteForwardRequestsOptions;
  #nextId = 0;
  /** The destinations of the ports that the peer was asked to open, by request ID. */
  readonly #destinations: Map<number, Destination> = new Map();
  readonly #pendingRequests: Map<number, PendingRequest> = new Map();
  /** The ports that the peer requested and that are open or being opened. */
  readonly #openings: Set<Opening> = new Set();
  /** The peer increments its request IDs, so no ID occurs twice. */
  #lastRequestId = -1;

  constructor(link: Link, options: RemoteForwardRequestsOptions) {
    this.#link = link;
    this.#options = options;
    link.on("record", (type, body) => this.#handleRecord(type, body));
    if (link.closed) this.#end();
    else link.once("close", () => this.#end());
  }

  /** The ports that are open here for the peer. */
  get open(): Address[] {
    return [...this.#openings].flatMap(({ port }) => (port === undefined ? [] : [port.address]));
  }

  /** The destination of the connections of request `requestId`. */
  destinationOf(requestId: number): Destination | undefined {
    return this.#destinations.get(requestId);
  }

  async requestForward(
    bind: Address,
    destination: Destination,
  ): Promise<{ port: number; cancel: () => void }> {
    const requestId = this.#nextId++;
    this.#destinations.set(requestId, destination);
    try {
      const port = await new Promise<number>((resolve, reject) => {
        if (this.#link.destroyed) {
          reject(this.#link.errored ?? new SrudpError("ERR_PEER_RESET"));
          return;
        }
        this.#pendingRequests.set(requestId, { resolve, reject });
        this.#link.sendRecord(FORWARD_RECORD.request, encodeForwardRequest({ requestId, bind }));
      });
      const cancel = (): void => {
        if (!this.#destinations.delete(requestId)) return;
        if (!this.#link.destroyed) this.#link.sendRecord(FORWARD_RECORD.cancel, encodeCancel(requestId));
      };
      return { port, cancel };
    } catch (error) {
      this.#destinations.delete(requestId);
      throw error;
    }
  }

  #handleRecord(type: number, body: Uint8Array): void {
    try {
      if (type === FORWARD_RECORD.request) {
        this.#handleRequest(decodeForwardRequest(body));
      } else if (type === FORWARD_RECORD.reply) {
        const { requestId, port, failure } = decodeForwardReply(body);
        const pending = this.#pendingRequests.get(requestId);
        this.#pendingRequests.delete(requestId);
        if (failure === undefined) pending?.resolve(port);
        else pending?.reject(failure);
      } else if (type === FORWARD_RECORD.cancel) this.#close(decodeCancel(body));
    } catch (error) {
      if (!isRemoteError(error)) throw error;
      this.#link.reset(error.code);
    }
  }

  /** @throws SrudpError ERR_PROTOCOL */
  #handleRequest({ requestId, bind }: ForwardRequest): void {
    if (requestId <= this.#lastRequestId) throw new SrudpError("ERR_PROTOCOL", "request number used again");
    this.#lastRequestId = requestId;
    if (this.#openings.size >= PORTS_LIMIT) {
      const error = new SrudpError("ERR_FORWARD_BIND", `${formatTarget(bind)} (too many ports)`);
      this.#refuse(requestId, bind, error, error);
      return;
    }
    const opening: Opening = { requestId, port: undefined, isCancelled: false };
    this.#openings.add(opening);
    this.#open(opening, bind).catch((fault) => this.#link.fail(fault));
  }

  async #open(opening: Opening, bind: Address): Promise<void> {
    const { permissions, remotePorts } = this.#options;
    const { requestId } = opening;
    try {
      if (!permissions.mayListen(bind)) throw new SrudpError("ERR_TARGET_FORBIDDEN", formatTarget(bind));
      const port = await remotePorts.take(bind, this.#link, () => this.#listen(requestId, bind));
      if (opening.isCancelled) {
        this.#openings.delete(opening);
        remotePorts.release(port);
        return;
      }
      opening.port = port;
      this.#answer(requestId, port.address.kind === "unix" ? 0 : port.address.port);
    } catch (thrown) {
      this.#openings.delete(opening);
      if (!(thrown instanceof SrudpError)) throw thrown;
      if (!opening.isCancelled) this.#refuse(requestId, bind, thrown, failureForPeer(bind, thrown));
    }
  }

  /** @param reported the failure that is reported to the peer */
  #refuse(requestId: number, bind: Address, error: SrudpError, reported: SrudpError): void {
    this.#options.watcher.failed({ by: "peer", what: "port", target: formatTarget(bind), error });
    this.#answer(requestId, 0, reported);
  }

  #answer(requestId: number, port: number, failure?: SrudpError): void {
    if (!this.#link.destroyed)
      this.#link.sendRecord(FORWARD_RECORD.reply, encodeForwardReply({ requestId, port, failure }));
  }

  #listen(requestId: number, bind: Address): Promise<OpenPort> {
    const { dialer, connections, watcher } = this.#options;
    const target = { kind: "requested", requestId } as const;
    if (bind.kind === "udp") return openUdpPort(bind, target, dialer, watcher);
    return openStreamPort(
      bind,
      (socket) => void forwardConnection(socket, target, dialer, connections, watcher),
    );
  }

  #close(requestId: number): void {
    for (const opening of this.#openings) if (opening.requestId === requestId) this.#cancel(opening);
  }

  #cancel(opening: Opening): void {
    opening.isCancelled = true;
    // A port that is still being opened counts against the limit until it is closed.
    if (opening.port === undefined) return;
    this.#openings.delete(opening);
    this.#options.remotePorts.release(opening.port);
  }

  #end(): void {
    for (const opening of this.#openings) this.#cancel(opening);
    const error = this.#link.errored ?? new SrudpError("ERR_PEER_RESET");
    for (const { reject } of this.#pendingRequests.values()) reject(error);
    this.#pendingRequests.clear();
    this.#destinations.clear();
  }
}

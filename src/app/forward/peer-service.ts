/**
 * Serves the forwarded streams of one peer: checks the permission for each target, dials it, and
 * answers.
 */
import { SrudpError } from "../../base/errors.ts";
import {
  type Address,
  decodeHead,
  encodeAnswer,
  formatTarget,
  type Target,
} from "../../link/forward-records.ts";
import type { Stream } from "../../link/stream.ts";
import { processDescriptors, type Release } from "../../platform/descriptor-budget.ts";
import { dial, failureForPeer } from "./dial.ts";
import type { Connections } from "./forward-connection.ts";
import { readPiece } from "./head-reader.ts";
import type { Permissions } from "./permissions/permissions.ts";
import type { RemoteForwardRequests } from "./remote-forward-requests.ts";
import { readSocksRequest } from "./socks.ts";
import { Splice } from "./splice.ts";
import { type PortAddress, TargetFlow } from "./udp/target-association.ts";
import type { FlowOptions, UdpAssociation } from "./udp/udp-association.ts";
import type { ForwardWatcher } from "./watcher.ts";

export interface PeerServiceOptions {
  readonly permissions: Permissions;
  readonly requests: RemoteForwardRequests;
  readonly connections: Connections;
  readonly watcher: ForwardWatcher;
  /** Registers the flow of a UDP stream, so that the link's datagrams reach it. */
  readonly openFlow: (stream: Stream, flow: FlowOptions) => UdpAssociation;
}

export class PeerService {
  readonly #options: PeerServiceOptions;

  constructor(options: PeerServiceOptions) {
    this.#options = options;
  }

  /** Never rejects. Failures are reported to the peer and to the watcher. */
  async serve(stream: Stream): Promise<void> {
    stream.on("error", () => undefined);
    const gone = new AbortController();
    stream.once("close", () => gone.abort(new SrudpError("ERR_PEER_RESET")));
    let target: Target | undefined;
    try {
      target = decodeHead(await readPiece(stream));
      await this.#destination(stream, target, gone.signal);
    } catch (thrown) {
      if (stream.destroyed) return;
      const error =
        thrown instanceof SrudpError ? thrown : new SrudpError("ERR_TARGET_FAILED", String(thrown), thrown);
      if (!(error instanceof RefusalAlreadyReported)) this.#report(target, error);
      stream.end(encodeAnswer(failureForPeer(target, error)));
      // Discards the bytes that the peer has sent in the meantime.
      stream.resume();
    }
  }

  #report(target: Target | undefined, error: SrudpError): void {
    const name = target === undefined ? "?" : formatTarget(target);
    this.#options.watcher.failed({ by: "peer", what: "connection", target: name, error });
  }

  /**
   * Admits a connection to `target`. The caller releases the result once the connection has its
   * socket. @throws RefusalAlreadyReported
   */
  #admit(target: Target): Release {
    const onShort = (): void =>
      this.#report(target, new SrudpError("ERR_DESCRIPTORS", "Connections are refused"));
    const release = processDescriptors.admit(onShort);
    if (release !== undefined) return release;
    const cause = Object.assign(new Error("too few descriptors"), { code: "EMFILE" });
    throw new RefusalAlreadyReported("ERR_TARGET_FAILED", undefined, cause);
  }

  async #destination(stream: Stream, target: Target, signal: AbortSignal): Promise<void> {
    const { requests, permissions } = this.#options;
    if (target.kind !== "requested") {
      await this.#destinationTo(stream, await permissions.dialFor(target, signal), signal);
      return;
    }
    const destination = requests.destinationOf(target.requestId);
    if (destination === undefined || destination.kind === "first")
      throw new SrudpError("ERR_TARGET_FORBIDDEN", formatTarget(target));
    if (destination.kind === "socks") await this.#serveSocks(stream, signal);
    else await this.#destinationTo(stream, destination, signal);
  }

  async #destinationTo(stream: Stream, address: Address, signal: AbortSignal): Promise<void> {
    const release = this.#admit(address);
    try {
      if (address.kind === "udp") {
        await this.#dialUdpDestination(stream, address, release);
        return;
      }
      const socket = await dial(address, signal);
      stream.write(encodeAnswer());
      this.#splice(stream, socket);
    } finally {
      release();
    }
  }

  /**
   * Serves SOCKS on a port of the peer, like `ssh -R` with a port alone. The SOCKS client is at the
   * remote end of the stream.
   */
  async #serveSocks(stream: Stream, signal: AbortSignal): Promise<void> {
    stream.write(encodeAnswer());
    const request = await readSocksRequest(stream);
    if (request === undefined) return;
    const { target } = request;
    let release: Release | undefined;
    try {
      release = this.#admit(target);
      const socket = await dial(target, signal);
      request.accept();
      this.#splice(stream, socket);
    } catch (error) {
      if (!(error instanceof SrudpError) || stream.destroyed) throw error;
      if (!(error instanceof RefusalAlreadyReported)) this.#report(target, error);
      request.refuse(error);
    } finally {
      release?.();
    }
  }

  #splice(stream: Stream, socket: Parameters<Connections["add"]>[0]): void {
    const { connections } = this.#options;
    connections.add(socket);
    new Splice(socket, stream, () => connections.delete(socket)).receive();
  }

  async #dialUdpDestination(stream: Stream, address: PortAddress, release: Release): Promise<void> {
    const { openFlow, watcher } = this.#options;
    const flow = new TargetFlow({
      address,
      openChannel: (options) => openFlow(stream, options),
      onRefused: (error) =>
        watcher.failed({ by: "peer", what: "connection", target: formatTarget(address), error }),
    });
    await flow.run(() => {
      release();
      stream.write(encodeAnswer());
    });
  }
}

/** A refusal that was already reported on this side. The peer still receives each one. */
class RefusalAlreadyReported extends SrudpError {}

/** Serves the forwarded streams of one peer: finds out where each may lead, goes there, and answers. */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { SrudpError } from "../../base/errors.ts";
import { type Address, decodeHead, encodeAnswer, formatTarget, type Target } from "../../net/forward-wire.ts";
import type { Stream } from "../../net/stream.ts";
import type { Asks } from "./asks.ts";
import type { Connections } from "./carry.ts";
import { dial, targetError } from "./dial.ts";
import type { FlowChannel } from "./flow-channel.ts";
import { readPiece } from "./head-reader.ts";
import type { Permissions } from "./permissions.ts";
import { readSocksRequest } from "./socks.ts";
import { Splice } from "./splice.ts";
import { FLOW_IDLE_MS } from "./udp-port.ts";
import type { ForwardWatcher } from "./watcher.ts";

export interface PeerServiceOptions {
  readonly permissions: Permissions;
  readonly asks: Asks;
  readonly connections: Connections;
  readonly watcher: ForwardWatcher;
  /** Makes the flow of a UDP stream known, so that datagrams find it. */
  readonly openFlow: (stream: Stream, deliver: (bytes: Uint8Array) => void) => FlowChannel;
}

/** An address with a host and a port. */
type PortAddress = Exclude<Address, { kind: "unix" }>;

export class PeerService {
  readonly #options: PeerServiceOptions;

  constructor(options: PeerServiceOptions) {
    this.#options = options;
  }

  /** Never rejects: what goes wrong is told to the peer and to the watcher. */
  async serve(stream: Stream): Promise<void> {
    stream.on("error", () => undefined);
    const gone = new AbortController();
    stream.once("close", () => gone.abort(new SrudpError("ERR_PEER_RESET")));
    let target: Target | undefined;
    try {
      target = decodeHead(await readPiece(stream));
      await this.#lead(stream, target, gone.signal);
    } catch (thrown) {
      if (stream.destroyed) return;
      const error =
        thrown instanceof SrudpError ? thrown : new SrudpError("ERR_TARGET_FAILED", String(thrown));
      this.#options.watcher.failed({
        by: "peer",
        what: "connection",
        target: target === undefined ? "?" : formatTarget(target),
        error,
      });
      stream.end(encodeAnswer(error));
      // Whatever the asker has sent meanwhile goes nowhere.
      stream.resume();
    }
  }

  async #lead(stream: Stream, target: Target, signal: AbortSignal): Promise<void> {
    const { asks, permissions } = this.#options;
    if (target.kind !== "asked") {
      await this.#leadTo(stream, await permissions.dialFor(target), signal);
      return;
    }
    const lead = asks.leadOf(target.askId);
    if (lead === undefined || lead.kind === "first")
      throw new SrudpError("ERR_TARGET_FORBIDDEN", formatTarget(target));
    if (lead.kind === "socks") await this.#serveSocks(stream, signal);
    else await this.#leadTo(stream, lead, signal);
  }

  async #leadTo(stream: Stream, address: Address, signal: AbortSignal): Promise<void> {
    if (address.kind === "udp") {
      await this.#leadFlow(stream, address);
      return;
    }
    const socket = await dial(address, signal);
    stream.write(encodeAnswer());
    this.#splice(stream, socket);
  }

  /** The peer's port is a SOCKS proxy whose client is at its other end; it is served from here, as ssh does. */
  async #serveSocks(stream: Stream, signal: AbortSignal): Promise<void> {
    stream.write(encodeAnswer());
    const request = await readSocksRequest(stream);
    if (request === undefined) return;
    const { target } = request;
    try {
      const socket = await dial(target, signal);
      request.accept();
      this.#splice(stream, socket);
    } catch (error) {
      if (!(error instanceof SrudpError) || stream.destroyed) throw error;
      this.#options.watcher.failed({ by: "peer", what: "connection", target: formatTarget(target), error });
      request.refuse(error);
    }
  }

  #splice(stream: Stream, socket: Parameters<Connections["add"]>[0]): void {
    const { connections } = this.#options;
    connections.add(socket);
    new Splice(socket, stream, () => connections.delete(socket)).receive();
  }

  async #leadFlow(stream: Stream, address: PortAddress): Promise<void> {
    const socket = await connectUdp(address);
    const channel = this.#options.openFlow(stream, (bytes) => socket.send(bytes));
    socket.on("message", (bytes) => channel.send(bytes));
    // The target's refusals come as errors; to the flow they are lost datagrams.
    socket.on("error", () => undefined);
    const sweep = setInterval(() => {
      if (performance.now() - channel.lastAtMs >= FLOW_IDLE_MS) channel.close();
    }, FLOW_IDLE_MS);
    sweep.unref();
    stream.once("close", () => {
      clearInterval(sweep);
      socket.close();
    });
    stream.write(encodeAnswer());
    await channel.run();
  }
}

/** A socket that hears nobody but `address`. */
async function connectUdp(address: PortAddress): Promise<UdpSocket> {
  try {
    const { address: host, family } = await lookup(address.host);
    const socket = createSocket(family === 6 ? "udp6" : "udp4");
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.connect(address.port, host, () => {
        socket.off("error", reject);
        resolve();
      });
    });
    return socket;
  } catch (error) {
    throw targetError(address, error as NodeJS.ErrnoException);
  }
}

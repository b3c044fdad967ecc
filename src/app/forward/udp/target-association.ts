/**
 * The target side of one UDP flow. It owns the flow's socket, idle timer and association on the
 * link. All of them are freed exactly once, however the flow ends, and no event handler throws.
 *
 * The addresses of a name are tried in order. UDP has no handshake, so the kernel reports a refusal
 * only after a datagram was sent. The flow then switches to the next address and sends the
 * unanswered datagrams again.
 */
import { createSocket, type Socket } from "node:dgram";
import { isIP } from "node:net";
import type { SrudpError } from "../../../base/errors.ts";
import type { Address } from "../../../link/forward-records.ts";
import { lookUp } from "../../../platform/name-lookup.ts";
import { targetError } from "../dial.ts";
import type { FlowOptions, UdpAssociation } from "./udp-association.ts";

/** A flow without a datagram for this long ends.  // RFC 4787 §4.3: not before two minutes */
export const FLOW_IDLE_MS = 120_000;
/** Maximum total size of the unanswered datagrams that are kept for the next address. */
const MAX_UNANSWERED_BYTES = 16 * 1024;

/** Errors that mean a lost datagram but nothing about the target. */
const LOST: ReadonlySet<string> = new Set(["EMSGSIZE", "ENOBUFS", "ENOMEM", "EAGAIN"]);

/** An address with a host and a port. */
export type PortAddress = Exclude<Address, { kind: "unix" }>;

export interface TargetFlowOptions {
  readonly address: PortAddress;
  /** Registers the flow with the link, so that the peer's datagrams reach it. */
  readonly openChannel: (options: FlowOptions) => UdpAssociation;
  /** The target refused the flow after it had been set up. */
  readonly onRefused: (error: SrudpError) => void;
  /** For tests; default: the system's name look-up. */
  readonly addressesOf?: (host: string) => Promise<readonly TargetAddress[]>;
}

export interface TargetAddress {
  readonly address: string;
  readonly family: number;
}

export class TargetFlow {
  readonly #options: TargetFlowOptions;
  readonly #channel: UdpAssociation;
  readonly #sweep: NodeJS.Timeout;
  /** Addresses that were not tried yet. */
  #untried: TargetAddress[] = [];
  #socket: Socket | undefined;
  #isConnected = false;
  #hasAnswered = false;
  #unanswered: Uint8Array[] = [];
  #unansweredBytes = 0;
  #afterSend: (error: Error | null) => void = () => undefined;
  #isClosed = false;

  constructor(options: TargetFlowOptions) {
    this.#options = options;
    this.#sweep = setInterval(() => {
      if (performance.now() - this.#channel.lastAtMs >= FLOW_IDLE_MS) this.#channel.close();
    }, FLOW_IDLE_MS);
    this.#sweep.unref();
    this.#channel = options.openChannel({
      deliver: (bytes) => this.#deliver(bytes),
      onClose: () => this.#free(),
    });
  }

  /**
   * Forwards datagrams until the flow ends.
   *
   * @param onReached called as soon as a socket is connected
   * @throws SrudpError ERR_TARGET_… before `onReached`
   */
  async run(onReached: () => void): Promise<void> {
    try {
      await this.#resolve();
      await this.#connect();
    } catch (error) {
      // The caller writes an answer before the stream ends.
      this.#free();
      throw error;
    }
    if (this.#isClosed) return;
    onReached();
    await this.#channel.run();
  }

  async #resolve(): Promise<void> {
    const { address, addressesOf = addressesByName } = this.#options;
    try {
      this.#untried = [...(await addressesOf(address.host))];
    } catch (error) {
      throw targetError(address, error as NodeJS.ErrnoException);
    }
  }

  /** Connects to the first address that accepts a connection. @throws SrudpError ERR_TARGET_… */
  async #connect(): Promise<void> {
    const { address } = this.#options;
    let failure: NodeJS.ErrnoException = Object.assign(new Error("no address"), { code: "ENOTFOUND" });
    while (!this.#isClosed) {
      const next = this.#untried.shift();
      if (next === undefined) throw targetError(address, failure);
      const socket = createSocket(next.family === 6 ? "udp6" : "udp4");
      this.#socket = socket;
      const error = await connected(socket, address.port, next.address);
      if (error === undefined && !this.#isClosed) {
        this.#use(socket);
        return;
      }
      // A socket that was closed during its bind may still be open: dgram does not close it if the
      // bind fails.
      closeSocket(socket);
      this.#socket = undefined;
      if (error !== undefined) failure = error;
    }
  }

  #use(socket: Socket): void {
    this.#isConnected = true;
    this.#afterSend = (error) => {
      if (error !== null) this.#handleError(socket, error);
    };
    socket.on("error", (error) => this.#handleError(socket, error));
    socket.on("message", (bytes) => {
      this.#hasAnswered = true;
      this.#unanswered = [];
      this.#channel.send(bytes);
    });
    for (const bytes of this.#unanswered) socket.send(bytes, this.#afterSend);
    if (this.#untried.length === 0) this.#unanswered = [];
  }

  #deliver(bytes: Uint8Array): void {
    const mayBeRepeated = !this.#isConnected || (this.#untried.length > 0 && !this.#hasAnswered);
    if (mayBeRepeated && this.#unansweredBytes + bytes.length <= MAX_UNANSWERED_BYTES) {
      this.#unanswered.push(bytes);
      this.#unansweredBytes += bytes.length;
    }
    // An unconnected socket would throw on a send without an address.
    if (this.#isConnected) this.#socket?.send(bytes, this.#afterSend);
  }

  #handleError(socket: Socket, error: NodeJS.ErrnoException): void {
    if (socket !== this.#socket || LOST.has(error.code ?? "")) return;
    // A temporary network failure does not end a flow that has worked.  // RFC 4787 §10, REQ-12
    if (this.#hasAnswered && error.code !== "ECONNREFUSED") return;
    this.#isConnected = false;
    this.#socket = undefined;
    closeSocket(socket);
    this.#unansweredBytes = this.#unanswered.reduce((sum, { length }) => sum + length, 0);
    const refuse = (refusal: SrudpError): void => {
      if (this.#isClosed) return;
      this.#channel.close(refusal);
      this.#options.onRefused(refusal);
    };
    const refusal = targetError(this.#options.address, error);
    if (this.#untried.length === 0) refuse(refusal);
    else this.#connect().catch(refuse);
  }

  #free(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#sweep);
    if (this.#socket !== undefined) closeSocket(this.#socket);
    this.#socket = undefined;
    this.#isConnected = false;
    this.#unanswered = [];
  }
}

/**
 * Connects `socket`. Resolves with the error, or with undefined once it is connected or was closed
 * meanwhile.
 */
function connected(socket: Socket, port: number, host: string): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    socket.on("error", resolve);
    socket.once("close", () => resolve(undefined));
    try {
      // dgram passes a failure to the callback. It emits an event only if there is no callback.
      socket.connect(port, host, resolve as () => void);
    } catch (error) {
      resolve(error as NodeJS.ErrnoException);
    }
  });
}

/** Closes a socket. dgram throws if the socket is closed already. */
function closeSocket(socket: Socket): void {
  try {
    socket.close();
  } catch {
    // It was closed before.
  }
}

async function addressesByName(host: string): Promise<readonly TargetAddress[]> {
  const found = await lookUp(host);
  return found.map((address) => ({ address, family: isIP(address) }));
}

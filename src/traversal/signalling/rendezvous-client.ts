/**
 * A client's connection to one rendezvous server: by UDP first, to all addresses of the server's
 * name, and by WebSocket 250 ms later, for networks that block UDP. The first answer wins. Without
 * a transport the search continues at growing intervals.
 *
 * The client handles cookies; `MailboxSubscription` and `RelaySocket` make all other messages.
 */
import { randomBytes } from "node:crypto";
import { isIP } from "node:net";
import type { WebSocket } from "ws";
import { copyBytes } from "../../base/bytes.ts";
import { SrudpError } from "../../base/errors.ts";
import { resolveHost } from "../../link/resolve.ts";
import { socketLookup } from "../../platform/name-lookup.ts";
import type { HostAddress } from "../../platform/udp/address.ts";
import { COOKIE_BYTES, decodeReply, encodeRequest, TRANSACTION_BYTES } from "../../wire/mailbox-messages.ts";
import type { RendezvousUrl } from "./rendezvous-url.ts";
import { type SharedSockets, UdpLine } from "./udp-line.ts";

/** UDP's head start over WebSocket. */
const WEBSOCKET_AFTER_MS = 250;
/** Without an answer for so long the failure is reported, and the search continues. */
const TROUBLE_AFTER_MS = 3000;
const HELLO_REPEAT_AFTER_MS = 250;
const GROWTH = 1.5;
const MAX_WAIT_MS = 8000;
/** Addresses of a server's name that are tried. */
const ADDRESSES_LIMIT = 4;
/** How long a WebSocket may take to open. */
const WEBSOCKET_TIMEOUT_MS = 10_000;
const WEBSOCKET_MESSAGE_BYTES = 2048;
/** Limits of what may queue in this process: in a WebSocket, and in a UDP socket. */
const BACKLOG_BYTES = 131_072;
const QUEUED_DATAGRAMS_LIMIT = 64;
/** Bytes of a transaction that are constant for a client; the rest is a counter. */
const PREFIX_BYTES = 6;

export interface RendezvousClientOptions {
  /** Sockets to share; by default the client opens its own. */
  readonly shared?: SharedSockets | undefined;
  /** False: hosts are addresses, and no name is looked up. */
  readonly names?: boolean | undefined;
  /** Only addresses of this family. */
  readonly family?: 4 | 6 | undefined;
  /** UDP is known to be blocked: WebSocket gets no delay. */
  readonly isUdpBlocked?: boolean | undefined;
}

/** How the server is reached. */
interface Transport {
  readonly kind: "udp" | "webSocket";
  readonly cookie: Uint8Array;
  send(bytes: Uint8Array): void;
  /** Whether there is room in the queue for one more message. */
  hasRoom(): boolean;
  /** Whether a UDP message comes from this transport's server. */
  isFrom(address: string, port: number): boolean;
}

export class RendezvousClient {
  readonly url: RendezvousUrl;
  /** Called with each message of the server except cookies; @returns whether the callee expected it. */
  onMessage: ((bytes: Uint8Array) => boolean) | undefined;
  /** Called when a transport is found or changes: unanswered requests are to be repeated. */
  onReady: (() => void) | undefined;
  /** Called once each time that no transport is found. */
  onTrouble: ((error: SrudpError) => void) | undefined;

  /** Called with how far the server's clock is ahead of the local clock. */
  onClock: ((aheadMs: number) => void) | undefined;

  readonly #options: RendezvousClientOptions;
  readonly #prefix: Uint8Array = randomBytes(PREFIX_BYTES);
  #transactions = 0;
  #transport: Transport | undefined;
  #line: UdpLine | undefined;
  #addresses: readonly HostAddress[] = [];
  #webSocket: WebSocket | undefined;
  /** Counts searches: results of an earlier search are ignored. */
  #search = 0;
  #timers: Set<NodeJS.Timeout> = new Set();
  #lastFailure: string | undefined;
  #isReported = false;
  readonly #lookups: AbortController = new AbortController();
  #open = true;

  constructor(url: RendezvousUrl, options: RendezvousClientOptions = {}) {
    this.url = url;
    this.#options = options;
    this.#look();
  }

  get isReady(): boolean {
    return this.#transport !== undefined;
  }

  /** The transport in use; undefined while there is none. */
  get transport(): "udp" | "webSocket" | undefined {
    return this.#transport?.kind;
  }

  /** The cookie that requests have to carry. */
  get cookie(): Uint8Array {
    return this.#transport?.cookie ?? NO_COOKIE;
  }

  /** A fresh transaction; unpredictable to anyone who does not see the requests. */
  newTransaction(): Uint8Array {
    const transaction = new Uint8Array(TRANSACTION_BYTES);
    transaction.set(this.#prefix);
    this.#transactions++;
    transaction[PREFIX_BYTES] = this.#transactions >>> 8;
    transaction[PREFIX_BYTES + 1] = this.#transactions;
    return transaction;
  }

  /** Sends a message; it is lost while there is no transport. */
  send(bytes: Uint8Array): void {
    this.#transport?.send(bytes);
  }

  /** Whether one more message would leave soon; false while there is no transport. */
  get hasRoom(): boolean {
    return this.#transport?.hasRoom() ?? false;
  }

  /** Whether the client's own sockets keep the process running; a WebSocket always does. */
  holdProcess(hold: boolean): void {
    this.#line?.holdProcess(hold);
  }

  /** The server has not answered for a while: searches for a transport again. */
  suspect(): void {
    if (this.#transport !== undefined) this.#look();
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#lookups.abort();
    this.#search++;
    this.#endSearch();
    this.#transport = undefined;
    const socket = this.#webSocket;
    this.#webSocket = undefined;
    // Messages sent last still have to leave.
    if (socket?.readyState === socket?.OPEN) socket?.close();
    else socket?.terminate();
    this.#line?.close();
  }

  #look(): void {
    this.#search++;
    this.#endSearch();
    this.#transport = undefined;
    this.#dropWebSocket();
    if (this.url.scheme === "udp") {
      void this.#lookByUdp(this.#search, HELLO_REPEAT_AFTER_MS);
      const headStartMs = this.#options.isUdpBlocked === true ? 0 : WEBSOCKET_AFTER_MS;
      this.#after(headStartMs, () => void this.#lookByWebSocket(this.#search, HELLO_REPEAT_AFTER_MS));
    } else void this.#lookByWebSocket(this.#search, HELLO_REPEAT_AFTER_MS);
    this.#after(TROUBLE_AFTER_MS, () => this.#reportTrouble());
  }

  async #lookByUdp(search: number, waitMs: number): Promise<void> {
    this.#line ??= this.#newLine();
    const line = this.#line;
    try {
      const { names, family } = this.#options;
      const found = await resolveHost(this.url.host, { names, family, signal: this.#lookups.signal });
      this.#addresses = found.slice(0, ADDRESSES_LIMIT);
    } catch (error) {
      this.#lastFailure = error instanceof SrudpError ? lookupFailure(error) : String(error);
    }
    if (search !== this.#search) return;
    for (const { family } of this.#addresses) await line.prepare(family);
    if (search !== this.#search) return;
    const hello = this.#hello();
    for (const { address, family } of this.#addresses) line.send(hello, family, address, this.url.port);
    this.#after(waitMs, () => void this.#lookByUdp(search, Math.min(waitMs * GROWTH, MAX_WAIT_MS)));
  }

  #hello(): Uint8Array {
    return encodeRequest({ kind: "hello", transaction: this.newTransaction(), wantsTime: true });
  }

  #newLine(): UdpLine {
    const line = new UdpLine(this.#options.shared);
    line.onMessage = (address, port, bytes) => this.#receiveByUdp(line, address, port, bytes);
    return line;
  }

  #receiveByUdp(line: UdpLine, address: string, port: number, bytes: Uint8Array): boolean {
    const transport = this.#transport;
    if (transport !== undefined ? !transport.isFrom(address, port) : !this.#isServer(address, port))
      return false;
    const cookie = this.#cookieIn(bytes);
    // Another client of the same server may share the sockets: a message that this one does not
    // expect may belong to the other.
    if (cookie === undefined) return transport !== undefined && (this.onMessage?.(bytes) ?? false);
    if (transport === undefined || !sameBytes(transport.cookie, cookie)) {
      const family = this.#addresses.find((one) => one.address === address)?.family ?? 4;
      this.#go({
        kind: "udp",
        cookie,
        send: (message) => line.send(message, family, address, port),
        hasRoom: () => line.queuedDatagrams < QUEUED_DATAGRAMS_LIMIT,
        isFrom: (from, fromPort) => from === address && fromPort === port,
      });
    }
    return true;
  }

  async #lookByWebSocket(search: number, waitMs: number): Promise<void> {
    const again = (failure: string): void => {
      this.#lastFailure ??= failure;
      if (search !== this.#search) return;
      this.#after(waitMs, () => void this.#lookByWebSocket(search, Math.min(waitMs * 2, MAX_WAIT_MS)));
    };
    const { names, family } = this.#options;
    if (names === false && isIP(this.url.host) === 0) {
      again("its name may not be looked up");
      return;
    }
    const { WebSocket } = await import("ws");
    if (search !== this.#search || this.#transport !== undefined) return;
    const socket = new WebSocket(this.url.webSocketUrl, {
      perMessageDeflate: false,
      handshakeTimeout: WEBSOCKET_TIMEOUT_MS,
      maxPayload: WEBSOCKET_MESSAGE_BYTES,
      followRedirects: false,
      lookup: socketLookup(this.#lookups.signal),
      ...(family === undefined ? {} : { family }),
    });
    this.#webSocket = socket;
    let wasOpen = false;
    socket.on("error", (error) => {
      if (this.#webSocket === socket) this.#lastFailure = error.message;
    });
    socket.on("open", () => {
      if (search !== this.#search || this.#transport !== undefined) return;
      wasOpen = true;
      this.#go({
        kind: "webSocket",
        cookie: NO_COOKIE,
        send: (message) => socket.send(message),
        hasRoom: () => socket.bufferedAmount <= BACKLOG_BYTES,
        isFrom: () => false,
      });
      // A WebSocket needs no proof of address; the hello asks for the server's time.
      socket.send(this.#hello());
    });
    socket.on("message", (message) => {
      if (this.#webSocket !== socket || !(message instanceof Uint8Array)) return;
      if (this.#cookieIn(message) === undefined) this.onMessage?.(message);
    });
    socket.on("close", () => {
      if (search !== this.#search || this.#webSocket !== socket) return;
      this.#webSocket = undefined;
      if (wasOpen) this.#look();
      else if (this.#transport === undefined) again("it takes no WebSocket");
    });
  }

  #go(transport: Transport): void {
    this.#transport = transport;
    this.#isReported = false;
    this.#lastFailure = undefined;
    this.#endSearch();
    if (transport.kind === "udp") this.#dropWebSocket();
    this.onReady?.();
  }

  #dropWebSocket(): void {
    const socket = this.#webSocket;
    this.#webSocket = undefined;
    socket?.terminate();
  }

  #reportTrouble(): void {
    if (this.#isReported) return;
    this.#isReported = true;
    const reason = this.#lastFailure === undefined ? "" : ` (${this.#lastFailure})`;
    this.onTrouble?.(new SrudpError("ERR_NO_MEETING_PLACE", `${this.url.text} does not answer${reason}`));
  }

  /** The cookie in a reply to a request of this client; undefined in any other message. */
  #cookieIn(bytes: Uint8Array): Uint8Array | undefined {
    const reply = decodeReply(bytes);
    if (reply?.kind !== "cookie" || !sameBytes(reply.transaction.subarray(0, PREFIX_BYTES), this.#prefix)) {
      return undefined;
    }
    if (reply.timeMs !== undefined) this.onClock?.(reply.timeMs - Date.now());
    return copyBytes(reply.cookie);
  }

  #isServer(address: string, port: number): boolean {
    return port === this.url.port && this.#addresses.some((one) => one.address === address);
  }

  #after(ms: number, act: () => void): void {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      act();
    }, ms);
    this.#timers.add(timer);
  }

  #endSearch(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#timers.clear();
  }
}

const NO_COOKIE: Uint8Array = new Uint8Array(COOKIE_BYTES);

function lookupFailure({ cause }: SrudpError): string {
  const isSilent = (cause as NodeJS.ErrnoException | undefined)?.code === "ETIMEOUT";
  return isSilent ? "DNS does not answer" : "its name is not known";
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

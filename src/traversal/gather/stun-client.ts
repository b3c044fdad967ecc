/**
 * Asks STUN servers how they see a socket: one request, repeated until it is answered or timed out.
 *
 * A request has to leave by the very socket whose address is wanted, so the client owns none. It
 * shares the endpoint's sockets by first byte (`route`) and takes datagrams that others receive for
 * it (`take`). Read `../../wire/stun.ts` first; `gatherer.ts` draws the conclusions.
 */
import { randomBytes } from "node:crypto";
import { copyBytes } from "../../base/bytes.ts";
import type { ProtocolHandler } from "../../link/endpoint.ts";
import type { DatagramSocket } from "../../platform/udp/datagram-socket.ts";
import { STUN_FIRST_BYTE_LIMIT } from "../../wire/packet.ts";
import {
  looksLikeStun,
  parseStun,
  STUN_ATTRIBUTE,
  STUN_CLASS,
  STUN_METHOD,
  STUN_TRANSACTION_ID_BYTES,
  type StunMessage,
  StunWriter,
} from "../../wire/stun.ts";

/** Shares sockets by the first byte of received datagrams: the endpoint. */
export interface RouteHost {
  route(minFirstByte: number, maxFirstByte: number, handle: ProtocolHandler): () => void;
}

/** The answer, its source (CHANGE-REQUEST asks for another one), and its delay after the last request. */
export interface StunReply {
  readonly message: StunMessage;
  readonly address: string;
  readonly port: number;
  readonly rttMs: number;
}

export interface ForwardRequestOptions {
  /** Bits of STUN_CHANGE: the source wanted for the answer. */
  readonly change?: number;
  /** Deadline. Default 3 s. */
  readonly waitMs?: number;
}

/**
 * When a request is repeated, ms after the first. Deviates from RFC 8489 §6.2.1, which begins with
 * 500 ms and ends after 39.5 s: gathering ends after 3 s, several servers are asked the same, and a
 * request has only 20 bytes.
 */
const REPEAT_AFTER_MS: readonly number[] = [200, 600, 1400];
/** How long to wait for answers; the end of gathering. */
export const STUN_WAIT_MS = 3000;
/** First bytes of STUN messages.  // RFC 7983 §7 */
const FIRST_BYTES = { low: 0, high: STUN_FIRST_BYTE_LIMIT - 1 } as const;

interface Pending {
  readonly socket: DatagramSocket;
  readonly settle: (reply: StunReply | undefined) => void;
  timer: NodeJS.Timeout;
  sentAtMs: number;
}

export class StunClient {
  readonly #pending: Map<string, Pending> = new Map();
  readonly #unroute: () => void;
  #open = true;

  constructor(host: RouteHost) {
    this.#unroute = host.route(FIRST_BYTES.low, FIRST_BYTES.high, (_now, from, bytes) =>
      this.take(from.socket, from.address, from.port, bytes),
    );
  }

  /**
   * The answer to a binding request, which may be an error; undefined when none arrived in time.
   *
   * @param address of the socket's family
   */
  ask(
    socket: DatagramSocket,
    address: string,
    port: number,
    options: ForwardRequestOptions = {},
  ): Promise<StunReply | undefined> {
    const { change, waitMs = STUN_WAIT_MS } = options;
    const writer = newRequest();
    if (change !== undefined) writer.u32(STUN_ATTRIBUTE.changeRequest, change);
    return this.#exchange(writer, socket, socket, address, port, waitMs);
  }

  /**
   * Whether a packet from `from` to the public address of `to` arrives there: both are behind the
   * same NAT, which then hairpins.
   */
  async askHairpin(
    from: DatagramSocket,
    to: DatagramSocket,
    address: string,
    port: number,
    waitMs: number,
  ): Promise<boolean> {
    const reply = await this.#exchange(newRequest(), from, to, address, port, waitMs);
    return reply?.message.class === STUN_CLASS.request;
  }

  /** Takes a datagram that arrived on `socket`; false when it answers no request. */
  take(socket: DatagramSocket, address: string, port: number, bytes: Uint8Array): boolean {
    if (this.#pending.size === 0 || !looksLikeStun(bytes)) return false;
    const key = keyOf(bytes.subarray(8, 8 + STUN_TRANSACTION_ID_BYTES));
    const pending = this.#pending.get(key);
    if (pending === undefined || pending.socket !== socket) return false;
    // Copied: the caller reads it later, when the socket's buffer has been reused.
    const message = parseStun(copyBytes(bytes));
    if (message === undefined || message.method !== STUN_METHOD.binding) return false;
    if (message.class === STUN_CLASS.indication) return false;
    this.#settle(key, { message, address, port, rttMs: performance.now() - pending.sentAtMs });
    return true;
  }

  /** Gives up all requests; each answer is undefined then. */
  close(): void {
    this.#open = false;
    this.#unroute();
    for (const key of [...this.#pending.keys()]) this.#settle(key, undefined);
  }

  #exchange(
    writer: StunWriter,
    from: DatagramSocket,
    answeredAt: DatagramSocket,
    address: string,
    port: number,
    waitMs: number,
  ): Promise<StunReply | undefined> {
    if (!this.#open) return Promise.resolve(undefined);
    const bytes = writer.finish();
    const key = keyOf(writer.transactionId);
    const startMs = performance.now();
    return new Promise((resolve) => {
      const send = (round: number): void => {
        const nextMs = REPEAT_AFTER_MS[round] ?? Number.POSITIVE_INFINITY;
        const isLast = nextMs >= waitMs;
        pending.sentAtMs = performance.now();
        pending.timer = setTimeout(
          () => (isLast ? this.#settle(key, undefined) : send(round + 1)),
          startMs + Math.min(nextMs, waitMs) - pending.sentAtMs,
        );
        from.send(bytes, address, port);
      };
      const pending: Pending = {
        socket: answeredAt,
        settle: resolve,
        timer: setTimeout(() => undefined, 0),
        sentAtMs: startMs,
      };
      clearTimeout(pending.timer);
      this.#pending.set(key, pending);
      send(0);
    });
  }

  #settle(key: string, reply: StunReply | undefined): void {
    const pending = this.#pending.get(key);
    if (pending === undefined) return;
    this.#pending.delete(key);
    clearTimeout(pending.timer);
    pending.settle(reply);
  }
}

function newRequest(): StunWriter {
  return new StunWriter(
    STUN_METHOD.binding,
    STUN_CLASS.request,
    new Uint8Array(randomBytes(STUN_TRANSACTION_ID_BYTES)),
  );
}

function keyOf(transactionId: Uint8Array): string {
  return Buffer.from(transactionId.buffer, transactionId.byteOffset, transactionId.length).toString("latin1");
}

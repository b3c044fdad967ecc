/**
 * One end of a connection that a rendezvous server relays: a datagram socket with one address behind it, the
 * peer's end in the same room. What goes through is sealed end to end; the server sees sizes and times.
 *
 * The end is asked for again every 15 s, and at once when nothing comes back, so that the server learns of a
 * changed address or NAT mapping within a second or two.
 */
import { copyBytes, equalBytes } from "../../base/bytes.ts";
import { SrudpError } from "../../base/errors.ts";
import type { RemoteAddress } from "../../platform/udp/address.ts";
import type { DatagramHandler, DatagramSocket } from "../../platform/udp/datagram-socket.ts";
import {
  decodeReply,
  encodeRequest,
  isRelayed,
  REFUSAL,
  RELAY_HEAD_BYTES,
  type RelayState,
  sessionOfRelayed,
  writeRelayHead,
} from "../../wire/mailbox-messages.ts";
import type { RendezvousPoint, SignallingRole } from "../signalling/channel.ts";
import { RendezvousClient, type RendezvousClientOptions } from "../signalling/rendezvous-client.ts";
import { roomOfPoint } from "../signalling/rendezvous-point.ts";
import { parseRendezvousUrl } from "../signalling/rendezvous-url.ts";
import { RetriedRequest } from "../signalling/retried-request.ts";

/** The peer's address behind every relay; paths tell relays apart by their sockets. */
export const RELAY_ADDRESS: RemoteAddress = { address: "relay", port: 1, family: 4 };

/** While something is sent and nothing comes for so long, the server may know an old address. */
const SUSPECT_AFTER_MS = 1500;

export interface RelayOptions extends RendezvousClientOptions {
  /** Gives up asking, with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Gets an end of the relay's room that goes with a place. The peer may not be there yet: what is sent to it
 * until then is lost.
 *
 * @param url of the rendezvous server, as `udp://host:3478`
 * @throws SrudpError ERR_RELAY_REFUSED when the server relays nothing (more), ERR_NO_MEETING_PLACE when it does
 *   not answer for 3 s
 */
export function openRelay(
  url: string,
  point: RendezvousPoint,
  side: SignallingRole,
  options: RelayOptions = {},
): Promise<RelaySocket> {
  const { signal } = options;
  return new Promise((resolve, reject) => {
    const fail = (error: unknown): void => {
      signal?.removeEventListener("abort", onAbort);
      socket.close();
      reject(error);
    };
    const onAbort = (): void => fail(signal?.reason);
    const socket = new RelaySocket(url, point, side, options, fail, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve(socket);
    });
    if (signal?.aborted) onAbort();
    else signal?.addEventListener("abort", onAbort, { once: true });
  });
}

export class RelaySocket implements DatagramSocket {
  readonly kind = "relay";
  readonly family = 4;
  readonly local: RemoteAddress = RELAY_ADDRESS;
  readonly url: string;
  index = 0;
  onDatagram: DatagramHandler | undefined;
  onSent: (() => void) | undefined;
  /** Told when the relay ends what it had begun: its quota is used up. */
  onEnded: ((error: SrudpError) => void) | undefined;
  /** Datagrams that found no room on their way to the relay. */
  dropped = 0;

  readonly #channel: RendezvousClient;
  readonly #retriedRequest: RetriedRequest;
  readonly #room: Uint8Array;
  readonly #side: 0 | 1;
  readonly #onFailed: (error: SrudpError) => void;
  readonly #onGranted: () => void;
  #session: Uint8Array | undefined;
  #rateBytes = 0;
  #isPeerPresent = false;
  #lastReceivedAtMs = 0;
  #askedAtMs = 0;
  #open = true;

  /** For `openRelay`, which waits for the first grant. */
  constructor(
    url: string,
    point: RendezvousPoint,
    side: SignallingRole,
    options: RendezvousClientOptions,
    onFailed: (error: SrudpError) => void,
    onGranted: () => void,
  ) {
    this.#room = roomOfPoint(point);
    this.#side = side === "initiator" ? 0 : 1;
    this.#onFailed = onFailed;
    this.#onGranted = onGranted;
    const parsed = parseRendezvousUrl(url);
    this.url = parsed.text;
    // By a socket of its own: what is relayed has nothing to do with the mappings of the endpoint's.
    this.#channel = new RendezvousClient(parsed, { ...options, shared: undefined });
    this.#retriedRequest = new RetriedRequest(this.#channel, () => this.#ask());
    this.#channel.onReady = () => this.#retriedRequest.begin();
    this.#channel.onMessage = (bytes) => this.#receive(bytes);
    this.#channel.onTrouble = (error) => {
      // Later on the link itself notices, and may well have another path.
      if (this.#session === undefined) this.#onFailed(error);
    };
  }

  /** Whether the peer has taken its end, as far as the server has told. */
  get isPeerPresent(): boolean {
    return this.#isPeerPresent;
  }

  /** What the relay carries each way, bytes a second. */
  get rateBytes(): number {
    return this.#rateBytes;
  }

  /** How the relay is reached; undefined while it is not. */
  get transport(): "udp" | "webSocket" | undefined {
    return this.#channel.transport;
  }

  send(bytes: Uint8Array): void {
    const session = this.#session;
    if (session === undefined || !this.#open) return;
    if (!this.#channel.hasRoom) {
      this.dropped++;
      return;
    }
    // A copy, because of the head, and because what carries it may hold on to it.
    const relayed = new Uint8Array(RELAY_HEAD_BYTES + bytes.length);
    writeRelayHead(relayed, session);
    relayed.set(bytes, RELAY_HEAD_BYTES);
    this.#channel.send(relayed);
    const now = performance.now();
    if (now - this.#lastReceivedAtMs > SUSPECT_AFTER_MS && now - this.#askedAtMs > SUSPECT_AFTER_MS)
      this.#retriedRequest.ask();
  }

  sendLast(bytes: Uint8Array): void {
    this.send(bytes);
    // Behind the caller, as a socket would tell it.
    setImmediate(() => this.onSent?.());
  }

  /** A relay cannot let a datagram die on the way: nothing is sent. */
  sendWithTtl(): void {}

  /** Always none: what finds no room is dropped, as at any bottleneck, and congestion control finds out. */
  get queuedDatagrams(): number {
    return 0;
  }

  holdProcess(hold: boolean): void {
    this.#channel.holdProcess(hold);
    this.#retriedRequest.holdProcess(hold);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#retriedRequest.end();
    this.onDatagram = undefined;
    this.onSent = undefined;
    if (this.#session !== undefined) this.#channel.send(encodeRequest(this.#request("relayClose")));
    this.#channel.close();
  }

  #request(kind: "relayOpen" | "relayClose") {
    return {
      kind,
      transaction: this.#channel.newTransaction(),
      cookie: this.#channel.cookie,
      point: this.#room,
      side: this.#side,
    };
  }

  #ask(): void {
    this.#askedAtMs = performance.now();
    this.#channel.send(encodeRequest(this.#request("relayOpen")));
  }

  /** @returns whether it was for this end */
  #receive(bytes: Uint8Array): boolean {
    if (!this.#open) return false;
    if (isRelayed(bytes)) {
      if (this.#session === undefined || !equalBytes(sessionOfRelayed(bytes), this.#session)) return false;
      this.#lastReceivedAtMs = performance.now();
      this.onDatagram?.(this, RELAY_ADDRESS.address, RELAY_ADDRESS.port, bytes.subarray(RELAY_HEAD_BYTES));
      return true;
    }
    const reply = decodeReply(bytes);
    if (reply === undefined || reply.kind === "cookie" || reply.side !== this.#side) return false;
    if (!equalBytes(reply.point, this.#room)) return false;
    if (reply.kind === "relayState") this.#take(reply);
    else if (reply.kind === "refused") this.#handleRefused(reply.reason);
    return true;
  }

  #take(state: RelayState): void {
    const isFirst = this.#session === undefined;
    this.#session = copyBytes(state.session);
    this.#rateBytes = state.rateBytes;
    this.#isPeerPresent = state.isPeerPresent;
    this.#retriedRequest.settle();
    if (isFirst) this.#onGranted();
  }

  #handleRefused(reason: number): void {
    const detail = `${this.url} (${REASONS[reason] ?? "no reason given"})`;
    const error = new SrudpError("ERR_RELAY_REFUSED", detail);
    if (this.#session === undefined) this.#onFailed(error);
    else if (reason === REFUSAL.quota) {
      this.#retriedRequest.end();
      this.onEnded?.(error);
    } else {
      // The address has changed and the new one may not have the end yet: it is asked for again.
      this.#retriedRequest.postpone();
    }
  }
}

const REASONS: Readonly<Record<number, string>> = {
  [REFUSAL.full]: "it is full",
  [REFUSAL.tooMany]: "too many from this address",
  [REFUSAL.noRelay]: "it relays nothing",
  [REFUSAL.quota]: "its quota is used up",
};

/**
 * One end of a connection relayed by a rendezvous server: a datagram socket with a single remote
 * address, the peer's end in the same room. Datagrams are sealed end to end; the server sees sizes
 * and times.
 *
 * The end is requested again every 15 s, and at once when no packets come back, so that the server
 * learns of a changed address or NAT mapping within a second or two.
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

/** While packets are sent and none arrive for so long, the server may have an outdated address. */
const SUSPECT_AFTER_MS = 1500;

export interface RelayOptions extends RendezvousClientOptions {
  /** Gives up with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Opens an end of the relay room that belongs to a rendezvous point. Until the peer opens its end,
 * datagrams to it are lost.
 *
 * @param url of the rendezvous server, as `udp://host:3478`
 * @throws SrudpError ERR_RELAY_REFUSED when the server relays nothing (more), ERR_NO_MEETING_PLACE
 * when it does not answer for 3 s
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
  /** Called when the relay ends the connection because its quota is exhausted. */
  onEnded: ((error: SrudpError) => void) | undefined;
  /** Datagrams dropped for want of room on the way to the relay. */
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
    // Its own socket: relayed traffic is independent of the mappings of the endpoint's sockets.
    this.#channel = new RendezvousClient(parsed, { ...options, shared: undefined });
    this.#retriedRequest = new RetriedRequest(this.#channel, () => this.#ask());
    this.#channel.onReady = () => this.#retriedRequest.begin();
    this.#channel.onMessage = (bytes) => this.#receive(bytes);
    this.#channel.onTrouble = (error) => {
      // Later the link itself notices a failure and may have another path.
      if (this.#session === undefined) this.#onFailed(error);
    };
  }

  /** Whether the peer has opened its end, as last reported by the server. */
  get isPeerPresent(): boolean {
    return this.#isPeerPresent;
  }

  /** The relay's rate limit in each direction, bytes a second. */
  get rateBytes(): number {
    return this.#rateBytes;
  }

  /** The transport to the relay; undefined while there is none. */
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
    // Copied, to add the header and because the transport may keep it.
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
    // Deferred, as a socket would report it.
    setImmediate(() => this.onSent?.());
  }

  /** A relay cannot drop a datagram by TTL: nothing is sent. */
  sendWithTtl(): void {}

  /** Always 0: datagrams without room are dropped, as at any bottleneck, and congestion control reacts. */
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

  /** @returns whether the reply was for this end */
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
      // The address has changed, and the server may not know the new one yet: the end is requested
      // again.
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

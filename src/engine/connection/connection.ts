/**
 * One connection to one peer, as a state machine that has no sockets, clocks or source of
 * randomness.
 *
 * Its methods are of four kinds: plain getters; inputs (`handleDatagram`, `handleTimeout`);
 * commands of the application; outputs (`pollTransmit`, `pollTimeout`, `pollEvent`). After every
 * input or command the caller drains the outputs in that order. `now` is monotonic milliseconds and
 * never goes back. The same inputs and the same random bytes produce the same bytes.
 *
 * Phases: handshaking → established → closing (the local side ended it) or draining (the peer did)
 * → closed.
 * Read first: RFC 9000 §5, §10; handshake.ts for the key agreement; established.ts for the parts of
 * an established link.
 */
import { copyBytes, utf8Encode } from "../../base/bytes.ts";
import {
  ERRORS,
  errorReceivedAs,
  errorSentAs,
  isRemoteError,
  SrudpError,
  wireCodeOf,
} from "../../base/errors.ts";
import { DATAGRAM_FLOOR_BYTES, type Path } from "../../base/path.ts";
import { exportedSecret } from "../../crypto/exported-secret.ts";
import { packetEnd } from "../../wire/datagram.ts";
import { CLOSE_REASON_BYTES } from "../../wire/frames.ts";
import { kindOf, PACKET_DATA } from "../../wire/packet.ts";
import type { Handshake, HandshakeKeys, Role } from "../handshake/handshake.ts";
import { HandshakeRoute } from "../handshake/handshake-route.ts";
import { ReceivedPackets } from "../recovery/received-packets.ts";
import { type FrameOwner, Recovery } from "../recovery/recovery.ts";
import { RECORD } from "../recovery/sent-packets.ts";
import type { SendStream } from "../streams/send-stream.ts";
import { PRIORITY, Streams } from "../streams/streams.ts";
import { Closing } from "./closing.ts";
import type {
  CloseCause,
  ConnectionConfig,
  ConnectionState,
  ConnectionStats,
  Transmit,
} from "./connection-types.ts";
import { Datagrams } from "./datagrams.ts";
import { Established, newController } from "./established.ts";
import { type ConnectionEvent, EVENT, EventQueue } from "./events.ts";
import type { CloseFrame } from "./incoming.ts";
import { TIMER, TimerTable } from "./timers.ts";
import type { DropReason, Tracer } from "./tracer.ts";
import { decodeParameters, type TransportParameters } from "./transport-parameters.ts";

export { PRIORITY } from "../streams/streams.ts";
export type {
  CloseCause,
  ConnectionConfig,
  ConnectionState,
  ConnectionStats,
  Transmit,
} from "./connection-types.ts";
export { type ConnectionEvent, EVENT } from "./events.ts";

/**
 * A responder gives up a handshake after this time. It is long because the initiator may be waiting
 * for its user.
 */
const HALF_OPEN_MS = 120_000;
/** Handshake round trips above this are not used as an estimate. */
const MAX_HANDSHAKE_RTT_MS = 3000;
/** Number of consecutive probe timeouts that jitter cannot explain. */
const OVERDUE_PTOS = 2;
/**
 * Data packets that arrive before the end of the handshake are buffered: how many, and how long
 * each may be. They are not authenticated yet. An honest peer begins with packets of
 * DATAGRAM_FLOOR_BYTES.
 */
const EARLY_PACKETS_LIMIT = 8;
const EARLY_PACKET_MAX_BYTES = 1500;

type Phase =
  | { readonly kind: "handshaking" }
  | { readonly kind: "established"; readonly link: Established }
  | {
      readonly kind: "closing" | "draining";
      readonly link: Established;
      readonly closing: Closing;
      readonly cause: CloseCause;
    }
  /** `link` is undefined if the handshake failed. */
  | { readonly kind: "closed"; readonly link: Established | undefined; readonly cause: CloseCause };

export class Connection implements FrameOwner {
  private readonly config: ConnectionConfig;
  private readonly tracer: Tracer | undefined;
  private readonly handshake: Handshake;
  private readonly route: HandshakeRoute;
  private readonly events: EventQueue = new EventQueue();
  private readonly streams: Streams;
  private readonly datagrams: Datagrams = new Datagrams();
  private readonly received: ReceivedPackets = new ReceivedPackets();
  private readonly recovery: Recovery;
  private readonly timers: TimerTable = new TimerTable();
  private phase: Phase = { kind: "handshaking" };
  /** The path over which the last valid packet of the handshake arrived. */
  private handshakePath: Path | undefined;
  private isPeerOffered = false;
  private isConfirmed = false;
  private early: { path: Path; bytes: Uint8Array }[] = [];

  private readonly startedAtMs: number;
  private receivedBytes = 0;
  /** Datagrams without a valid packet, or that arrived before there were keys. */
  private droppedPackets = 0;

  constructor(nowMs: number, config: ConnectionConfig) {
    this.config = config;
    this.tracer = config.tracer;
    this.handshake = config.handshake;
    this.route = new HandshakeRoute(nowMs, config.handshake, config.paths);
    this.streams = new Streams(this.events, config.parameters);
    this.recovery = new Recovery(this, newController(config), config.firstPacketNumber ?? 0, config.tracer);
    this.startedAtMs = nowMs;
  }

  // ------------------------------------------------------------------ getters

  get state(): ConnectionState {
    return this.phase.kind;
  }

  /** Why the connection ended; undefined until it ends. */
  get closeCause(): CloseCause | undefined {
    const { phase } = this;
    return phase.kind === "handshaking" || phase.kind === "established" ? undefined : phase.cause;
  }

  get role(): Role {
    return this.handshake.role;
  }

  /** The local connection ID of the handshake. */
  get connectionId(): Uint8Array {
    return this.config.connectionId;
  }

  /** All IDs that packets for this connection may contain; `idsChanged` reports changes. */
  get connectionIds(): readonly Uint8Array[] {
    return this.link?.parts.ids.localIds ?? [this.config.connectionId];
  }

  /** Where packets are sent; undefined until the peer has answered. */
  get path(): Path | undefined {
    return this.link?.path ?? this.handshakePath;
  }

  /** Whether the path in use carries packets, as far as is known. */
  get isPathAlive(): boolean {
    return this.link?.life.state === "alive";
  }

  /** How long the peer has been silent, ms. */
  silentForMs(nowMs: number): number {
    return this.link?.silentForMs(nowMs) ?? 0;
  }

  /**
   * How long the peer has been silent if it has not answered probes, ms; 0 while no answer is
   * overdue.
   */
  overdueMs(nowMs: number): number {
    return this.recovery.ptoCount < OVERDUE_PTOS ? 0 : this.silentForMs(nowMs);
  }

  /** The result of the handshake; undefined until it is done. */
  get peer(): HandshakeKeys | undefined {
    return this.handshake.keys;
  }

  /** Epoch of the keys in use. */
  get epoch(): number {
    return this.link?.parts.keys.epoch ?? 0;
  }

  /** The largest datagram that sendDatagram() accepts on the present path. */
  get maxDatagramBytes(): number {
    return this.link?.transmission.maxDatagramBytes ?? 0;
  }

  /** Bytes buffered for the application and for the peer, streams only. */
  get bufferedBytes(): { sending: number; receiving: number } {
    return this.streams.bufferedBytes;
  }

  get stats(): ConnectionStats {
    const { recovery, link } = this;
    const { rtt, controller } = recovery;
    return {
      sentPackets: link?.transmission.sentPackets ?? 0,
      receivedPackets: link?.incoming.receivedPackets ?? 0,
      droppedPackets: this.droppedPackets + (link?.incoming.droppedPackets ?? 0),
      lostPackets: recovery.lostPackets,
      spuriousLosses: recovery.spuriousLosses,
      sentBytes: link?.transmission.sentBytes ?? 0,
      receivedBytes: this.receivedBytes,
      retransmittedBytes: this.streams.retransmittedBytes,
      rttMs: rtt.smoothedMs,
      minRttMs: rtt.minMs,
      rttVarMs: rtt.rttVarMs,
      congestionWindowBytes: controller.congestionWindowBytes,
      bytesInFlight: recovery.bytesInFlight,
      pacingRate: controller.pacingRate,
      mtuBytes: link?.transmission.datagramBytes ?? DATAGRAM_FLOOR_BYTES,
      congestionPhase: controller.phase,
    };
  }

  // ------------------------------------------------------------------ inputs

  /**
   * Handles a datagram. Its packets are opened in place. Junk is counted and changes nothing else.
   */
  handleDatagram(nowMs: number, path: Path, bytes: Uint8Array): void {
    this.receivedBytes += bytes.length;
    if (this.phase.kind === "closed") return;
    this.streams.nowMs = nowMs;
    this.streams.rttMs = this.recovery.rtt.smoothedMs;
    let at = 0;
    while (at < bytes.length) {
      const end = packetEnd(bytes, at);
      if (end < 0) break;
      if (kindOf(bytes[at]!) === PACKET_DATA) this.handleDataPacket(nowMs, path, bytes, at, end);
      else this.handleHandshakePacket(nowMs, path, bytes.subarray(at, end));
      at = end;
    }
    if (at < bytes.length) this.drop(nowMs, bytes.length - at, "invalid");
  }

  /**
   * Handles the timers that have expired. A call before the time of `pollTimeout` has no effect.
   */
  handleTimeout(nowMs: number): void {
    this.streams.nowMs = nowMs;
    const { phase } = this;
    switch (phase.kind) {
      case "closed":
        return;
      case "closing":
      case "draining": {
        const { link, closing, cause } = phase;
        closing.handleTimeout(nowMs);
        if (nowMs < closing.endsAtMs) return;
        this.phase = { kind: "closed", link, cause };
        if (this.tracer !== undefined) this.tracer.ended(nowMs);
        return;
      }
      case "handshaking":
        this.route.handleTimeout(nowMs);
        this.afterHandshake(nowMs);
        if (this.role === "responder" && nowMs >= this.startedAtMs + HALF_OPEN_MS) {
          this.end(nowMs, { origin: "network", code: "ERR_TIMEOUT", errorCode: 0, reason: "half-open" });
        }
        return;
      case "established":
        this.route.handleTimeout(nowMs);
        if (!phase.link.isIdle(nowMs)) phase.link.handleTimeout(nowMs);
        else this.end(nowMs, { origin: "network", code: "ERR_LINK_LOST", errorCode: 0, reason: "silence" });
    }
  }

  /** The machine has slept, or its network has changed: the path is validated again at once. */
  handleWake(nowMs: number): void {
    if (this.phase.kind === "established") this.phase.link.onWake(nowMs);
  }

  /** Initiator, before the peer has answered: adds a path to try. */
  addPath(path: Path): void {
    if (this.phase.kind === "handshaking") this.route.addCandidate(path);
  }

  /** Like `addPath`, for a path of last resort: packets are sent to the other paths first. */
  addSecondaryPath(path: Path): void {
    if (this.phase.kind === "handshaking") this.route.addSecondary(path);
  }

  /** Initiator, before the peer has answered: removes the paths of a socket. */
  dropPaths(socket: number): void {
    this.route.dropCandidates(socket);
  }

  // ------------------------------------------------------------------ outputs

  /** Fills `into` with the next datagrams to send; false if there are none. */
  pollTransmit(nowMs: number, into: Transmit): boolean {
    if (this.route.pollTransmit(nowMs, into)) {
      if (this.tracer !== undefined) this.tracer.handshakeSent(nowMs, into.path, into.buffer, into.length);
      return true;
    }
    const { phase } = this;
    if (phase.kind === "handshaking" || phase.kind === "closed") return false;
    const { transmission, path } = phase.link;
    into.path = path;
    if (phase.kind !== "established") return this.transmitClose(nowMs, phase, into);
    if (transmission.tooManyUnacked) {
      this.fail(nowMs, new SrudpError("ERR_PROTOCOL", "nothing is acknowledged"));
      return this.pollTransmit(nowMs, into);
    }
    if (transmission.isExhausted) {
      this.close(nowMs, wireCodeOf("ERR_INTERNAL"), "packet numbers are used up");
      return this.pollTransmit(nowMs, into);
    }
    const other = transmission.fillOther(nowMs, into.buffer);
    if (other !== undefined) {
      into.path = other.path;
      into.length = other.length;
      into.segmentBytes = other.length;
      return true;
    }
    into.length = transmission.fill(nowMs, into.buffer);
    into.segmentBytes = transmission.segmentBytes;
    return into.length > 0;
  }

  /** When to call handleTimeout(); Infinity for never. */
  pollTimeout(): number {
    const { phase, timers } = this;
    timers.stopAll();
    switch (phase.kind) {
      case "closed":
        break;
      case "closing":
      case "draining":
        timers.set(TIMER.closing, phase.closing.timeoutAt);
        break;
      case "handshaking":
        timers.set(TIMER.handshake, this.route.timeoutAt);
        if (this.role === "responder") timers.set(TIMER.halfOpen, this.startedAtMs + HALF_OPEN_MS);
        break;
      case "established":
        timers.set(TIMER.handshake, this.route.timeoutAt);
        phase.link.setTimers(timers, this.streams.nowMs);
    }
    return timers.next();
  }

  /** Moves the oldest event into `into`; false if there is none. */
  pollEvent(into: ConnectionEvent): boolean {
    if (!this.events.poll(into)) return false;
    if (into.kind === EVENT.streamReset) this.streams.onResetPolled(into.streamId);
    return true;
  }

  // ------------------------------------------------------------------ commands

  /** Opens a stream and returns its ID; −1 if the peer allows no more at present. */
  openStream(priority: number = PRIORITY.normal): number {
    return this.streams.openStream(priority);
  }

  /**
   * Queues `bytes` on a stream. They may not change until acknowledged. False if the writer should
   * wait for the `writable` event.
   */
  write(streamId: number, bytes: Uint8Array): boolean {
    return this.streams.write(streamId, bytes);
  }

  /** Ends the sending half of a stream after everything written to it. */
  finish(streamId: number): void {
    this.streams.finish(streamId);
  }

  /** Abandons the sending half of a stream: data that has not arrived is not sent again. */
  reset(streamId: number, errorCode: number): void {
    this.streams.reset(streamId, errorCode);
  }

  /** Abandons both halves of a stream once the peer has received everything written to it. */
  breakOff(streamId: number, errorCode: number): void {
    this.streams.breakOff(streamId, errorCode);
  }

  /** Asks the peer to stop sending on a stream, and drops its buffered data. */
  stopSending(streamId: number, errorCode: number): void {
    this.streams.stopSending(streamId, errorCode);
  }

  /**
   * The next bytes of a stream, as a view that is valid until recycled. Grants the peer the same
   * amount of credit.
   */
  read(streamId: number): Uint8Array | undefined {
    return this.streams.read(streamId);
  }

  /** Takes back `bytes` from read(), and all bytes read before them on the same stream. */
  recycle(bytes: Uint8Array): void {
    this.streams.recycle(bytes);
  }

  /** Whether the peer ended the stream and all of it was read. */
  readFinished(streamId: number): boolean {
    return this.streams.readFinished(streamId);
  }

  /**
   * Queues one unreliable datagram; false if too many are queued. Throws RangeError beyond
   * `maxDatagramBytes`.
   */
  sendDatagram(bytes: Uint8Array): boolean {
    if (bytes.length > this.maxDatagramBytes) throw new RangeError(`datagram of ${bytes.length} bytes`);
    return this.datagrams.send(bytes);
  }

  readDatagram(): Uint8Array | undefined {
    return this.datagrams.read();
  }

  /** Requests an acknowledgement from the peer. */
  ping(): void {
    if (this.phase.kind === "established") this.phase.link.ping();
  }

  /**
   * Validates `path` without moving to it: the event `pathValidated` follows or, after some
   * seconds, `pathFailed`. Paths are compared by identity.
   */
  probePath(nowMs: number, path: Path): void {
    if (this.phase.kind === "established") this.phase.link.probePath(nowMs, path);
  }

  /**
   * Moves to `path`; false if it has not answered a probe in the last minute. The peer follows with
   * the next packet, and both sides measure the path anew.
   */
  usePath(nowMs: number, path: Path): boolean {
    return this.phase.kind === "established" && this.phase.link.usePath(nowMs, path);
  }

  /**
   * A secret of `byteLength` bytes that only the peer also derives, from the same `label`.
   * Undefined until the handshake is done.
   */
  exportSecret(label: string, byteLength = 32): Uint8Array | undefined {
    const secret = this.handshake.keys?.exporterSecret;
    return secret && exportedSecret(secret, label, byteLength);
  }

  /** Accepts or refuses the key of the event `peerOffered`. */
  answerPeer(nowMs: number, accepted: boolean): void {
    this.handshake.answerPeer(nowMs, accepted);
    this.route.onHandshakeChanged(nowMs);
    this.afterHandshake(nowMs);
  }

  /** Ends the connection; `errorCode` 0 is an orderly end. Unacknowledged data may not arrive. */
  close(nowMs: number, errorCode: number, reason: string): void {
    const code = errorCode === 0 ? undefined : (errorSentAs(errorCode) ?? "ERR_PEER_RESET");
    const cause: CloseCause = { origin: "local", code, errorCode, reason };
    if (this.phase.kind === "handshaking") this.end(nowMs, cause);
    else if (this.phase.kind === "established") this.startClosing(nowMs, "closing", this.phase.link, cause);
  }

  // ------------------------------------------------------------------ fate of frames (FrameOwner)

  frameAcknowledged(kind: number, stream: SendStream | undefined, offset: number, value: number): void {
    if (kind === RECORD.ack) this.received.onAckAcknowledged(offset);
    else if (kind < RECORD.control) this.streams.onFrameAcked(kind, stream, offset, value);
  }

  frameLost(kind: number, stream: SendStream | undefined, offset: number, value: number): void {
    if (kind === RECORD.ack || kind === RECORD.datagram) return;
    if (kind < RECORD.control) this.streams.onFrameLost(kind, stream, offset, value);
    else this.link?.onControlLost(kind, value);
  }

  // ------------------------------------------------------------------ handshake

  private handleHandshakePacket(nowMs: number, path: Path, bytes: Uint8Array): void {
    const { phase } = this;
    if (phase.kind !== "handshaking" && phase.kind !== "established") return;
    const outcome = this.route.handlePacket(nowMs, path, bytes);
    if (outcome === "ignored") {
      this.drop(nowMs, bytes.length, "rejected");
      return;
    }
    if (this.tracer !== undefined) this.tracer.handshakeReceived(nowMs, path, bytes);
    if (phase.kind === "handshaking") {
      // The last message validates only the address that the previous one was sent to. If the
      // initiator has moved since, its first data packet reveals it.
      const isLast = this.handshake.keys !== undefined && this.role === "responder";
      if (outcome === "advanced" && !(isLast && this.handshakePath !== undefined)) this.handshakePath = path;
      this.afterHandshake(nowMs);
    } else {
      // The peer repeats its message: it has not received any packet from here yet.
      phase.link.ping();
    }
  }

  private afterHandshake(nowMs: number): void {
    const { handshake, handshakePath } = this;
    if (this.phase.kind !== "handshaking") return;
    if (handshake.failure !== undefined) {
      this.end(nowMs, { origin: "remote", code: handshake.failure, errorCode: 0, reason: "handshake" });
      return;
    }
    if (handshake.stage === "asking" && !this.isPeerOffered) {
      this.isPeerOffered = true;
      this.events.push(EVENT.peerOffered);
    }
    if (handshake.keys !== undefined && handshakePath !== undefined) {
      this.establish(nowMs, handshake.keys, handshakePath);
    }
  }

  private establish(nowMs: number, peer: HandshakeKeys, path: Path): void {
    let parameters: TransportParameters | undefined;
    let fault: unknown;
    try {
      parameters = decodeParameters(peer.peerParameters);
    } catch (error) {
      fault = error;
    }
    const { recovery, received, streams, datagrams, events } = this;
    const early = { recovery, received, streams, datagrams, events };
    const peerCeilingBytes = parameters?.maxUdpPayloadBytes ?? DATAGRAM_FLOOR_BYTES;
    const link = new Established(nowMs, this.config, early, peer, this.route, path, peerCeilingBytes);
    this.phase = { kind: "established", link };
    if (this.tracer !== undefined) this.tracer.established(nowMs, peer.role, peer.peerConnectionId);
    if (this.handshake.refusedPeer) this.close(nowMs, wireCodeOf("ERR_KEY_REFUSED"), "key refused");
    else if (parameters === undefined) this.fail(nowMs, fault);
    else this.begin(nowMs, link, peer.role, parameters);
  }

  private begin(nowMs: number, link: Established, role: Role, peer: TransportParameters): void {
    this.streams.start(role === "initiator", peer);
    this.recovery.peerMaxAckDelayMs = peer.maxAckDelayMs;
    const { rttMs } = this.route;
    // A longer round trip may include the time that a person took to answer.
    if (rttMs >= 0 && rttMs < MAX_HANDSHAKE_RTT_MS) this.recovery.rtt.assume(rttMs);
    if (this.tracer !== undefined) {
      this.tracer.parametersSet(nowMs, "local", this.config.parameters);
      this.tracer.parametersSet(nowMs, "remote", peer);
    }
    link.begin(peer);
    // The initiator repeats its last message until a packet of the responder arrives.
    if (role === "responder") link.ping();
    this.events.push(EVENT.established);
    link.incoming.announceIds();
    const { early } = this;
    this.early = [];
    for (const { path, bytes } of early) this.handleDataPacket(nowMs, path, bytes, 0, bytes.length);
  }

  // ------------------------------------------------------------------ data packets

  private handleDataPacket(nowMs: number, path: Path, bytes: Uint8Array, at: number, end: number): void {
    const { link } = this;
    if (link === undefined) {
      // The packet arrived before the message that completes the keys.
      if (this.early.length < EARLY_PACKETS_LIMIT && end - at <= EARLY_PACKET_MAX_BYTES) {
        this.early.push({ path, bytes: copyBytes(bytes, at, end) });
        if (this.tracer !== undefined) this.tracer.packetBuffered(nowMs, end - at);
      } else this.drop(nowMs, end - at, "key_unavailable");
      return;
    }
    if (!link.open(nowMs, path, bytes, at, end)) return;
    if (!this.isConfirmed) {
      this.isConfirmed = true;
      this.handshake.confirm();
      if (this.tracer !== undefined) this.tracer.confirmed(nowMs);
      if (this.phase.kind === "established") this.events.push(EVENT.confirmed);
    }
    const { phase } = this;
    if (phase.kind === "closing" || phase.kind === "draining") {
      if (link.incoming.holdsClose(bytes, at, end)) phase.closing.onClose(nowMs);
      else phase.closing.onStray();
    }
    if (phase.kind !== "established") return;
    try {
      const close = link.takeFrames(nowMs, bytes, at, end);
      if (close !== undefined) this.drain(nowMs, link, close);
    } catch (error) {
      this.fail(nowMs, error);
    }
  }

  // ------------------------------------------------------------------ end

  /** The peer has closed the connection. */
  private drain(nowMs: number, link: Established, { errorCode, reason }: CloseFrame): void {
    const code = errorCode === 0 ? undefined : (errorReceivedAs(errorCode) ?? "ERR_PEER_RESET");
    this.startClosing(nowMs, "draining", link, { origin: "remote", code, errorCode, reason });
  }

  /**
   * The peer violated the protocol: closes the connection with the error's wire code.
   *
   * @throws `error` if it is not a violation by the peer, and therefore a local bug
   */
  private fail(nowMs: number, error: unknown): void {
    if (!isRemoteError(error)) throw error;
    if (this.phase.kind !== "established") return;
    const errorCode = ERRORS[error.code].wire ?? wireCodeOf("ERR_PROTOCOL");
    const cause: CloseCause = { origin: "remote", code: error.code, errorCode, reason: error.message };
    this.startClosing(nowMs, "closing", this.phase.link, cause);
  }

  private startClosing(
    nowMs: number,
    kind: "closing" | "draining",
    link: Established,
    cause: CloseCause,
  ): void {
    const closing = new Closing(nowMs, {
      isOurs: kind === "closing",
      isOrderly: cause.errorCode === 0,
      ptoMs: this.recovery.basePtoMs,
      isLossy: this.recovery.lostPackets > 0,
    });
    this.phase = { kind, link, closing, cause };
    this.traceClose(nowMs, kind, cause);
    this.events.push(EVENT.closed);
  }

  private transmitClose(
    nowMs: number,
    { kind, link, closing, cause }: Extract<Phase, { kind: "closing" | "draining" }>,
    into: Transmit,
  ): boolean {
    const { transmission } = link;
    if (!closing.hasPacket || transmission.isAmplificationLimited) return false;
    closing.onPacketSent();
    const isOurs = kind === "closing";
    const text = utf8Encode(isOurs ? cause.reason : "").subarray(0, CLOSE_REASON_BYTES);
    into.length = transmission.writeClosePacket(nowMs, into.buffer, isOurs ? cause.errorCode : 0, text);
    into.segmentBytes = into.length;
    return true;
  }

  /** Ends the connection without a CLOSE. */
  private end(nowMs: number, cause: CloseCause): void {
    this.phase = { kind: "closed", link: this.link, cause };
    this.traceClose(nowMs, "closed", cause);
    this.route.stop();
    this.events.push(EVENT.closed);
  }

  private traceClose(nowMs: number, state: "closing" | "draining" | "closed", cause: CloseCause): void {
    const { tracer } = this;
    if (tracer === undefined) return;
    tracer.closed(nowMs, state, cause.origin, cause.code, cause.errorCode, cause.reason);
  }

  /** Counts a packet that is dropped. */
  private drop(nowMs: number, byteLength: number, reason: DropReason): void {
    this.droppedPackets++;
    if (this.tracer !== undefined) this.tracer.packetDropped(nowMs, byteLength, reason);
  }

  private get link(): Established | undefined {
    return this.phase.kind === "handshaking" ? undefined : this.phase.link;
  }
}

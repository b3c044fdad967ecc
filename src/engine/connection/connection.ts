/**
 * One link to one peer, as a state machine without sockets, clocks or randomness of its own.
 *
 * Four kinds of methods: plain getters; inputs (`handleDatagram`, `handleTimeout`); commands of the
 * application; outputs (`pollTransmit`, `pollTimeout`, `pollEvent`). After every input or command the
 * outputs are drained in that order. `now` is monotonic milliseconds and never goes back. The same inputs
 * and the same random bytes give the same bytes out.
 *
 * States: handshaking → established → closing (we ended it) or draining (the peer did) → closed.
 * Read first: RFC 9000 §5, §10; handshake.ts for how keys come about; transmission.ts for what is sent.
 */

import { copyBytes, utf8Decode, utf8Encode } from "../../base/bytes.ts";
import { ERRORS, errorReceivedAs, errorSentAs, isRemoteError, SrudpError } from "../../base/errors.ts";
import { DATAGRAM_FLOOR_BYTES, type Path } from "../../base/path.ts";
import { exportedSecret } from "../../crypto/exported-secret.ts";
import { packetEnd } from "../../wire/datagram.ts";
import { CLOSE_REASON_BYTES } from "../../wire/frames.ts";
import { kindOf, PACKET_DATA } from "../../wire/packet.ts";
import { Bbr } from "../congestion/bbr.ts";
import type { CongestionController } from "../congestion/congestion.ts";
import { Cubic } from "../congestion/cubic.ts";
import type { Handshake, HandshakeKeys, Role } from "../handshake/handshake.ts";
import { HandshakeRoute } from "../handshake/handshake-route.ts";
import { KeyUpdate, REKEY_LIMITS } from "../handshake/key-update.ts";
import { type Move, PathControl } from "../path/path-control.ts";
import { Activity, PathLife } from "../path/path-life.ts";
import { ReceivedPackets } from "../recovery/received-packets.ts";
import { type FrameOwner, Recovery } from "../recovery/recovery.ts";
import { RECORD } from "../recovery/sent-packets.ts";
import type { SendStream } from "../streams/send-stream.ts";
import { PRIORITY, Streams } from "../streams/streams.ts";
import { Closing } from "./closing.ts";
import { ConnectionIds } from "./connection-ids.ts";
import type {
  CloseCause,
  ConnectionConfig,
  ConnectionState,
  ConnectionStats,
  Transmit,
} from "./connection-types.ts";
import { Datagrams } from "./datagrams.ts";
import { type ConnectionEvent, EVENT, EventQueue } from "./events.ts";
import { Incoming, type IncomingHost } from "./incoming.ts";
import type { LinkParts } from "./link-parts.ts";
import type { DropReason, Tracer } from "./tracer.ts";
import { Transmission } from "./transmission.ts";
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

/** However little patience a peer claims to have. */
const MIN_KEEP_ALIVE_MS = 250;
/** A half-open connection of the responder is given up after this: the initiator may be asking a person. */
const HALF_OPEN_MS = 120_000;
/** Round trips seen in the handshake are believed up to this. */
const MAX_HANDSHAKE_RTT_MS = 3000;
/** Probe timeouts in a row that no jitter explains. */
const OVERDUE_PTOS = 2;
/**
 * Data packets that overtake the handshake and are kept for after it: how many, and how long each may be. Nothing
 * proves yet who sent them. An honest peer begins with packets of DATAGRAM_FLOOR_BYTES.
 */
const EARLY_PACKETS_LIMIT = 8;
const EARLY_PACKET_MAX_BYTES = 1500;

/** What exists once there are keys. */
interface Established {
  readonly parts: LinkParts;
  readonly incoming: Incoming;
  readonly transmission: Transmission;
  readonly life: PathLife;
}

export class Connection implements FrameOwner, IncomingHost {
  closeCause: CloseCause | undefined;

  private readonly config: ConnectionConfig;
  private readonly tracer: Tracer | undefined;
  private readonly handshake: Handshake;
  private readonly route: HandshakeRoute;
  private readonly events: EventQueue = new EventQueue();
  private readonly streams: Streams;
  private readonly datagrams: Datagrams = new Datagrams();
  private readonly received: ReceivedPackets = new ReceivedPackets();
  private readonly recovery: Recovery;
  private link: Established | undefined;
  private phase: ConnectionState = "handshaking";
  private heardPath: Path | undefined;
  private isPeerOffered = false;
  private isConfirmed = false;
  private early: { path: Path; bytes: Uint8Array }[] = [];

  private readonly startedAtMs: number;
  /** Set while closing and draining, and after. */
  private closing: Closing | undefined;
  private keepAliveMostMs: number = Number.POSITIVE_INFINITY;
  /** Silence that ends the link: the shorter of what both sides announced. */ // RFC 9000 §10.1
  private idleTimeoutMs: number = Number.POSITIVE_INFINITY;

  private receivedBytes = 0;
  /** Datagrams that are no packets, or came before there was anything to open them with. */
  private droppedPackets = 0;

  constructor(nowMs: number, config: ConnectionConfig) {
    this.config = config;
    this.tracer = config.tracer;
    this.handshake = config.handshake;
    this.route = new HandshakeRoute(nowMs, config.handshake, config.paths);
    this.streams = new Streams(this.events, config.parameters);
    this.recovery = new Recovery(this, this.newController(), config.firstPacketNumber ?? 0, config.tracer);
    this.startedAtMs = nowMs;
  }

  // ------------------------------------------------------------------ getters

  get state(): ConnectionState {
    return this.phase;
  }

  get role(): Role {
    return this.handshake.role;
  }

  /** The ID that this side chose for the handshake. */
  get connectionId(): Uint8Array {
    return this.config.connectionId;
  }

  /** All IDs that packets for this connection may carry; `idsChanged` tells of changes. */
  get connectionIds(): readonly Uint8Array[] {
    return this.link?.parts.ids.ownIds ?? [this.config.connectionId];
  }

  /** Where packets go now; undefined before anything was heard of the peer. */
  get path(): Path | undefined {
    return this.link?.parts.paths.active ?? this.heardPath;
  }

  /** Whether the path in use counts as one that carries packets. */
  get isPathAlive(): boolean {
    return this.link?.life.state === "alive";
  }

  /** For how long nothing has come from the peer, ms. */
  silentForMs(nowMs: number): number {
    return this.link === undefined ? 0 : nowMs - this.link.incoming.lastReceivedAtMs;
  }

  /** For how long nothing has come although answers are due and were asked for again, ms; 0 while none are. */
  overdueMs(nowMs: number): number {
    return this.recovery.ptoCount < OVERDUE_PTOS ? 0 : this.silentForMs(nowMs);
  }

  /** What the handshake yielded; undefined before. */
  get peer(): HandshakeKeys | undefined {
    return this.handshake.keys;
  }

  /** Epoch of the keys in use. */
  get epoch(): number {
    return this.link?.parts.keys.epoch ?? 0;
  }

  /** Largest datagram that sendDatagram() takes on the present path. */
  get maxDatagramBytes(): number {
    return this.link?.transmission.maxDatagramBytes ?? 0;
  }

  /** Bytes held for the application and for the peer, streams only. */
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

  /** A datagram came over `path`. Its packets are opened in place; junk is counted and changes nothing. */
  handleDatagram(nowMs: number, path: Path, bytes: Uint8Array): void {
    this.receivedBytes += bytes.length;
    if (this.phase === "closed") return;
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

  /** The time of `pollTimeout` has come (an early call does no harm). */
  handleTimeout(nowMs: number): void {
    this.streams.nowMs = nowMs;
    switch (this.phase) {
      case "closed":
        return;
      case "closing":
      case "draining":
        this.closing!.handleTimeout(nowMs);
        if (nowMs < this.closing!.endsAtMs) return;
        this.phase = "closed";
        if (this.tracer !== undefined) this.tracer.ended(nowMs);
        return;
      case "handshaking":
        this.route.handleTimeout(nowMs);
        this.afterHandshake(nowMs);
        if (this.role === "responder" && nowMs >= this.startedAtMs + HALF_OPEN_MS) {
          this.end(nowMs, { origin: "network", code: "ERR_TIMEOUT", errorCode: 0, reason: "half-open" });
        }
        return;
      case "established":
        this.route.handleTimeout(nowMs);
        this.handleLinkTimeout(nowMs, this.link!);
    }
  }

  /**
   * The machine has slept, or its network changed: what is known of the path may be void, so it is asked at
   * once.
   */
  handleWake(nowMs: number): void {
    const { link } = this;
    if (this.phase !== "established" || link === undefined) return;
    // The silence of a sleep is not the peer's.
    link.incoming.lastReceivedAtMs = nowMs;
    link.life.onWake(nowMs);
    link.parts.paths.probe(nowMs, link.parts.paths.active, this.recovery.ptoMs);
    link.transmission.pingWanted = true;
    this.recovery.wantProbe();
  }

  /** Initiator, before the peer has answered: it may be reached over `path` too. */
  addPath(path: Path): void {
    if (this.phase === "handshaking") this.route.addCandidate(path);
  }

  /** As `addPath`, for a path that is to carry the connection only if no other does: it is called after the others. */
  addSecondaryPath(path: Path): void {
    if (this.phase === "handshaking") this.route.addSecondary(path);
  }

  /** Initiator, before the peer has answered: paths by this socket are none any more. */
  dropPaths(socket: number): void {
    this.route.dropCandidates(socket);
  }

  // ------------------------------------------------------------------ outputs

  /** Fills `into` with what is to leave now; false when there is nothing. */
  pollTransmit(nowMs: number, into: Transmit): boolean {
    if (this.route.pollTransmit(nowMs, into)) {
      if (this.tracer !== undefined) this.tracer.handshakeSent(nowMs, into.path, into.buffer, into.length);
      return true;
    }
    const { link, phase } = this;
    if (link === undefined || phase === "closed") return false;
    const { transmission, parts } = link;
    into.path = parts.paths.active;
    if (this.closing !== undefined) return this.transmitClose(nowMs, this.closing, transmission, into);
    if (transmission.tooManyUnacked) {
      this.fail(nowMs, new SrudpError("ERR_PROTOCOL", "nothing is acknowledged"));
      return this.pollTransmit(nowMs, into);
    }
    if (transmission.isExhausted) {
      this.close(nowMs, ERRORS.ERR_INTERNAL.wire!, "packet numbers are used up");
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

  /** When handleTimeout() wants to be called; Infinity for never. */
  pollTimeout(): number {
    switch (this.phase) {
      case "closed":
        return Number.POSITIVE_INFINITY;
      case "closing":
      case "draining":
        return this.closing!.timeoutAt;
      case "handshaking": {
        const giveUpAtMs =
          this.role === "responder" ? this.startedAtMs + HALF_OPEN_MS : Number.POSITIVE_INFINITY;
        return Math.min(this.route.timeoutAt, giveUpAtMs);
      }
      case "established": {
        const { parts, incoming, transmission, life } = this.link!;
        const keepAliveAtMs = transmission.pingWanted
          ? Number.POSITIVE_INFINITY
          : this.keepAliveAtMs(this.streams.nowMs);
        const sendAtMs = transmission.isAmplificationLimited
          ? Number.POSITIVE_INFINITY
          : Math.min(this.recovery.timeoutAt, this.received.dueAtMs, transmission.timeoutAt, keepAliveAtMs);
        return Math.min(
          sendAtMs,
          this.route.timeoutAt,
          parts.keys.timeoutAt,
          parts.paths.timeoutAt,
          life.timeoutAt(this.streams.nowMs, this.basePtoMs),
          incoming.lastReceivedAtMs + this.idleTimeoutMs,
        );
      }
    }
  }

  /** Moves the oldest event into `into`; false when there is none. */
  pollEvent(into: ConnectionEvent): boolean {
    if (!this.events.poll(into)) return false;
    if (into.kind === EVENT.streamReset) this.streams.onResetHeard(into.streamId);
    return true;
  }

  // ------------------------------------------------------------------ commands

  /** Opens a stream and returns its ID; −1 when the peer allows no more at present. */
  openStream(priority: number = PRIORITY.normal): number {
    return this.streams.openStream(priority);
  }

  /**
   * Queues `bytes` on a stream; they may not change until acknowledged. False asks the writer to wait for
   * the `writable` event.
   */
  write(streamId: number, bytes: Uint8Array): boolean {
    return this.streams.write(streamId, bytes);
  }

  /** Ends our half of a stream after what was written. */
  finish(streamId: number): void {
    this.streams.finish(streamId);
  }

  /** Gives our half of a stream up: what has not arrived never will. */
  reset(streamId: number, errorCode: number): void {
    this.streams.reset(streamId, errorCode);
  }

  /** Gives both halves of a stream up, once the peer has what was written. */
  breakOff(streamId: number, errorCode: number): void {
    this.streams.breakOff(streamId, errorCode);
  }

  /** Asks the peer to stop sending on a stream, and drops what is here of it. */
  stopSending(streamId: number, errorCode: number): void {
    this.streams.stopSending(streamId, errorCode);
  }

  /** The next bytes of a stream in order, a view that is valid until recycled; grants the peer as much. */
  read(streamId: number): Uint8Array | undefined {
    return this.streams.read(streamId);
  }

  /** Whoever read `bytes` needs neither them any more nor what came before them on their stream. */
  recycle(bytes: Uint8Array): void {
    this.streams.recycle(bytes);
  }

  /** Whether the peer ended the stream and everything of it was read. */
  readFinished(streamId: number): boolean {
    return this.streams.readFinished(streamId);
  }

  /** Sends one unreliable datagram; false when too many wait. Throws RangeError beyond `maxDatagramBytes`. */
  sendDatagram(bytes: Uint8Array): boolean {
    if (bytes.length > this.maxDatagramBytes) throw new RangeError(`datagram of ${bytes.length} bytes`);
    return this.datagrams.send(bytes);
  }

  readDatagram(): Uint8Array | undefined {
    return this.datagrams.read();
  }

  /** Asks the peer for a sign of life: whatever it answers with counts as heard. */
  ping(): void {
    if (this.phase === "established") this.link!.transmission.pingWanted = true;
  }

  /**
   * Asks the peer over `path`, which is not moved to, whether it is there. `pathValidated` or, after some
   * seconds, `pathFailed` comes of it. Paths are compared by identity.
   */
  probePath(nowMs: number, path: Path): void {
    if (this.phase !== "established") return;
    this.link!.parts.paths.probe(nowMs, path, this.basePtoMs);
  }

  /**
   * Moves to `path`, which has answered a probe in the last minute; false when it has not. The peer follows,
   * and measures anew, with what comes over it.
   */
  usePath(nowMs: number, path: Path): boolean {
    if (this.phase !== "established") return false;
    const { parts, transmission } = this.link!;
    if (path === parts.paths.active) return true;
    if (!parts.paths.hasProved(nowMs, path)) return false;
    this.afterMove(nowMs, parts.paths.use(nowMs, path, this.recovery.sent.next, this.basePtoMs));
    // The peer follows a packet, and what was on its way over a path that died waits for an answer.
    transmission.pingWanted = true;
    this.recovery.wantProbe();
    return true;
  }

  /**
   * A secret of `byteLength` bytes that the peer gets as well for the same `label`, and nobody else. Undefined
   * before the handshake is done.
   */
  exportSecret(label: string, byteLength = 32): Uint8Array | undefined {
    const secret = this.handshake.keys?.exporterSecret;
    return secret && exportedSecret(secret, label, byteLength);
  }

  /** Answers the handshake's question whether the peer's key is welcome. */
  answerPeer(nowMs: number, accepted: boolean): void {
    this.handshake.answerPeer(nowMs, accepted);
    this.route.onHandshakeChanged(nowMs);
    this.afterHandshake(nowMs);
  }

  /** Ends the connection; `errorCode` 0 is an orderly end. What is not acknowledged by now may not arrive. */
  close(nowMs: number, errorCode: number, reason: string): void {
    if (this.phase === "closing" || this.phase === "draining" || this.phase === "closed") return;
    const code = errorCode === 0 ? undefined : (errorSentAs(errorCode) ?? "ERR_PEER_RESET");
    const cause: CloseCause = { origin: "local", code, errorCode, reason };
    if (this.phase === "handshaking") {
      this.end(nowMs, cause);
      return;
    }
    this.phase = "closing";
    this.closeCause = cause;
    this.traceClose(nowMs, "closing", cause);
    this.closing = this.newClosing(nowMs, true, errorCode);
    this.events.push(EVENT.closed);
  }

  // ------------------------------------------------------------------ fate of frames (FrameOwner)

  frameAcknowledged(kind: number, stream: SendStream | undefined, offset: number, value: number): void {
    if (kind === RECORD.ack) this.received.onAckAcknowledged(offset);
    else if (kind < RECORD.control) this.streams.onFrameAcked(kind, stream, offset, value);
  }

  frameLost(kind: number, stream: SendStream | undefined, offset: number, value: number): void {
    const { parts, transmission } = this.link!;
    switch (kind) {
      case RECORD.ack:
      case RECORD.datagram:
        return;
      case RECORD.control:
        transmission.repeatAckFrequency();
        return;
      case RECORD.rekey:
        parts.keys.onFrameLost(value);
        return;
      case RECORD.newConnectionId:
        parts.ids.onAnnounceLost(value);
        return;
      case RECORD.retireConnectionId:
        parts.ids.onRetireLost(value);
        return;
      default:
        this.streams.onFrameLost(kind, stream, offset, value);
    }
  }

  // ------------------------------------------------------------------ handshake

  private handleHandshakePacket(nowMs: number, path: Path, bytes: Uint8Array): void {
    if (this.phase !== "handshaking" && this.phase !== "established") return;
    const outcome = this.route.handlePacket(nowMs, path, bytes);
    if (outcome === "ignored") {
      this.drop(nowMs, bytes.length, "rejected");
      return;
    }
    if (this.tracer !== undefined) this.tracer.handshakeReceived(nowMs, path, bytes);
    if (this.phase === "handshaking") {
      // A last message proves no more than the address that the one before was sent to; if its sender has moved
      // meanwhile, its first data packet will say so.
      const isLast = this.handshake.keys !== undefined && this.role === "responder";
      if (outcome === "advanced" && !(isLast && this.heardPath !== undefined)) this.heardPath = path;
      this.afterHandshake(nowMs);
    } else {
      // The peer repeats itself: it has not heard us yet.
      this.link!.transmission.pingWanted = true;
    }
  }

  private afterHandshake(nowMs: number): void {
    const { handshake } = this;
    if (this.phase !== "handshaking") return;
    if (handshake.failure !== undefined) {
      this.end(nowMs, { origin: "remote", code: handshake.failure, errorCode: 0, reason: "handshake" });
      return;
    }
    if (handshake.stage === "asking" && !this.isPeerOffered) {
      this.isPeerOffered = true;
      this.events.push(EVENT.peerOffered);
    }
    if (handshake.keys !== undefined) this.establish(nowMs, handshake.keys);
  }

  private establish(nowMs: number, peer: HandshakeKeys): void {
    const { primitives, random, connectionId, mtuCeilingBytes = DATAGRAM_FLOOR_BYTES } = this.config;
    const { recovery, received, streams, datagrams, events } = this;
    const parts: LinkParts = {
      recovery,
      received,
      streams,
      datagrams,
      keys: new KeyUpdate(nowMs, peer, primitives, random, this.config.rekey ?? REKEY_LIMITS),
      ids: new ConnectionIds(connectionId, peer.peerConnectionId, random),
      paths: new PathControl(this.heardPath!, peer.role === "initiator", random),
      activity: new Activity(nowMs),
      tracer: this.tracer,
    };
    const { route } = this;
    if (peer.role === "responder" ? !route.isProved(this.heardPath!) : !route.hasCalled(this.heardPath!)) {
      const others = route.othersAnswered(this.heardPath!);
      parts.paths.suspect(nowMs, DATAGRAM_FLOOR_BYTES, this.recovery.ptoMs, others);
    }
    let peerCeilingBytes = DATAGRAM_FLOOR_BYTES;
    let parameters: TransportParameters | undefined;
    let fault: unknown;
    try {
      parameters = decodeParameters(peer.peerParameters);
      peerCeilingBytes = parameters.maxUdpPayloadBytes;
    } catch (error) {
      fault = error;
    }
    const ceilingOf = (path: Path): number =>
      Math.min(
        typeof mtuCeilingBytes === "number" ? mtuCeilingBytes : mtuCeilingBytes(path),
        peerCeilingBytes,
      );
    const transmission = new Transmission(nowMs, parts, ceilingOf, random);
    const life = new PathLife(nowMs, parts.activity);
    this.link = { parts, incoming: new Incoming(nowMs, parts, events, this), transmission, life };
    this.phase = "established";
    if (this.tracer !== undefined) this.tracer.established(nowMs, peer.role, peer.peerConnectionId);
    if (this.handshake.refusedPeer) this.close(nowMs, ERRORS.ERR_KEY_REFUSED.wire!, "key refused");
    else if (parameters === undefined) this.fail(nowMs, fault);
    else this.begin(nowMs, peer.role, parameters);
  }

  private begin(nowMs: number, role: Role, peer: TransportParameters): void {
    this.streams.start(role === "initiator", peer);
    this.recovery.peerMaxAckDelayMs = peer.maxAckDelayMs;
    this.link!.transmission.peerMaxDatagramBytes = peer.maxDatagramBytes;
    const { rttMs } = this.route;
    // Longer ones may hold a person's thinking.
    if (rttMs >= 0 && rttMs < MAX_HANDSHAKE_RTT_MS) this.recovery.rtt.assume(rttMs);
    if (this.tracer !== undefined) {
      this.tracer.parametersSet(nowMs, "local", this.config.parameters);
      this.tracer.parametersSet(nowMs, "remote", peer);
    }
    // Both sides notice silence in time only when three keep-alives fit into the idle timeout.
    const peerIdleTimeoutMs = Math.max(3 * MIN_KEEP_ALIVE_MS, peer.idleTimeoutMs || Number.POSITIVE_INFINITY);
    this.idleTimeoutMs = Math.min(this.config.idleTimeoutMs, peerIdleTimeoutMs);
    this.keepAliveMostMs = Math.max(MIN_KEEP_ALIVE_MS, this.idleTimeoutMs / 3);
    // The initiator repeats its last message until it hears something from us.
    if (role === "responder") this.link!.transmission.pingWanted = true;
    this.events.push(EVENT.established);
    this.link!.incoming.announceIds();
    const { early } = this;
    this.early = [];
    for (const { path, bytes } of early) this.handleDataPacket(nowMs, path, bytes, 0, bytes.length);
  }

  // ------------------------------------------------------------------ data packets

  private handleDataPacket(nowMs: number, path: Path, bytes: Uint8Array, at: number, end: number): void {
    const { link } = this;
    if (link === undefined) {
      // It overtook the message that makes its keys.
      if (this.early.length < EARLY_PACKETS_LIMIT && end - at <= EARLY_PACKET_MAX_BYTES) {
        this.early.push({ path, bytes: copyBytes(bytes, at, end) });
        if (this.tracer !== undefined) this.tracer.packetBuffered(nowMs, end - at);
      } else this.drop(nowMs, end - at, "key_unavailable");
      return;
    }
    if (!link.incoming.open(nowMs, path, bytes, at, end)) return;
    if (!this.isConfirmed) {
      this.isConfirmed = true;
      this.handshake.confirm();
      if (this.tracer !== undefined) this.tracer.confirmed(nowMs);
      if (this.phase === "established") this.events.push(EVENT.confirmed);
    }
    if (this.closing !== undefined) {
      if (link.incoming.holdsClose(bytes, at, end)) this.closing.onClose(nowMs);
      else this.closing.onStray();
    }
    if (this.phase !== "established") return;
    try {
      link.incoming.takeFrames(nowMs, bytes, at, end);
    } catch (error) {
      this.fail(nowMs, error);
    }
  }

  // ------------------------------------------------------------------ what frames bring about (IncomingHost)

  onClose(nowMs: number, errorCode: number, reason: Uint8Array): void {
    if (this.phase !== "established") return;
    const code = errorCode === 0 ? undefined : (errorReceivedAs(errorCode) ?? "ERR_PEER_RESET");
    this.phase = "draining";
    const text = utf8Decode(reason.subarray(0, CLOSE_REASON_BYTES));
    this.closeCause = { origin: "remote", code, errorCode, reason: text };
    this.traceClose(nowMs, "draining", this.closeCause);
    this.closing = this.newClosing(nowMs, false, errorCode);
    this.events.push(EVENT.closed);
  }

  onNewPath(nowMs: number, path: Path, byteLength: number): void {
    if (this.phase !== "established") return;
    const { paths } = this.link!.parts;
    this.afterMove(nowMs, paths.follow(nowMs, path, byteLength, this.recovery.ptoMs));
  }

  onPathValidated(nowMs: number, path: Path): void {
    const { tracer } = this;
    if (tracer !== undefined) tracer.pathProved(nowMs, path, path === this.link!.parts.paths.active);
    this.events.push(EVENT.pathValidated, 0, 0, path);
  }

  onHeard(nowMs: number): void {
    const { life, parts } = this.link!;
    if (life.onHeard(nowMs)) this.events.push(EVENT.pathAlive, 0, 0, parts.paths.active);
  }

  onAcknowledged(nowMs: number): void {
    const { parts, transmission } = this.link!;
    parts.paths.onAcknowledged(this.recovery.largestAcked);
    transmission.updateMtu(nowMs);
  }

  /** The active path is another one: what of the old one's measurements still holds.  // docs/protocol.md, "Paths" */
  private afterMove(nowMs: number, move: Move): void {
    if (move === "none") return;
    const { parts, transmission } = this.link!;
    parts.ids.changePeerId();
    const { active, isValidated } = parts.paths;
    if (this.tracer !== undefined) this.tracer.pathChanged(nowMs, active, isValidated);
    if (move === "address") {
      this.recovery.resetPath(this.newController());
      transmission.resetMtu(nowMs);
    }
    this.events.push(EVENT.pathChanged, 0, 0, active);
    this.onHeard(nowMs);
  }

  private handleLinkTimeout(nowMs: number, { parts, incoming, transmission, life }: Established): void {
    if (nowMs >= incoming.lastReceivedAtMs + this.idleTimeoutMs) {
      this.end(nowMs, { origin: "network", code: "ERR_LINK_LOST", errorCode: 0, reason: "silence" });
      return;
    }
    if (!transmission.isAmplificationLimited) this.recovery.handleTimeout(nowMs);
    this.recovery.forgetLost(nowMs);
    transmission.updateMtu(nowMs);
    parts.keys.handleTimeout(nowMs);
    this.afterMove(nowMs, parts.paths.handleTimeout(nowMs, this.recovery.ptoMs));
    for (const path of parts.paths.abandoned.splice(0)) this.events.push(EVENT.pathFailed, 0, 0, path);
    if (life.handleTimeout(nowMs, this.basePtoMs)) {
      const kind = life.state === "dead" ? EVENT.pathDead : EVENT.pathSuspect;
      this.events.push(kind, 0, 0, parts.paths.active);
    }
    if (nowMs >= this.keepAliveAtMs(nowMs)) transmission.pingWanted = true;
  }

  /** The peer broke the rules: closes with the error's wire code. @throws `error` when it is no violation of the peer's */
  private fail(nowMs: number, error: unknown): void {
    // What is no violation of the peer's is a bug of ours, and no bug may pass for one.
    if (!isRemoteError(error)) throw error;
    const wire = ERRORS[error.code].wire ?? ERRORS.ERR_PROTOCOL.wire!;
    this.close(nowMs, wire, error.message);
    this.closeCause = { origin: "remote", code: error.code, errorCode: wire, reason: error.message };
  }

  private newClosing(nowMs: number, isOurs: boolean, errorCode: number): Closing {
    const isLossy = this.recovery.lostPackets > 0;
    return new Closing(nowMs, { isOurs, isOrderly: errorCode === 0, ptoMs: this.basePtoMs, isLossy });
  }

  private transmitClose(
    nowMs: number,
    closing: Closing,
    transmission: Transmission,
    into: Transmit,
  ): boolean {
    if (!closing.hasPacket || transmission.isAmplificationLimited) return false;
    closing.onPacketSent();
    const { errorCode, reason } = this.closeCause!;
    const isOurs = this.phase === "closing";
    const text = utf8Encode(isOurs ? reason : "").subarray(0, CLOSE_REASON_BYTES);
    into.length = transmission.writeClosePacket(nowMs, into.buffer, isOurs ? errorCode : 0, text);
    into.segmentBytes = into.length;
    return true;
  }

  private end(nowMs: number, cause: CloseCause): void {
    this.phase = "closed";
    this.closeCause = cause;
    this.traceClose(nowMs, "closed", cause);
    this.route.stop();
    this.events.push(EVENT.closed);
  }

  private traceClose(nowMs: number, state: "closing" | "draining" | "closed", cause: CloseCause): void {
    const { tracer } = this;
    if (tracer === undefined) return;
    tracer.closed(nowMs, state, cause.origin, cause.code, cause.errorCode, cause.reason);
  }

  /** Counts what is not taken in. */
  private drop(nowMs: number, byteLength: number, reason: DropReason): void {
    this.droppedPackets++;
    if (this.tracer !== undefined) this.tracer.packetDropped(nowMs, byteLength, reason);
  }

  private keepAliveAtMs(nowMs: number): number {
    const { parts, transmission } = this.link!;
    return transmission.lastElicitingAtMs + Math.min(parts.activity.keepAliveMs(nowMs), this.keepAliveMostMs);
  }

  /** Probe timeout without its back-off. */
  private get basePtoMs(): number {
    const { rtt, peerMaxAckDelayMs } = this.recovery;
    return rtt.ptoMs(peerMaxAckDelayMs);
  }

  private newController(): CongestionController {
    const { congestion, random } = this.config;
    switch (congestion) {
      case "cubic":
        return new Cubic(DATAGRAM_FLOOR_BYTES);
      case "bbr":
        return new Bbr(DATAGRAM_FLOOR_BYTES, () => random(1)[0]! / 256);
    }
  }
}

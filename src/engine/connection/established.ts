/**
 * The parts of a connection that exist once there are keys: they build and open data packets,
 * select the path, and keep the timers of an established link.
 *
 * It does not know the connection's phase. Connection decides when a link begins and ends, and
 * calls this class.
 * Read first: incoming.ts and transmission.ts.
 */
import { DATAGRAM_FLOOR_BYTES, type Path } from "../../base/path.ts";
import { Bbr } from "../congestion/bbr.ts";
import type { CongestionController } from "../congestion/congestion.ts";
import { Cubic } from "../congestion/cubic.ts";
import type { HandshakeKeys } from "../handshake/handshake.ts";
import type { HandshakeRoute } from "../handshake/handshake-route.ts";
import { KeyUpdate, REKEY_LIMITS } from "../handshake/key-update.ts";
import { type Move, PathControl } from "../path/path-control.ts";
import { Activity, PathLife } from "../path/path-life.ts";
import type { ReceivedPackets } from "../recovery/received-packets.ts";
import type { Recovery } from "../recovery/recovery.ts";
import { RECORD } from "../recovery/sent-packets.ts";
import type { Streams } from "../streams/streams.ts";
import { ConnectionIds } from "./connection-ids.ts";
import type { ConnectionConfig } from "./connection-types.ts";
import type { Datagrams } from "./datagrams.ts";
import { EVENT, type EventQueue } from "./events.ts";
import { type CloseFrame, Incoming } from "./incoming.ts";
import type { LinkParts } from "./link-parts.ts";
import { TIMER, type TimerTable } from "./timers.ts";
import { Transmission } from "./transmission.ts";
import type { TransportParameters } from "./transport-parameters.ts";

/** Minimum keep-alive interval, for any idle timeout of the peer. */
const MIN_KEEP_ALIVE_MS = 250;
/** Number of keep-alives in one idle timeout: the loss of one must not end the link. */
const KEEP_ALIVES_PER_IDLE_TIMEOUT = 3;

/** The parts that exist before there are keys. */
export interface EarlyParts {
  readonly recovery: Recovery;
  readonly received: ReceivedPackets;
  readonly streams: Streams;
  readonly datagrams: Datagrams;
  readonly events: EventQueue;
}

/** A new controller of the configured kind. */
export function newController({ congestion, random }: ConnectionConfig): CongestionController {
  switch (congestion) {
    case "cubic":
      return new Cubic(DATAGRAM_FLOOR_BYTES);
    case "bbr":
      return new Bbr(DATAGRAM_FLOOR_BYTES, () => (random(1)[0] ?? 0) / 256);
  }
}

export class Established {
  readonly parts: LinkParts;
  readonly incoming: Incoming;
  readonly transmission: Transmission;
  readonly life: PathLife;
  private readonly config: ConnectionConfig;
  private readonly events: EventQueue;
  private maxKeepAliveMs: number = Number.POSITIVE_INFINITY;
  /**
   * Silence that ends the link: the shorter of the timeouts that both sides announced.
   * // RFC 9000 §10.1
   */
  private idleTimeoutMs: number = Number.POSITIVE_INFINITY;

  /**
   * @param path the path over which the handshake's last packet arrived
   * @param peerCeilingBytes the largest UDP payload that the peer accepts
   */
  constructor(
    nowMs: number,
    config: ConnectionConfig,
    early: EarlyParts,
    peer: HandshakeKeys,
    route: HandshakeRoute,
    path: Path,
    peerCeilingBytes: number,
  ) {
    const { primitives, random, connectionId, mtuCeilingBytes = DATAGRAM_FLOOR_BYTES } = config;
    const { recovery, received, streams, datagrams, events } = early;
    this.config = config;
    this.events = events;
    this.parts = {
      recovery,
      received,
      streams,
      datagrams,
      keys: new KeyUpdate(nowMs, peer, primitives, random, config.rekey ?? REKEY_LIMITS),
      ids: new ConnectionIds(connectionId, peer.peerConnectionId, random),
      paths: new PathControl(path, peer.role === "initiator", random),
      activity: new Activity(nowMs),
      tracer: config.tracer,
    };
    const isTrusted = peer.role === "responder" ? route.isValidated(path) : route.hasCalled(path);
    if (!isTrusted) {
      this.parts.paths.suspect(nowMs, DATAGRAM_FLOOR_BYTES, recovery.ptoMs, route.othersAnswered(path));
    }
    const ceilingOf = (to: Path): number =>
      Math.min(typeof mtuCeilingBytes === "number" ? mtuCeilingBytes : mtuCeilingBytes(to), peerCeilingBytes);
    this.transmission = new Transmission(nowMs, this.parts, ceilingOf, random);
    this.life = new PathLife(nowMs, this.parts.activity);
    this.incoming = new Incoming(nowMs, this.parts, this.transmission, events);
  }

  // ------------------------------------------------------------------ getters

  get path(): Path {
    return this.parts.paths.active;
  }

  /** How long the peer has been silent, ms. */
  silentForMs(nowMs: number): number {
    return nowMs - this.incoming.lastReceivedAtMs;
  }

  /** Whether the peer has been silent for the idle timeout. */
  isIdle(nowMs: number): boolean {
    return nowMs >= this.idleAtMs;
  }

  // ------------------------------------------------------------------ inputs

  /** The peer's limits are known: the link begins. */
  begin(peer: TransportParameters): void {
    this.transmission.peerMaxDatagramBytes = peer.maxDatagramBytes;
    const peerIdleTimeoutMs = Math.max(
      KEEP_ALIVES_PER_IDLE_TIMEOUT * MIN_KEEP_ALIVE_MS,
      peer.idleTimeoutMs || Number.POSITIVE_INFINITY,
    );
    this.idleTimeoutMs = Math.min(this.config.idleTimeoutMs, peerIdleTimeoutMs);
    this.maxKeepAliveMs = Math.max(MIN_KEEP_ALIVE_MS, this.idleTimeoutMs / KEEP_ALIVES_PER_IDLE_TIMEOUT);
  }

  /**
   * Opens the packet at bytes[at, end) in place; false if it is not genuine, not new, or not
   * addressed to this link.
   */
  open(nowMs: number, path: Path, bytes: Uint8Array, at: number, end: number): boolean {
    if (!this.incoming.open(nowMs, path, bytes, at, end)) return false;
    if (path === this.path) this.onPathUsed(nowMs);
    return true;
  }

  /**
   * Processes the frames of the packet that open() opened last. Returns its CLOSE, if it contains
   * one.
   *
   * @throws SrudpError with a wire code if the packet breaks the protocol
   */
  takeFrames(nowMs: number, bytes: Uint8Array, at: number, end: number): CloseFrame | undefined {
    const { incoming, parts } = this;
    const close = incoming.takeFrames(nowMs, bytes, at, end);
    if (close !== undefined) return close;
    const { movedTo } = incoming;
    if (movedTo !== undefined) {
      this.afterMove(nowMs, parts.paths.follow(nowMs, movedTo, end - at, parts.recovery.ptoMs));
    }
    return undefined;
  }

  handleTimeout(nowMs: number): void {
    const { parts, transmission, life, events } = this;
    const { recovery, keys, paths } = parts;
    if (!transmission.isAmplificationLimited) recovery.handleTimeout(nowMs);
    recovery.forgetLost(nowMs);
    transmission.updateMtu(nowMs);
    keys.handleTimeout(nowMs);
    this.afterMove(nowMs, paths.handleTimeout(nowMs, recovery.ptoMs));
    for (const path of paths.abandoned.splice(0)) events.push(EVENT.pathFailed, 0, 0, path);
    if (life.handleTimeout(nowMs, recovery.basePtoMs)) {
      events.push(life.state === "dead" ? EVENT.pathDead : EVENT.pathSuspect, 0, 0, paths.active);
    }
    if (nowMs >= this.keepAliveAtMs(nowMs)) transmission.pingWanted = true;
  }

  /** The machine has slept, or its network has changed: the path is validated again at once. */
  onWake(nowMs: number): void {
    const { parts, incoming, transmission, life } = this;
    // The peer was not silent while this machine slept.
    incoming.lastReceivedAtMs = nowMs;
    life.onWake(nowMs);
    parts.paths.probe(nowMs, parts.paths.active, parts.recovery.ptoMs);
    transmission.pingWanted = true;
    parts.recovery.wantProbe();
  }

  /** A frame of the kinds from RECORD.control on was lost. */
  onControlLost(kind: number, value: number): void {
    const { keys, ids } = this.parts;
    switch (kind) {
      case RECORD.control:
        this.transmission.repeatAckFrequency();
        return;
      case RECORD.rekey:
        keys.onFrameLost(value);
        return;
      case RECORD.newConnectionId:
        ids.onAnnounceLost(value);
        return;
      case RECORD.retireConnectionId:
        ids.onRetireLost(value);
    }
  }

  // ------------------------------------------------------------------ outputs

  setTimers(timers: TimerTable, nowMs: number): void {
    const { parts, transmission, life } = this;
    const { recovery, received, keys, paths } = parts;
    // Without an allowance no packet may leave, so none of these timers could have an effect.
    if (!transmission.isAmplificationLimited) {
      timers.set(TIMER.lossDetection, recovery.timeoutAt);
      timers.set(TIMER.ack, received.dueAtMs);
      timers.set(TIMER.pacing, transmission.pacedUntilMs);
      timers.set(TIMER.mtuProbe, transmission.mtuProbeAtMs);
      if (!transmission.pingWanted) timers.set(TIMER.keepAlive, this.keepAliveAtMs(nowMs));
    }
    timers.set(TIMER.keyUpdate, keys.timeoutAt);
    timers.set(TIMER.pathValidation, paths.timeoutAt);
    timers.set(TIMER.pathLife, life.timeoutAt(nowMs, recovery.basePtoMs));
    timers.set(TIMER.idle, this.idleAtMs);
  }

  // ------------------------------------------------------------------ commands

  ping(): void {
    this.transmission.pingWanted = true;
  }

  probePath(nowMs: number, path: Path): void {
    const { paths, recovery } = this.parts;
    paths.probe(nowMs, path, recovery.basePtoMs);
  }

  /** Moves to `path`; false if it has not answered a probe recently. */
  usePath(nowMs: number, path: Path): boolean {
    const { paths, recovery } = this.parts;
    if (path === paths.active) return true;
    if (!paths.hasValidated(nowMs, path)) return false;
    this.afterMove(nowMs, paths.use(nowMs, path, recovery.sent.next, recovery.basePtoMs));
    // The next packet makes the peer follow, and packets that were lost with the old path wait for
    // an ACK.
    this.transmission.pingWanted = true;
    recovery.wantProbe();
    return true;
  }

  // ------------------------------------------------------------------ path in use

  /** A genuine packet arrived over the path in use, or another path is now in use. */
  private onPathUsed(nowMs: number): void {
    if (this.life.onReceived(nowMs)) this.events.push(EVENT.pathAlive, 0, 0, this.path);
  }

  /**
   * The link moved. A new port is assumed to be a NAT's new mapping, so the measurements stay. A
   * new address is assumed to be another network, so the measurements restart.  // RFC 9000 §9.4
   */
  private afterMove(nowMs: number, move: Move): void {
    if (move === "none") return;
    const { parts, transmission } = this;
    parts.ids.changePeerId();
    const { active, isValidated } = parts.paths;
    if (parts.tracer !== undefined) parts.tracer.pathChanged(nowMs, active, isValidated);
    if (move === "address") {
      parts.recovery.resetPath(newController(this.config));
      transmission.resetMtu(nowMs);
    }
    this.events.push(EVENT.pathChanged, 0, 0, active);
    this.onPathUsed(nowMs);
  }

  private keepAliveAtMs(nowMs: number): number {
    const { parts, transmission } = this;
    return transmission.lastElicitingAtMs + Math.min(parts.activity.keepAliveMs(nowMs), this.maxKeepAliveMs);
  }

  private get idleAtMs(): number {
    return this.incoming.lastReceivedAtMs + this.idleTimeoutMs;
  }
}

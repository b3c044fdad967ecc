/**
 * Traces of connections in qlog, one file each, for tools such as qvis.
 *
 * Read first: draft-ietf-quic-qlog-main-schema (§5 QlogFileSeq, §11.2 JSON-SEQ, RFC 7464) and
 * draft-ietf-quic-qlog-quic-events-12, which define the names and fields. Tools lag behind the
 * drafts, and both drafts allow unknown fields and events. Each file is therefore also a valid file
 * of version 0.3, which qvis reads: the header names that version, each event has its category of
 * version 0.3, and estimates occur a second time under their names of version 0.3.
 *
 * A trace contains only kinds, numbers, addresses and connection IDs. It contains no key, code,
 * token or payload.
 */

import { toHex } from "../../base/bytes.ts";
import type { Path } from "../../base/path.ts";
import type { DropReason, RecoveryMetrics, Tracer } from "../../engine/connection/tracer.ts";
import type { TransportParameters } from "../../engine/connection/transport-parameters.ts";
import type { Role } from "../../engine/handshake/handshake.ts";
import { SENT } from "../../engine/recovery/sent-packets.ts";
import type { RemoteAddress } from "../../platform/udp/address.ts";
import { FrameCursor } from "../../wire/frames.ts";
import { PACKET_OVERHEAD_BYTES } from "../../wire/packet.ts";
import type { QlogSink } from "./qlog-file.ts";
import { framesAsJson, handshakeAsJson, nameOfError, sourceIdOf } from "./qlog-frames.ts";
import { qlogHeader, RECORD_SEPARATOR } from "./qlog-header.ts";

export interface QlogOptions {
  readonly sink: QlogSink;
  /** The role at the start of the handshake. It may change once. */
  readonly role: Role;
  /** Local connection ID. */
  readonly connectionId: Uint8Array;
  /** Monotonic milliseconds at the start of the trace, and the date at that time. */
  readonly startMs: number;
  readonly startDate: Date;
  /** The local address of the socket with this index. */
  readonly localOf: (socket: number) => RemoteAddress | undefined;
}

/** The category of each event in version 0.3. The drafts have one namespace for all events. */
type Category = "connectivity" | "transport" | "security" | "recovery";

/** ACK delays are encoded in units of 2^3 µs. */
const ACK_DELAY_EXPONENT = 3;
const BITS_PER_S_OF_BYTES_PER_MS = 8000;

const METRICS = [
  "min_rtt",
  "smoothed_rtt",
  "latest_rtt",
  "rtt_variance",
  "pto_count",
  "congestion_window",
  "bytes_in_flight",
  "ssthresh",
  "packets_in_flight",
  "pacing_rate",
] as const;

/** The trace of one connection. */
export class Qlog implements Tracer {
  /** Events that were not written to the file. */
  droppedEvents = 0;
  readonly #options: QlogOptions;
  readonly #localId: string;
  #role: Role;
  #originalId: string;
  #isOpen = false;
  #isStarted = false;
  #lastMs: number;
  /** Events dropped since the last written event. */
  #missing = 0;
  readonly #frames: FrameCursor = new FrameCursor();
  /** The last written values, in the order of METRICS; NaN before the first. */
  readonly #metrics: Float64Array = new Float64Array(METRICS.length).fill(Number.NaN);
  #phase: string | undefined;
  #epoch = 0;
  #state: string | undefined;
  #tuples = 0;
  #isMigrating = false;

  constructor(options: QlogOptions) {
    this.#options = options;
    this.#role = options.role;
    this.#localId = toHex(options.connectionId);
    this.#originalId = this.#localId;
    this.#lastMs = options.startMs;
  }

  /** Completes the file once the connection has ended, for any reason. */
  finish(): void {
    this.#options.sink.close();
  }

  handshakeSent(nowMs: number, path: Path, bytes: Uint8Array, byteLength: number): void {
    this.#start(nowMs, path, undefined);
    this.#event(nowMs, "transport", "packet_sent", handshakeAsJson(bytes, byteLength));
  }

  handshakeReceived(nowMs: number, path: Path, bytes: Uint8Array): void {
    this.#start(nowMs, path, sourceIdOf(bytes));
    this.#event(nowMs, "transport", "packet_received", handshakeAsJson(bytes, bytes.length));
  }

  established(nowMs: number, role: Role, peerConnectionId: Uint8Array): void {
    this.#role = role;
    this.#originalId = role === "initiator" ? this.#localId : toHex(peerConnectionId);
    this.#stateChanged(nowMs, "handshake_complete");
    this.#keyEvents(nowMs, "");
  }

  parametersSet(nowMs: number, side: "local" | "remote", parameters: TransportParameters): void {
    // The file is opened only once the peer is authenticated, so that unauthenticated peers create
    // no files.
    this.#open();
    const { maxDataBytes, maxStreamDataBytes, maxStreams, maxAckDelayMs, idleTimeoutMs } = parameters;
    const data = {
      initiator: side,
      owner: side,
      max_idle_timeout: idleTimeoutMs,
      max_udp_payload_size: parameters.maxUdpPayloadBytes,
      ack_delay_exponent: ACK_DELAY_EXPONENT,
      max_ack_delay: maxAckDelayMs,
      initial_max_data: maxDataBytes,
      initial_max_stream_data_bidi_local: maxStreamDataBytes,
      initial_max_stream_data_bidi_remote: maxStreamDataBytes,
      initial_max_streams_bidi: maxStreams,
      max_datagram_frame_size: parameters.maxDatagramBytes,
    };
    this.#event(nowMs, "transport", "parameters_set", JSON.stringify(data));
  }

  confirmed(nowMs: number): void {
    this.#stateChanged(nowMs, "handshake_confirmed");
  }

  packetSent(
    nowMs: number,
    packetNumber: number,
    epoch: number,
    flags: number,
    bytes: Uint8Array,
    from: number,
    to: number,
  ): void {
    let extra = "";
    if ((flags & SENT.mtuProbe) !== 0) extra = ',"is_mtu_probe_packet":true';
    else if ((flags & SENT.probe) !== 0) extra = ',"trigger":"pto_probe"';
    this.#packet(nowMs, "packet_sent", packetNumber, epoch, bytes, from, to, extra);
  }

  packetReceived(
    nowMs: number,
    packetNumber: number,
    epoch: number,
    bytes: Uint8Array,
    from: number,
    to: number,
  ): void {
    // The wire has the epoch modulo 4: one behind, the present one, or one ahead.
    const ahead = (epoch - this.#epoch) & 3;
    const fullEpoch = this.#epoch + (ahead === 3 ? -1 : ahead);
    this.#packet(nowMs, "packet_received", packetNumber, fullEpoch, bytes, from, to, "");
  }

  packetBuffered(nowMs: number, byteLength: number): void {
    const data = `{"header":{"packet_type":"1RTT"},"raw":{"length":${byteLength}},"trigger":"keys_unavailable"}`;
    this.#event(nowMs, "transport", "packet_buffered", data);
  }

  packetDropped(nowMs: number, byteLength: number, reason: DropReason): void {
    const type = reason === "invalid" ? "unknown" : reason === "rejected" ? "handshake" : "1RTT";
    const data = `{"header":{"packet_type":"${type}"},"raw":{"length":${byteLength}},"trigger":"${reason}"}`;
    this.#event(nowMs, "transport", "packet_dropped", data);
  }

  packetLost(nowMs: number, packetNumber: number, isOvertaken: boolean, isMtuProbe: boolean): void {
    const probe = isMtuProbe ? ',"is_mtu_probe_packet":true' : "";
    const trigger = isOvertaken ? "reordering_threshold" : "time_threshold";
    const header = `{"packet_type":"1RTT","packet_number":${packetNumber}}`;
    this.#event(nowMs, "recovery", "packet_lost", `{"header":${header}${probe},"trigger":"${trigger}"}`);
  }

  metricsUpdated(nowMs: number, metrics: RecoveryMetrics): void {
    const { rtt, controller } = metrics;
    let data = "";
    if (rtt.hasSample) {
      data += this.#metric(0, microseconds(rtt.minMs));
      data += this.#metric(1, microseconds(rtt.smoothedMs));
      data += this.#metric(2, microseconds(rtt.latestMs));
      data += this.#metric(3, microseconds(rtt.rttVarMs));
    }
    data += this.#metric(4, metrics.ptoCount);
    data += this.#metric(5, Math.round(controller.congestionWindowBytes));
    data += this.#metric(6, metrics.bytesInFlight);
    data += this.#metric(7, Math.round(controller.ssthreshBytes));
    data += this.#metric(8, metrics.packetsInFlight);
    data += this.#metric(9, Math.round(controller.pacingRate * BITS_PER_S_OF_BYTES_PER_MS));
    if (data !== "") {
      const json = `{${data.slice(1)}}`;
      this.#event(nowMs, "recovery", "recovery_metrics_updated", json);
      this.#record(nowMs, `"name":"recovery:metrics_updated","data":${json}`);
    }
    const { phase } = controller;
    if (phase === this.#phase) return;
    const old = this.#phase === undefined ? "" : `"old":"${this.#phase}",`;
    this.#phase = phase;
    this.#event(nowMs, "recovery", "congestion_state_updated", `{${old}"new":"${phase}"}`);
  }

  mtuUpdated(nowMs: number, oldBytes: number, newBytes: number): void {
    this.#event(nowMs, "connectivity", "mtu_updated", `{"old":${oldBytes},"new":${newBytes}}`);
  }

  keysUpdated(nowMs: number, epoch: number, isAnswer: boolean): void {
    this.#epoch = epoch;
    this.#keyEvents(nowMs, `,"trigger":"${isAnswer ? "remote_update" : "local_update"}"`);
  }

  pathChanged(nowMs: number, path: Path, isValidated: boolean): void {
    const tuple = String(++this.#tuples);
    const ends = `"tuple_remote":${endpoint(path)},"tuple_local":${endpoint(this.#localOf(path))}`;
    this.#event(nowMs, "connectivity", "tuple_assigned", `{"tuple_id":"${tuple}",${ends}}`);
    // The connection has returned to a validated path, because the new one was not validated.
    const state = !isValidated
      ? "migration_started"
      : this.#isMigrating
        ? "migration_abandoned"
        : "migration_complete";
    this.#isMigrating = !isValidated;
    this.#migration(nowMs, state, path);
  }

  pathValidated(nowMs: number, path: Path, isActive: boolean): void {
    if (!isActive) this.#migration(nowMs, "probing_successful", path);
    else if (this.#isMigrating) {
      this.#isMigrating = false;
      this.#migration(nowMs, "migration_complete", path);
    }
  }

  closed(
    nowMs: number,
    state: "closing" | "draining" | "closed",
    origin: "local" | "remote" | "network",
    code: string | undefined,
    errorCode: number,
    reason: string,
  ): void {
    const { space, name } = nameOfError(errorCode);
    const data = {
      initiator: origin === "remote" ? "remote" : "local",
      ...(code !== undefined && { [space === "transport" ? "connection_error" : "application_error"]: name }),
      error_code: errorCode,
      reason: code === undefined || reason.includes(code) ? reason : `${code} ${reason}`.trim(),
      trigger: triggerOf(code),
    };
    this.#event(nowMs, "connectivity", "connection_closed", JSON.stringify(data));
    this.#stateChanged(nowMs, state);
    // A failed connection attempt is traced for the initiator.
    if (this.#role === "initiator") this.#open();
    if (state === "closed") this.finish();
  }

  ended(nowMs: number): void {
    this.#stateChanged(nowMs, "closed");
    this.finish();
  }

  /**
   * Writes the start of the connection. The sender of the first packet starts it; the connection ID
   * may become known later.
   */
  #start(nowMs: number, path: Path, remoteId: string | undefined): void {
    if (this.#isStarted) return;
    this.#isStarted = true;
    const local = endpoint(this.#localOf(path), this.#localId);
    const data = `{"local":${local},"remote":${endpoint(path, remoteId)}}`;
    this.#event(nowMs, "connectivity", "connection_started", data);
    this.#stateChanged(nowMs, "attempted");
  }

  /** Opens the file, once its name is known. */
  #open(): void {
    if (this.#isOpen) return;
    this.#isOpen = true;
    const { sink, startDate } = this.#options;
    const type = this.#role === "initiator" ? "client" : "server";
    sink.open(`${this.#originalId}_${type}.sqlog`, qlogHeader(this.#originalId, type, startDate));
  }

  #packet(
    nowMs: number,
    name: string,
    packetNumber: number,
    epoch: number,
    bytes: Uint8Array,
    from: number,
    to: number,
    extra: string,
  ): void {
    this.#frames.reset(bytes, from, to);
    const frames = framesAsJson(this.#frames);
    const header = `{"packet_type":"1RTT","packet_number":${packetNumber},"key_phase":${epoch}}`;
    const raw = `{"length":${to - from + PACKET_OVERHEAD_BYTES},"payload_length":${to - from}}`;
    this.#event(nowMs, "transport", name, `{"header":${header},"raw":${raw},"frames":${frames}${extra}}`);
  }

  /** `,"name":value` if the value differs from the last written one, otherwise empty. */
  #metric(index: number, value: number): string {
    if (value === this.#metrics[index] || !Number.isFinite(value)) return "";
    this.#metrics[index] = value;
    return `,"${METRICS[index]}":${value}`;
  }

  /** Both directions change keys at once. */
  #keyEvents(nowMs: number, trigger: string): void {
    for (const type of ["client_1rtt_secret", "server_1rtt_secret"]) {
      const data = `{"key_type":"${type}","key_phase":${this.#epoch}${trigger}}`;
      this.#event(nowMs, "security", "key_updated", data);
    }
  }

  #migration(nowMs: number, state: string, path: Path): void {
    const data = `{"new":"${state}","tuple_id":"${this.#tuples}","tuple_remote":${endpoint(path)}}`;
    this.#event(nowMs, "connectivity", "migration_state_updated", data);
  }

  #stateChanged(nowMs: number, state: string): void {
    const old = this.#state === undefined ? "" : `"old":"${this.#state}",`;
    this.#state = state;
    this.#event(nowMs, "connectivity", "connection_state_updated", `{${old}"new":"${state}"}`);
  }

  #event(nowMs: number, category: Category, name: string, data: string): void {
    this.#record(nowMs, `"name":"quic:${name}","category":"${category}","data":${data}`);
  }

  #record(nowMs: number, rest: string): void {
    // Times in a trace never decrease, even if the caller's clock does.
    if (nowMs > this.#lastMs) this.#lastMs = nowMs;
    const time = `${RECORD_SEPARATOR}{"time":${microseconds(this.#lastMs - this.#options.startMs)},`;
    let text = `${time}${rest}}\n`;
    if (this.#missing > 0) {
      const message = `${this.#missing} events before this are missing: the disk is too slow`;
      text = `${time}"name":"loglevel:warning","data":{"message":"${message}"}}\n${text}`;
    }
    if (this.#options.sink.write(text)) this.#missing = 0;
    else {
      this.#missing++;
      this.droppedEvents++;
    }
  }

  #localOf(path: Path): RemoteAddress | undefined {
    return this.#options.localOf(path.socket);
  }
}

function endpoint(address: { address: string; port: number } | undefined, connectionId?: string): string {
  const version = address?.address.includes(":") ? "v6" : "v4";
  return JSON.stringify({
    ...(address !== undefined && { [`ip_${version}`]: address.address, [`port_${version}`]: address.port }),
    ...(connectionId !== undefined && { connection_ids: [connectionId] }),
  });
}

function triggerOf(code: string | undefined): string {
  if (code === undefined) return "application";
  if (code === "ERR_LINK_LOST") return "idle_timeout";
  if (code === "ERR_TIMEOUT") return "aborted";
  return code === "ERR_VERSION" ? "version_mismatch" : "error";
}

/** Milliseconds, rounded to the microsecond. */
function microseconds(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}

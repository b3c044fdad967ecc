/**
 * The contents of a packet in qlog: kinds of frames and their fields, never their payload.
 * // draft-ietf-quic-qlog-quic-events §8
 *
 * Stream and datagram frames contain their length twice: in the field that the drafts define, and
 * in the field that qvis reads.
 */
import { toHex } from "../../base/bytes.ts";
import { FRAME, type FrameCursor } from "../../wire/frames.ts";
import {
  bodyBytesOf,
  HANDSHAKE_DESTINATION_ID_AT,
  HANDSHAKE_SOURCE_ID_AT,
  type HandshakeKind,
  handshakeKindOf,
} from "../../wire/handshake-packet.ts";
import { CONNECTION_ID_BYTES, kindOf, PACKET_HANDSHAKE } from "../../wire/packet.ts";

/** Names of transport errors by code.  // RFC 9000 §20.1 */
const TRANSPORT_ERRORS: readonly (string | undefined)[] = [
  "no_error",
  "internal_error",
  "connection_refused",
  "flow_control_error",
  "stream_limit_error",
  "stream_state_error",
  "final_size_error",
  "frame_encoding_error",
  "transport_parameter_error",
  "connection_id_limit_error",
  "protocol_violation",
];
/** Codes from here on are application errors. */
const APPLICATION_ERRORS_FROM = 0x100;

// Offsets of the fields of a handshake packet.  // wire/handshake-packet.ts
/** Handshake packets that are sent before keys exist, like QUIC's Initial packets. */
const INITIAL_KINDS: readonly (HandshakeKind | undefined)[] = ["pakeOpen", "pakeAnswer", "noise1"];

/** The space that an error code of a CLOSE belongs to, and its name there. */
export function nameOfError(errorCode: number): { space: "transport" | "application"; name: string } {
  const space = errorCode < APPLICATION_ERRORS_FROM ? "transport" : "application";
  return { space, name: TRANSPORT_ERRORS[errorCode] ?? "unknown" };
}

/** The data of a packet event for a handshake or notice packet: kind, length and connection IDs. */
export function handshakeAsJson(bytes: Uint8Array, byteLength: number): string {
  const raw = `"raw":{"length":${byteLength}}`;
  if (!isHandshake(bytes)) {
    return `{"header":{"packet_type":"unknown","packet_type_bytes":${bytes[0]}},${raw}}`;
  }
  const kind = handshakeKindOf(bytes);
  const type = INITIAL_KINDS.includes(kind) ? "initial" : "handshake";
  const sourceId = idAt(bytes, HANDSHAKE_SOURCE_ID_AT);
  const ids = `"scid":"${sourceId}","dcid":"${idAt(bytes, HANDSHAKE_DESTINATION_ID_AT)}"`;
  const frame = `{"frame_type":"crypto","offset":0,"raw":{"length":${bodyBytesOf(bytes)}},"message":"${kind}"}`;
  return `{"header":{"packet_type":"${type}",${ids}},${raw},"frames":[${frame}]}`;
}

/** The sender's connection ID of a handshake packet; undefined for a notice. */
export function sourceIdOf(bytes: Uint8Array): string | undefined {
  return isHandshake(bytes) ? idAt(bytes, HANDSHAKE_SOURCE_ID_AT) : undefined;
}

/** The frames of a packet as a JSON array. `cursor` must be at the start of the packet. */
export function framesAsJson(cursor: FrameCursor): string {
  let json = "";
  while (cursor.next()) json += json === "" ? frameAsJson(cursor) : `,${frameAsJson(cursor)}`;
  return `[${json}]`;
}

function frameAsJson(frame: FrameCursor): string {
  const lengthBytes = frame.end - frame.start;
  switch (frame.type) {
    case FRAME.padding:
      return '{"frame_type":"padding"}';
    case FRAME.ping:
      return '{"frame_type":"ping"}';
    case FRAME.ack:
      return `{"frame_type":"ack","ack_delay":${frame.ackDelayMs},"acked_ranges":${rangesAsJson(frame)}}`;
    case FRAME.stream: {
      const fin = frame.fin ? ',"fin":true' : "";
      const point = `"stream_id":${frame.id},"offset":${frame.offset}`;
      return `{"frame_type":"stream",${point},"length":${lengthBytes}${fin},"raw":{"length":${lengthBytes}}}`;
    }
    case FRAME.datagram:
      return `{"frame_type":"datagram","length":${lengthBytes},"raw":{"length":${lengthBytes}}}`;
    case FRAME.maxData:
      return `{"frame_type":"max_data","maximum":${frame.offset}}`;
    case FRAME.maxStreamData:
      return `{"frame_type":"max_stream_data","stream_id":${frame.id},"maximum":${frame.offset}}`;
    case FRAME.maxStreams:
      return `{"frame_type":"max_streams","stream_type":"bidirectional","maximum":${frame.offset}}`;
    case FRAME.resetStream:
      return `{"frame_type":"reset_stream",${streamErrorAsJson(frame)},"final_size":${frame.offset}}`;
    case FRAME.stopSending:
      return `{"frame_type":"stop_sending",${streamErrorAsJson(frame)}}`;
    case FRAME.newConnectionId: {
      const id = toHex(frame.bytes.subarray(frame.start, frame.end));
      const numbers = `"sequence_number":${frame.offset},"retire_prior_to":0`;
      return `{"frame_type":"new_connection_id",${numbers},"connection_id":"${id}"}`;
    }
    case FRAME.retireConnectionId:
      return `{"frame_type":"retire_connection_id","sequence_number":${frame.offset}}`;
    // Their tokens prove ownership of an address, so they are left out.
    case FRAME.pathChallenge:
      return '{"frame_type":"path_challenge"}';
    case FRAME.pathResponse:
      return '{"frame_type":"path_response"}';
    case FRAME.close: {
      const { space, name } = nameOfError(frame.code);
      const error = `"error_space":"${space}","error":"${name}","error_code":${frame.code}`;
      return `{"frame_type":"connection_close",${error}}`;
    }
    // The schema has no names for the remaining frames.
    case FRAME.immediateAck:
      return '{"frame_type":"immediate_ack"}';
    case FRAME.ackFrequency: {
      const numbers = `"sequence_number":${frame.id},"ack_eliciting_threshold":${frame.offset}`;
      return `{"frame_type":"ack_frequency",${numbers},"request_max_ack_delay":${frame.code}}`;
    }
    case FRAME.rekey:
      return `{"frame_type":"rekey","key_phase":${frame.id},"step":${frame.code},"raw":{"length":${lengthBytes}}}`;
    default:
      return `{"frame_type":"unknown","frame_type_bytes":${frame.type}}`;
  }
}

function rangesAsJson(frame: FrameCursor): string {
  let json = "";
  for (let range = 0; range < frame.ackRanges; range++) {
    const from = frame.ackStarts[range]!;
    const to = frame.ackEnds[range]!;
    if (range > 0) json += ",";
    json += from === to ? `[${from}]` : `[${from},${to}]`;
  }
  return `[${json}]`;
}

function streamErrorAsJson(frame: FrameCursor): string {
  return `"stream_id":${frame.id},"error":"unknown","error_code":${frame.code}`;
}

function isHandshake(bytes: Uint8Array): boolean {
  return kindOf(bytes[0]!) === PACKET_HANDSHAKE;
}

function idAt(bytes: Uint8Array, at: number): string {
  return toHex(bytes.subarray(at, at + CONNECTION_ID_BYTES));
}

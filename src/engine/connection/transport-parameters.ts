/**
 * The limits that each side announces, encrypted, in its handshake: ID, length and value of each,
 * all as varints. Unknown IDs are ignored.  // after RFC 9000 §18
 */
import { SrudpError } from "../../base/errors.ts";
import { Reader } from "../../base/reader.ts";
import { varintBytes, writeVarint } from "../../base/varint.ts";

export interface TransportParameters {
  /**
   * Bytes that the peer may send on all streams together, and on each stream, before it receives
   * more credit.
   */
  maxDataBytes: number;
  maxStreamDataBytes: number;
  /** Number of streams that the peer may have open at once. */
  maxStreams: number;
  maxAckDelayMs: number;
  /** Silence after which the local side ends the link; 0 for never. */
  idleTimeoutMs: number;
  /** The largest DATAGRAM payload that the local side accepts. */
  maxDatagramBytes: number;
  /** The largest UDP payload that the local side accepts. */
  maxUdpPayloadBytes: number;
}

const IDS: readonly (readonly [keyof TransportParameters, number])[] = [
  ["idleTimeoutMs", 0x01],
  ["maxUdpPayloadBytes", 0x03],
  ["maxDataBytes", 0x04],
  ["maxStreamDataBytes", 0x05],
  ["maxStreams", 0x08],
  ["maxAckDelayMs", 0x0b],
  ["maxDatagramBytes", 0x20],
];

export const DEFAULT_PARAMETERS: Readonly<TransportParameters> = {
  // docs/protocol.md, "Flow control": a stream starts at 512 KiB; all streams together get 1.5
  // times as much.
  maxDataBytes: 768 * 1024,
  maxStreamDataBytes: 512 * 1024,
  maxStreams: 1024,
  maxAckDelayMs: 25,
  idleTimeoutMs: 60_000,
  maxDatagramBytes: 65_535,
  maxUdpPayloadBytes: 65_527,
};

export function encodeParameters(parameters: TransportParameters): Uint8Array {
  const bytes = new Uint8Array(256);
  let at = 0;
  for (const [name, id] of IDS) {
    at = writeVarint(bytes, at, id);
    at = writeVarint(bytes, at, varintBytes(parameters[name]));
    at = writeVarint(bytes, at, parameters[name]);
  }
  return bytes.slice(0, at);
}

/**
 * Throws ERR_PARAMETER for a parameter that is unreadable, is repeated, or would allow no data at
 * all.
 */
export function decodeParameters(bytes: Uint8Array): TransportParameters {
  const parameters: TransportParameters = { ...DEFAULT_PARAMETERS };
  const reader = new Reader(bytes);
  const seen = new Set<number>();
  while (reader.ok && reader.remaining > 0) {
    const id = reader.varint();
    const value = new Reader(reader.take(reader.varint()));
    if (seen.has(id)) throw new SrudpError("ERR_PARAMETER", `parameter ${id} twice`);
    seen.add(id);
    const known = IDS.find(([, number]) => number === id);
    if (known === undefined) continue;
    parameters[known[0]] = value.varint();
    if (!value.ok || value.remaining > 0) throw new SrudpError("ERR_PARAMETER", known[0]);
  }
  if (!reader.ok) throw new SrudpError("ERR_PARAMETER", "truncated");
  if (parameters.maxUdpPayloadBytes < 1200 || parameters.maxAckDelayMs > 2 ** 14) {
    throw new SrudpError("ERR_PARAMETER", "out of range");
  }
  return parameters;
}

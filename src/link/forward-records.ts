/**
 * The wire format of forwarding: the head of a forwarded stream, the answer to it, and the control
 * records that request a port from the peer. `docs/protocol.md` has the byte layout.
 *
 * The side that opens a forwarded stream sends its target and may send the connection's bytes
 * directly after it. The peer answers once its dial has succeeded or failed. The target's bytes
 * follow the answer.
 */
import { concatBytes, utf8Decode, utf8Encode } from "../base/bytes.ts";
import { ERRORS, errorReceivedAs, SrudpError } from "../base/errors.ts";
import { Reader } from "../base/reader.ts";
import { varintBytes, writeVarint } from "../base/varint.ts";

/**
 * A port or a Unix socket, to listen on or to dial. An empty host means loopback, for listening
 * only.
 */
export type Address =
  | { readonly kind: "tcp" | "udp"; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly path: string };

/**
 * The target of a forwarded stream: an address, the peer's first exposed target, or the destination
 * of a remote forward request.
 */
export type Target =
  | Address
  | { readonly kind: "first" }
  | { readonly kind: "requested"; readonly requestId: number };

/** Control records of forwarding. */
export const FORWARD_RECORD = { request: 2, reply: 3, cancel: 4 } as const;

/** Requests that the peer opens a port and forwards its connections to this side. */
export interface ForwardRequest {
  readonly requestId: number;
  readonly bind: Address;
}

/** The reply to a request: the opened port (0 for the path of a socket), or the failure. */
export interface ForwardReply {
  readonly requestId: number;
  readonly port: number;
  readonly failure: SrudpError | undefined;
}

const KIND = { tcp: 0, udp: 1, unix: 2, first: 3, requested: 4 } as const;
/**
 * Maximum length of a host name (RFC 1035 §2.3.4), of the path of any system's sockets, and of an
 * explanation, in UTF-8.
 */
const TEXT_LIMIT_BYTES = 1024;
/** Maximum length of heads and answers. A longer announced length is a protocol violation. */
export const HEAD_LIMIT_BYTES = 2048;
const MAX_PORT = 65_535;

/**
 * Encodes the head of a stream to `target`, preceded by its length. @throws SrudpError ERR_USAGE
 */
export function encodeHead(target: Target): Uint8Array {
  return withLength(encodeTarget(target));
}

/** @param body a head without its length. @throws SrudpError ERR_PROTOCOL */
export function decodeHead(body: Uint8Array): Target {
  const reader = new Reader(body);
  const target = readTarget(reader);
  return checked(reader, target, "head of a forwarded stream");
}

/**
 * Encodes the answer to a head, preceded by its length. Without `failure`, the target has been
 * reached.
 */
export function encodeAnswer(failure?: SrudpError): Uint8Array {
  return withLength(encodeFailure(failure));
}

/** The failure of the dial, or undefined if it succeeded. @throws SrudpError ERR_PROTOCOL */
export function decodeAnswer(body: Uint8Array): SrudpError | undefined {
  const reader = new Reader(body);
  const failure = readFailure(reader);
  return checked(reader, { failure }, "answer of a forwarded stream").failure;
}

export function encodeForwardRequest({ requestId, bind }: ForwardRequest): Uint8Array {
  return concatBytes(number(requestId), encodeTarget(bind));
}

/** @throws SrudpError ERR_PROTOCOL */
export function decodeForwardRequest(body: Uint8Array): ForwardRequest {
  const reader = new Reader(body);
  const requestId = reader.varint();
  const bind = readTarget(reader);
  if (bind === undefined || bind.kind === "first" || bind.kind === "requested")
    throw new SrudpError("ERR_PROTOCOL", "forward request");
  return checked(reader, { requestId, bind }, "forward request");
}

export function encodeForwardReply({ requestId, port, failure }: ForwardReply): Uint8Array {
  return concatBytes(number(requestId), number(port), encodeFailure(failure));
}

/** @throws SrudpError ERR_PROTOCOL */
export function decodeForwardReply(body: Uint8Array): ForwardReply {
  const reader = new Reader(body);
  const requestId = reader.varint();
  const port = reader.varint();
  const failure = readFailure(reader);
  return checked(reader, { requestId, port, failure }, "reply to a forward request");
}

export function encodeCancel(requestId: number): Uint8Array {
  return number(requestId);
}

/** @throws SrudpError ERR_PROTOCOL */
export function decodeCancel(body: Uint8Array): number {
  const reader = new Reader(body);
  return checked(reader, reader.varint(), "cancel");
}

/** The target as text: `host:port` in the syntax of ssh, a path, or a placeholder. */
export function formatTarget(target: Target): string {
  switch (target.kind) {
    case "tcp":
      return hostAndPort(target.host, target.port);
    case "udp":
      return `${hostAndPort(target.host, target.port)}/udp`;
    case "unix":
      return target.path;
    case "first":
      return "the first that is exposed";
    case "requested":
      return `connection of ask ${target.requestId}`;
  }
}

function hostAndPort(host: string, port: number): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host || "localhost"}:${port}`;
}

function encodeTarget(target: Target): Uint8Array {
  const kind = number(KIND[target.kind]);
  switch (target.kind) {
    case "tcp":
    case "udp":
      return concatBytes(kind, wholeText(target.host), number(target.port));
    case "unix":
      return concatBytes(kind, wholeText(target.path));
    case "first":
      return kind;
    case "requested":
      return concatBytes(kind, number(target.requestId));
  }
}

function readTarget(reader: Reader): Target | undefined {
  const kind = reader.varint();
  switch (kind) {
    case KIND.tcp:
    case KIND.udp: {
      const host = readText(reader);
      const port = reader.varint();
      if (port > MAX_PORT) return undefined;
      return { kind: kind === KIND.tcp ? "tcp" : "udp", host, port };
    }
    case KIND.unix:
      return { kind: "unix", path: readText(reader) };
    case KIND.first:
      return { kind: "first" };
    case KIND.requested:
      return { kind: "requested", requestId: reader.varint() };
    default:
      return undefined;
  }
}

function encodeFailure(failure: SrudpError | undefined): Uint8Array {
  if (failure === undefined) return number(0);
  const wire = ERRORS[failure.code].wire ?? ERRORS.ERR_TARGET_FAILED.wire!;
  return concatBytes(number(wire), text(failure.detail));
}

function readFailure(reader: Reader): SrudpError | undefined {
  const wire = reader.varint();
  if (wire === 0) return undefined;
  const detail = readText(reader);
  return new SrudpError(errorReceivedAs(wire) ?? "ERR_TARGET_FAILED", detail === "" ? undefined : detail);
}

function checked<T>(reader: Reader, value: T | undefined, what: string): T {
  if (value === undefined || !reader.ok || reader.remaining > 0) throw new SrudpError("ERR_PROTOCOL", what);
  return value;
}

function withLength(body: Uint8Array): Uint8Array {
  return concatBytes(number(body.length), body);
}

function number(value: number): Uint8Array {
  const bytes = new Uint8Array(varintBytes(value));
  writeVarint(bytes, 0, value);
  return bytes;
}

/**
 * Encodes a host or path. It is never truncated, because it would then name another target. @throws
 * SrudpError ERR_USAGE
 */
function wholeText(value: string): Uint8Array {
  if (utf8Encode(value).length > TEXT_LIMIT_BYTES)
    throw new SrudpError("ERR_USAGE", `A host or path is longer than ${TEXT_LIMIT_BYTES} bytes`);
  return text(value);
}

/** Encodes an explanation, truncated if it is too long. */
function text(value: string): Uint8Array {
  const bytes = utf8Encode(value).subarray(0, TEXT_LIMIT_BYTES);
  return concatBytes(number(bytes.length), bytes);
}

function readText(reader: Reader): string {
  return utf8Decode(reader.take(reader.varint()));
}

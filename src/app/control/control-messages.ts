/**
 * Requests and answers of a control socket. Each is one JSON object on one line.
 *
 * Both sides validate every message, because the socket may belong to another version of srudp or
 * to another program. Unknown fields are ignored.
 */

import { SrudpError } from "../../base/errors.ts";
import type { PathKind } from "../../base/path.ts";
import type { ForwardStatus } from "../forward/forwarder.ts";

export type ControlRequest =
  | { readonly do: "status" }
  | { readonly do: "resources" }
  | {
      readonly do: "add" | "cancel";
      readonly option: "L" | "R" | "D";
      readonly forward: string;
      /** The number of the link, if the process has several links with their own forwards. */
      readonly link?: number | undefined;
    };

/** A link as `status` reports it. Rates are current and count UDP payloads. */
export interface LinkStatus {
  /** The number of the link within the process. */
  readonly id: number;
  /** The public key of the peer. */
  readonly peer: string;
  readonly remote: string;
  readonly path: PathKind;
  readonly auth: string;
  /** Whether a packet arrived from the peer while this status was taken. */
  readonly isAlive: boolean;
  readonly rttMs: number;
  readonly lossPct: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly sentPerSecond: number;
  readonly receivedPerSecond: number;
  /** Connections that the peer opened through this machine. */
  readonly connections: number;
  /** Ports that the peer opened here. */
  readonly ports: readonly string[];
  /** Forwards of this side that end with the link. */
  readonly forwards: readonly ForwardStatus[];
}

export interface ProcessStatus {
  readonly pid: number;
  readonly command: string;
  /** The peer or port that the command was started with. */
  readonly name: string;
  /** Number of internal errors. Each one ended only one link. */
  readonly faults: number;
  readonly links: readonly LinkStatus[];
  /** Forwards that remain when the link is replaced. */
  readonly forwards: readonly ForwardStatus[];
}

/**
 * The resources of a process. After a link has ended they are the same as before. Used in tests and
 * to find leaks.
 */
export interface ProcessResources {
  /** The resources that keep the event loop running, by type (`process.getActiveResourcesInfo`). */
  readonly active: Readonly<Record<string, number>>;
  /** The sizes of all collections that outlive a link and the numbers of listeners, by name. */
  readonly counts: Readonly<Record<string, number>>;
}

export type ControlAnswer =
  | { readonly status: ProcessStatus }
  | { readonly resources: ProcessResources }
  | { readonly forward: ForwardStatus | undefined }
  | { readonly error: { readonly code: string; readonly message: string } };

/** @throws SrudpError ERR_USAGE for an invalid request */
export function parseRequest(line: string): ControlRequest {
  const request = parseJson(line);
  if (hasShape(request, { do: "string" })) {
    if (request.do === "status" || request.do === "resources") return { do: request.do };
    const isChange = request.do === "add" || request.do === "cancel";
    if (isChange && hasShape(request, CHANGE_SHAPE) && /^[LRD]$/.test(request.option as string))
      return request as unknown as ControlRequest;
  }
  throw new SrudpError("ERR_USAGE", "That is not a request");
}

/** @throws SrudpError ERR_CONTROL_ANSWER for an invalid answer */
export function parseAnswer(line: string): ControlAnswer {
  const answer = parseJson(line);
  if (hasShape(answer, {})) {
    const { status, forward, error } = answer;
    if (isProcessStatus(status)) return { status };
    if (hasShape(error, { code: "string", message: "string" }))
      return { error: { code: error.code as string, message: error.message as string } };
    if (status === undefined && error === undefined && (forward === undefined || isForwardStatus(forward)))
      return { forward };
  }
  throw new SrudpError("ERR_CONTROL_ANSWER");
}

type Shape = Readonly<Record<string, "string" | "number" | "boolean" | "number?">>;

const CHANGE_SHAPE: Shape = { option: "string", forward: "string", link: "number?" };
const FORWARD_SHAPE: Shape = {
  ...{ name: "string", kind: "string", bind: "string", target: "string" },
  ...{ isOpen: "boolean", connections: "number" },
};
const LINK_SHAPE: Shape = {
  ...{ id: "number", peer: "string", remote: "string", path: "string", auth: "string", isAlive: "boolean" },
  ...{ rttMs: "number", lossPct: "number", connections: "number" },
  ...{ sentBytes: "number", receivedBytes: "number", sentPerSecond: "number", receivedPerSecond: "number" },
};

function isProcessStatus(value: unknown): value is ProcessStatus {
  return (
    hasShape(value, { pid: "number", command: "string", name: "string" }) &&
    isListOf(value.links, isLinkStatus) &&
    isListOf(value.forwards, isForwardStatus)
  );
}

function isLinkStatus(value: unknown): value is LinkStatus {
  return (
    hasShape(value, LINK_SHAPE) &&
    isListOf(value.ports, (port): port is string => typeof port === "string") &&
    isListOf(value.forwards, isForwardStatus)
  );
}

function isForwardStatus(value: unknown): value is ForwardStatus {
  return hasShape(value, FORWARD_SHAPE);
}

function isListOf<T>(value: unknown, isItem: (item: unknown) => item is T): value is T[] {
  return Array.isArray(value) && value.every(isItem);
}

/** Whether `value` is an object with fields of these types. "?" marks an optional field. */
function hasShape(value: unknown, shape: Shape): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const fields = value as Readonly<Record<string, unknown>>;
  return Object.entries(shape).every(([name, type]) => {
    const field = fields[name];
    return typeof field === type.replace("?", "") || (type.endsWith("?") && field === undefined);
  });
}

/** The parsed value, or undefined if `line` is not JSON. */
function parseJson(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return undefined;
  }
}

/**
 * Requests and answers of a control socket: one JSON object each, on one line.
 *
 * Both sides check what they read before they use it: a socket may belong to another version of srudp, or to
 * another program. Unknown fields are ignored.
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
      /** Its number, where the process has several links with forwards of their own. */
      readonly link?: number | undefined;
    };

/** A link as `status` reports it. Rates are current, of UDP payloads. */
export interface LinkStatus {
  /** Its number among those of the process. */
  readonly id: number;
  /** The peer's key. */
  readonly peer: string;
  readonly remote: string;
  readonly path: PathKind;
  readonly auth: string;
  /** Whether the peer answered just now. */
  readonly isAlive: boolean;
  readonly rttMs: number;
  readonly lossPct: number;
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly sentPerSecond: number;
  readonly receivedPerSecond: number;
  /** Connections that the peer leads through this side. */
  readonly connections: number;
  /** Ports that the peer had opened here. */
  readonly ports: readonly string[];
  /** Forwards of this side that end with the link. */
  readonly forwards: readonly ForwardStatus[];
}

export interface ProcessStatus {
  readonly pid: number;
  readonly command: string;
  /** The peer or port that the command was given. */
  readonly name: string;
  /** Internal errors so far; each ended one link only. */
  readonly faults: number;
  readonly links: readonly LinkStatus[];
  /** Forwards that stay when the link is made again. */
  readonly forwards: readonly ForwardStatus[];
}

/**
 * The resources of a process. After a link has ended they are the same as before. For tests and for finding leaks.
 */
export interface ProcessResources {
  /** What keeps the event loop running, by its type (`process.getActiveResourcesInfo`). */
  readonly active: Readonly<Record<string, number>>;
  /** Sizes of the maps of everything that outlives a link, and numbers of listeners, by name. */
  readonly counts: Readonly<Record<string, number>>;
}

export type ControlAnswer =
  | { readonly status: ProcessStatus }
  | { readonly resources: ProcessResources }
  | { readonly forward: ForwardStatus | undefined }
  | { readonly error: { readonly code: string; readonly message: string } };

/** @throws SrudpError ERR_USAGE for a line that is no request */
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

/** @throws SrudpError ERR_CONTROL_ANSWER for a line that is no answer */
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

/** Whether `value` is an object with fields of these types; "?" marks one that may be absent. */
function hasShape(value: unknown, shape: Shape): value is Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const fields = value as Readonly<Record<string, unknown>>;
  return Object.entries(shape).every(([name, type]) => {
    const field = fields[name];
    return typeof field === type.replace("?", "") || (type.endsWith("?") && field === undefined);
  });
}

/** The value, or undefined for a text that is no JSON. */
function parseJson(line: string): unknown {
  try {
    return JSON.parse(line) as unknown;
  } catch {
    return undefined;
  }
}

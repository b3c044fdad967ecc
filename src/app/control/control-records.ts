/** What is asked and answered over a control socket: one object of JSON each, a line long. */
import type { ForwardStatus } from "../forward/forwarder.ts";

export type ControlRequest =
  | { readonly do: "status" }
  | {
      readonly do: "add" | "cancel";
      readonly option: "L" | "R" | "D";
      readonly forward: string;
      /** Its number, where the process has several links with forwards of their own. */
      readonly link?: number | undefined;
    };

/** A link as `status` shows it. Rates are of the moment, of UDP payloads. */
export interface LinkStatus {
  /** Its number among those of the process. */
  readonly id: number;
  /** The peer's key. */
  readonly peer: string;
  readonly remote: string;
  readonly path: "direct" | "lan" | "relay";
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
  readonly links: readonly LinkStatus[];
  /** Forwards that stay when the link is made again. */
  readonly forwards: readonly ForwardStatus[];
}

export type ControlAnswer =
  | { readonly status: ProcessStatus }
  | { readonly forward: ForwardStatus | undefined }
  | { readonly error: { readonly code: string; readonly message: string } };

/** A connection that does nothing but remember what it was told, and say what it was given to say. */
import type { Path } from "../../../src/base/path.ts";
import type { Transmit } from "../../../src/engine/connection/connection.ts";
import type { ConnectionEvent } from "../../../src/engine/connection/events.ts";
import type { ConnectionOwner, Drivable } from "../../../src/link/connection-handle.ts";

export class FakeConnection implements Drivable {
  state = "established";
  readonly connectionId: Uint8Array;
  deadlineMs: number = Number.POSITIVE_INFINITY;
  /** Datagrams to be sent: one batch each. */
  outgoing: { bytes: Uint8Array; segmentBytes: number; path: Path }[] = [];
  /** Events to be told, by kind. */
  events: number[] = [];
  /** What was called, in order; repeated questions that were answered with "nothing" are left out. */
  readonly calls: string[] = [];
  readonly received: { now: number; path: Path; bytes: Uint8Array }[] = [];
  onTimeout: (() => void) | undefined;

  constructor(...connectionId: number[]) {
    this.connectionId = Uint8Array.from(connectionId);
  }

  handleDatagram(now: number, path: Path, bytes: Uint8Array): void {
    this.calls.push("datagram");
    // The socket uses the memory again.
    this.received.push({ now, path, bytes: bytes.slice() });
  }

  handleTimeout(): void {
    this.calls.push("timeout");
    this.onTimeout?.();
  }

  pollTransmit(_now: number, into: Transmit): boolean {
    const next = this.outgoing.shift();
    this.calls.push(next === undefined ? "nothing to send" : "send");
    if (next === undefined) return false;
    into.buffer.set(next.bytes);
    into.length = next.bytes.length;
    into.segmentBytes = next.segmentBytes;
    into.path = next.path;
    return true;
  }

  pollTimeout(): number {
    this.calls.push("deadline");
    return this.deadlineMs;
  }

  pollEvent(into: ConnectionEvent): boolean {
    const kind = this.events.shift();
    this.calls.push(kind === undefined ? "no event" : "event");
    if (kind === undefined) return false;
    into.kind = kind;
    return true;
  }
}

/** An owner that remembers the events, and may do something about them. */
export class FakeOwner implements ConnectionOwner {
  readonly kinds: number[] = [];
  readonly faults: unknown[] = [];
  isDetached = false;
  onEvent: ((kind: number) => void) | undefined;

  handleEvent(event: ConnectionEvent): void {
    this.kinds.push(event.kind);
    this.onEvent?.(event.kind);
  }

  handleFault(fault: unknown): void {
    this.faults.push(fault);
  }

  handleDetached(): void {
    this.isDetached = true;
  }
}

/**
 * Faults: unexpected exceptions, which are bugs on this side. A fault ends the link that was being
 * served, with ERR_INTERNAL here and ERR_PEER_INTERNAL at the peer. Other links and the process
 * continue.
 *
 * Every entry into code that serves a link is guarded at one of these places:
 * - `Endpoint`: datagrams, the timer, and events of connections
 * - `Stream`: listeners of links and streams (`emit`), and the methods that Node's streams call
 *   (`_read`, `_write`, …)
 * - `Stream.guard`, `ConnectionHandle.guard`: other timers, sockets and callbacks that serve one
 *   link
 *
 * An event listener may be the user's. Its exceptions are faults only if `onFault` is given.
 * Otherwise they are uncaught exceptions of the process, like those of listeners of `node:net`.
 */
import { SrudpError } from "../base/errors.ts";
import type { RemoteAddress } from "../platform/udp/address.ts";

/**
 * Called with each fault.
 *
 * @param remote the peer that was being served; undefined if it is not known
 */
export type FaultHandler = (error: unknown, remote: RemoteAddress | undefined) => void;

/** The error that a link ends with because of a fault. */
export function faultError(fault: unknown): SrudpError {
  if (fault instanceof SrudpError && fault.code === "ERR_INTERNAL") return fault;
  const what = fault instanceof Error ? `${fault.name}: ${fault.message}` : String(fault);
  return new SrudpError("ERR_INTERNAL", what, fault);
}

/** Wraps `work` so that its exceptions are passed to `fail`. */
export function guarded<Values extends unknown[]>(
  work: (...values: Values) => void,
  fail: (error: unknown) => void,
): (...values: Values) => void {
  return (...values) => {
    try {
      work(...values);
    } catch (error) {
      fail(error);
    }
  };
}

/** Makes `error` an uncaught exception, without unwinding the caller. */
export function throwLater(error: unknown): void {
  process.nextTick(() => {
    throw error;
  });
}

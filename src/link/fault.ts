/**
 * Faults: exceptions that nothing expects, so bugs on this side. A fault ends the link that was being served, with
 * ERR_INTERNAL here and ERR_PEER_INTERNAL at the peer. No other link notices, and the process goes on.
 *
 * Every way into code that serves a link is guarded at one of these places:
 * - `Endpoint`: datagrams, the timer, and events of connections
 * - `Stream`: listeners of links and streams (`emit`), and what Node's streams call (`_read`, `_write`, …)
 * - `Link.guard`, `Attachment.guard`: other timers, sockets and callbacks that serve one link
 *
 * A listener may be the user's own. Its exceptions are faults only where `onFault` is given; without it they are
 * uncaught exceptions of the process, as those of listeners of `node:net` are.
 */
import { SrudpError } from "../base/errors.ts";
import type { RemoteAddress } from "../platform/udp/address.ts";

/**
 * Called with each fault.
 *
 * @param remote the peer that was being served; undefined where that is not known
 */
export type FaultHandler = (error: unknown, remote: RemoteAddress | undefined) => void;

/** The error that a link ends with because of a fault. */
export function faultError(fault: unknown): SrudpError {
  if (fault instanceof SrudpError && fault.code === "ERR_INTERNAL") return fault;
  const what = fault instanceof Error ? `${fault.name}: ${fault.message}` : String(fault);
  return new SrudpError("ERR_INTERNAL", what, fault);
}

/** `work` with its exceptions given to `fail`. */
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

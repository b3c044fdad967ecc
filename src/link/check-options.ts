/**
 * Validates the options of `connect`, `meet` and `listen` before they are used. Node and the system
 * would truncate, wrap or silently ignore invalid values.
 */
import { SrudpError } from "../base/errors.ts";
import type { CommonOptions, ConnectOptions, ListenOptions } from "./link-options.ts";

/** @throws SrudpError ERR_USAGE */
export function checkConnectOptions(options: ConnectOptions): void {
  checkCommonOptions(options);
  const { host, port } = options;
  if (typeof host !== "string" || host === "") throw misuse("host", host, "a name or an address");
  if (!isIntegerIn(port, 1, 65_535)) throw misuse("port", port, "an integer from 1 to 65535");
}

/** @throws SrudpError ERR_USAGE */
export function checkListenOptions(options: ListenOptions): void {
  checkCommonOptions(options);
  const { port, maxLinks } = options;
  if (port !== undefined && !isIntegerIn(port, 0, 65_535))
    throw misuse("port", port, "an integer from 0 to 65535");
  if (maxLinks !== undefined && !isIntegerIn(maxLinks, 1, Number.MAX_SAFE_INTEGER))
    throw misuse("maxLinks", maxLinks, "a positive integer");
}

/** @throws SrudpError ERR_USAGE */
export function checkCommonOptions(options: CommonOptions): void {
  if (typeof options !== "object" || options === null) throw misuse("options", options, "an object");
  const { family, localAddress, localPort, timeoutMs, idleTimeoutMs, congestion } = options;
  if (localPort !== undefined && !isIntegerIn(localPort, 0, 65_535))
    throw misuse("localPort", localPort, "an integer from 0 to 65535");
  if (localAddress !== undefined && typeof localAddress !== "string")
    throw misuse("localAddress", localAddress, "an address");
  if (family !== undefined && family !== 4 && family !== 6) throw misuse("family", family, "4 or 6");
  // The comparison is negated because every comparison with NaN is false.
  if (timeoutMs !== undefined && !(typeof timeoutMs === "number" && timeoutMs >= 0))
    throw misuse("timeoutMs", timeoutMs, "a number of milliseconds, or Infinity");
  if (idleTimeoutMs !== undefined && !(typeof idleTimeoutMs === "number" && idleTimeoutMs > 0))
    throw misuse("idleTimeoutMs", idleTimeoutMs, "a positive number of milliseconds, or Infinity");
  if (congestion !== undefined && congestion !== "bbr" && congestion !== "cubic")
    throw misuse("congestion", congestion, '"bbr" or "cubic"');
}

function isIntegerIn(value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}

function misuse(name: string, value: unknown, wanted: string): SrudpError {
  const shown = typeof value === "string" ? JSON.stringify(value) : String(value);
  return new SrudpError("ERR_USAGE", `The option ${name} is ${shown.slice(0, 100)} and has to be ${wanted}`);
}

/** Dials a target, and maps the errors of a failed dial. */
import { connect, type Socket } from "node:net";
import { type ErrorCode, SrudpError } from "../../base/errors.ts";
import { type Address, formatTarget, type Target } from "../../link/forward-records.ts";
import { onAbort } from "../../platform/abort.ts";
import { socketLookup } from "../../platform/name-lookup.ts";
import { socketPathError } from "../../platform/socket-path.ts";

/**
 * Connects to `address`, with Nagle's algorithm off.
 *
 * @param signal cancels the dial
 * @throws SrudpError ERR_TARGET_…; the signal's reason
 */
export function dial(address: Address, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    // Node would connect to this machine for an empty host.
    if (address.kind !== "unix" && address.host === "") throw new SrudpError("ERR_TARGET_UNKNOWN", "no host");
    const tooLong = address.kind === "unix" ? socketPathError(address.path) : undefined;
    if (tooLong !== undefined) throw targetError(address, tooLong);
    const where =
      address.kind === "unix" ? { path: address.path } : { host: address.host, port: address.port };
    const options = { allowHalfOpen: true, noDelay: true, keepAlive: true, lookup: socketLookup(signal) };
    const socket = connect({ ...where, ...options });
    const giveUp = (): void => {
      socket.destroy();
      reject(signal.reason);
    };
    const fail = (error: NodeJS.ErrnoException): void => {
      release();
      reject(targetError(address, error));
    };
    const release = onAbort(signal, giveUp);
    socket.once("error", fail);
    socket.once("connect", () => {
      release();
      socket.off("error", fail);
      resolve(socket);
    });
  });
}

/** The error code that a failed dial is reported with. */
export function targetError(address: Address, thrown: NodeJS.ErrnoException): SrudpError {
  // Among a name's addresses, only the last one was given as much time as it needed.
  const error = thrown instanceof AggregateError ? (thrown.errors.at(-1) as NodeJS.ErrnoException) : thrown;
  const codes = address.kind === "unix" ? PATH_CODES : CODES;
  const code = codes[error.code ?? ""] ?? "ERR_TARGET_FAILED";
  const reason = REASONS[error.code ?? ""] ?? error.code ?? error.message;
  return new SrudpError(code, `${formatTarget(address)} (${reason})`, error);
}

/**
 * The error that is sent to the peer that requested `target`. It reveals nothing about this machine
 * that the peer did not name itself: no path, no address that a name resolved to, and no text of an
 * unexpected error.
 */
export function failureForPeer(target: Target | undefined, { code, cause }: SrudpError): SrudpError {
  const requested = target === undefined ? "" : formatTarget(target);
  const errno = (cause as NodeJS.ErrnoException | undefined)?.code ?? "";
  const reason = /^E[A-Z0-9_]{1,30}$/.test(errno) ? ` (${REASONS[errno] ?? errno})` : "";
  return new SrudpError(code, `${requested}${reason}`);
}

const REASONS: Readonly<Record<string, string>> = {
  ETIMEOUT: "ETIMEOUT: DNS does not answer",
  EMFILE: "EMFILE: the exposing side may open no more files, see `ulimit -n` there",
  ENAMETOOLONG: "ENAMETOOLONG: the path is too long for a socket",
};

const CODES: Readonly<Record<string, ErrorCode>> = {
  ECONNREFUSED: "ERR_TARGET_REFUSED",
  EHOSTUNREACH: "ERR_TARGET_UNREACHABLE",
  EHOSTDOWN: "ERR_TARGET_UNREACHABLE",
  // A route, or an IPv6 router, prohibits the connection.
  EACCES: "ERR_TARGET_UNREACHABLE",
  ENETUNREACH: "ERR_TARGET_NO_NETWORK",
  EADDRNOTAVAIL: "ERR_TARGET_NO_NETWORK",
  ETIMEDOUT: "ERR_TARGET_TIMEOUT",
  ENOTFOUND: "ERR_TARGET_UNKNOWN",
  EAI_AGAIN: "ERR_TARGET_UNKNOWN",
  // A DNS timeout; a connection timeout is ETIMEDOUT.
  ETIMEOUT: "ERR_TARGET_UNKNOWN",
};

const PATH_CODES: Readonly<Record<string, ErrorCode>> = {
  ECONNREFUSED: "ERR_TARGET_REFUSED",
  ENOENT: "ERR_TARGET_REFUSED",
};

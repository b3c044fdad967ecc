/** Allocates a relayed address on a TURN server: by UDP where that works, else by TCP or TLS. */
import { isIP } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { SrudpError } from "../../base/errors.ts";
import { resolveHost } from "../../link/resolve.ts";
import { onAbort } from "../../platform/abort.ts";
import type { HostAddress } from "../../platform/udp/address.ts";
import { addressScope } from "../../punch/address-scope.ts";
import { parseStun, STUN_ATTRIBUTE, STUN_METHOD, type StunMessage } from "../../wire/stun.ts";
import { openStreamCarriage, openUdpCarriage, type TurnCarriage } from "./turn-carriage.ts";
import { type TurnAnswer, TurnRequests } from "./turn-requests.ts";
import { describeTurn, parseTurnUri, type TurnServer } from "./turn-server.ts";
import { ALLOCATION_LIFETIME_S, type Allocation, TurnSocket, type TurnSocketOptions } from "./turn-socket.ts";

export interface TurnOptions extends TurnSocketOptions {
  /** Family of the relayed address. Default 4. */
  readonly family?: 4 | 6;
  /** No name is looked up. */
  readonly isNumeric?: boolean;
  /** Certificate authorities for `turns:`, in place of the system's. */
  readonly tls?: Pick<ConnectionOptions, "ca">;
  /** Gives up with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** UDP's head start over TCP. */
const TCP_AFTER_MS = 500;
/** REQUESTED-TRANSPORT for UDP: the protocol's number in the first byte.  // RFC 8656 §18.7 */
const TRANSPORT_UDP = 17 * 0x1000000;
/** REQUESTED-ADDRESS-FAMILY for IPv6.  // RFC 8656 §18.6 */
const FAMILY_IPV6 = 2 * 0x1000000;
const TRY_ALTERNATE = 300;
const ALLOCATION_MISMATCH = 437;
/** Attempts in all: a server may redirect to another, or take a fresh socket for an old one. */
const ATTEMPTS = 3;

type TransportAttempt = "udp" | "tcp" | "tls";

interface Target extends HostAddress {
  readonly port: number;
}

/**
 * A socket whose datagrams leave from the server's address; publish its `relayed` to the peer.
 *
 * @param uri see `turn-server.ts`
 * @throws SrudpError ERR_USAGE, ERR_HOST_UNKNOWN, ERR_RELAY_REFUSED; the signal's reason
 */
export async function openTurn(uri: string, options: TurnOptions = {}): Promise<TurnSocket> {
  const server = parseTurnUri(uri);
  const [address] = await resolveHost(server.host, {
    names: options.isNumeric !== true,
    signal: options.signal,
  });
  const target: Target = { ...address!, port: server.port };
  const { transport } = server;
  if (transport !== "any") return await openBy(transport, server, target, options);
  // The losing attempt is aborted, and its allocation released.
  const loser = new AbortController();
  const { signal } = loser;
  const release = onAbort(options.signal, () => loser.abort(options.signal?.reason));
  try {
    return await Promise.any([
      openBy("udp", server, target, { ...options, signal }),
      pause(TCP_AFTER_MS, signal).then(() => openBy("tcp", server, target, { ...options, signal })),
    ]);
  } catch (error) {
    // Both failed: the UDP error says more, unless it is a timeout.
    const [byUdp, byTcp] = (error as AggregateError).errors;
    throw byUdp instanceof SrudpError && byUdp.cause === SILENCE ? byTcp : byUdp;
  } finally {
    release();
    loser.abort();
  }
}

async function openBy(
  way: TransportAttempt,
  server: TurnServer,
  first: Target,
  options: TurnOptions,
): Promise<TurnSocket> {
  let target = first;
  let hasDetoured = false;
  let answer: TurnAnswer = { kind: "silence" };
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const carriage = await openCarriage(way, server, target, options);
    const requests = new TurnRequests(carriage, server.credentials);
    answer = await allocate(carriage, requests, options);
    const allocation = answer.kind === "success" ? allocationIn(answer.message) : undefined;
    if (allocation !== undefined) {
      const socket = new TurnSocket(carriage, requests, allocation, options);
      if (options.signal?.aborted !== true) return socket;
      socket.close();
    } else carriage.close();
    options.signal?.throwIfAborted();
    const next = detourOf(answer, target);
    if (next === undefined) break;
    if (next !== target) {
      if (hasDetoured || !mayFollow(first.address, next.address)) break;
      hasDetoured = true;
    }
    target = next;
  }
  throw refusal(server, answer);
}

/** @throws SrudpError ERR_RELAY_REFUSED; the signal's reason */
async function openCarriage(
  way: TransportAttempt,
  server: TurnServer,
  target: Target,
  options: TurnOptions,
): Promise<TurnCarriage> {
  const { signal, tls } = options;
  signal?.throwIfAborted();
  try {
    if (way === "udp") return await openUdpCarriage(target);
    // The certificate proves a name, and an address where it lists one.
    const name = isIP(server.host) === 0 ? { servername: server.host } : {};
    return await openStreamCarriage(target, way === "tls" ? { ...tls, ...name } : undefined, signal);
  } catch (error) {
    signal?.throwIfAborted();
    const { code } = error as NodeJS.ErrnoException;
    throw new SrudpError("ERR_RELAY_REFUSED", `${describeTurn(server)} (${code ?? "no connection"})`, error);
  }
}

async function allocate(
  carriage: TurnCarriage,
  requests: TurnRequests,
  options: TurnOptions,
): Promise<TurnAnswer> {
  carriage.onMessage = (bytes) => {
    const message = parseStun(bytes);
    if (message !== undefined) requests.take(message);
  };
  carriage.onEnd = () => requests.close();
  const release = onAbort(options.signal, () => requests.close());
  try {
    return await requests.request(STUN_METHOD.allocate, (writer) => {
      writer
        .u32(STUN_ATTRIBUTE.requestedTransport, TRANSPORT_UDP)
        .u32(STUN_ATTRIBUTE.lifetime, ALLOCATION_LIFETIME_S);
      if (options.family === 6) writer.u32(STUN_ATTRIBUTE.requestedAddressFamily, FAMILY_IPV6);
    });
  } finally {
    release();
  }
}

function allocationIn(message: StunMessage): Allocation | undefined {
  const relayed = message.xorAddress(STUN_ATTRIBUTE.xorRelayedAddress);
  const lifetimeS = message.u32(STUN_ATTRIBUTE.lifetime) ?? ALLOCATION_LIFETIME_S;
  if (relayed === undefined || relayed.port === 0 || lifetimeS === 0) return undefined;
  return { relayed, mapped: message.mappedAddress, lifetimeMs: lifetimeS * 1000 };
}

/** The server to try next after this answer; undefined when there is none. */
function detourOf(answer: TurnAnswer, target: Target): Target | undefined {
  if (answer.kind !== "error") return undefined;
  if (answer.code === ALLOCATION_MISMATCH) return target;
  if (answer.code !== TRY_ALTERNATE) return undefined;
  return answer.message.address(STUN_ATTRIBUTE.alternateServer);
}

/**
 * Whether a server may redirect its clients to an address. Only TLS authenticates that answer, so a
 * forged one could send the user name and a keyed hash to any host. Addresses of this machine and
 * of private networks are followed only from a server of the same kind.  // RFC 8489 §10
 */
export function mayFollow(serverAddress: string, alternateAddress: string): boolean {
  const scope = addressScope(alternateAddress);
  return scope !== "unusable" && (scope === "global" || scope === addressScope(serverAddress));
}

function refusal(server: TurnServer, answer: TurnAnswer): SrudpError {
  const name = describeTurn(server);
  switch (answer.kind) {
    case "silence":
      return new SrudpError("ERR_RELAY_REFUSED", `${name} does not answer`, SILENCE);
    case "error": {
      const isUser = answer.code === 401 || answer.code === 441;
      if (isUser && server.credentials === undefined) {
        return new SrudpError("ERR_RELAY_REFUSED", `${name} wants a user and a password`);
      }
      if (isUser) return new SrudpError("ERR_RELAY_REFUSED", `${name} does not know that user and password`);
      return new SrudpError("ERR_RELAY_REFUSED", `${name} answers ${answer.code}`);
    }
    case "success":
      return new SrudpError("ERR_RELAY_REFUSED", `${name} names no relayed address`);
  }
}

/** Cause of an error that means a timeout. */
const SILENCE: unique symbol = Symbol("silence");

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", abort);
      resolve();
    }, ms);
    signal.addEventListener("abort", abort, { once: true });
  });
}

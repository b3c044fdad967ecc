/** Creates the engine's parts for one peer and attaches them to an endpoint. */

import { randomBytes } from "node:crypto";
import { SrudpError } from "../base/errors.ts";
import type { Path } from "../base/path.ts";
import { Connection } from "../engine/connection/connection.ts";
import { DEFAULT_PARAMETERS, encodeParameters } from "../engine/connection/transport-parameters.ts";
import { Handshake, type Role } from "../engine/handshake/handshake.ts";
import { primitives } from "../platform/crypto/provider.ts";
import { familyOf, type RemoteAddress } from "../platform/udp/address.ts";
import { largestPayload, mtuCeilingOf } from "../platform/udp/mtu-ceiling.ts";
import { CONNECTION_ID_BYTES } from "../wire/packet.ts";
import type { ConnectionHandle, ConnectionOwner } from "./connection-handle.ts";
import type { Endpoint } from "./endpoint.ts";
import { type CommonOptions, DEFAULT_IDLE_TIMEOUT_MS } from "./link-options.ts";
import { Qlog } from "./qlog/qlog.ts";
import { QlogFile } from "./qlog/qlog-file.ts";
import type { Trust } from "./trust.ts";

/** The parts of a connection. */
export interface ConnectionParts {
  readonly connection: Connection;
  readonly handshake: Handshake;
  readonly connectionHandle: ConnectionHandle;
}

export interface NewConnectionOptions {
  readonly role: Role;
  readonly trust: Trust;
  /** Paths to the peer, if this side is the initiator. */
  readonly paths: readonly Path[];
  readonly common: CommonOptions;
  /** Receives an exception of the caller's `verifyPeer`. The peer is refused. */
  readonly onVerifyFailure?: (error: unknown) => void;
}

/**
 * Limit of the unread bytes in all streams of a link. Each stream has its own window, initially 512
 * KiB, so that a hundred stopped readers do not block the other streams.
 */
const LINK_WINDOW_BYTES: number = 64 * 1024 * 1024;
/** Maximum number of random connection IDs to try. If all of them are in use, there is a bug. */
const DRAWS_LIMIT = 8;

/**
 * Starts a connection at `endpoint`, which drives it from now on. Its events go to the owner that
 * `ownerOf` returns.
 */
export function newConnection<Owner extends ConnectionOwner>(
  endpoint: Endpoint,
  ownerOf: (parts: ConnectionParts) => Owner,
  options: NewConnectionOptions,
): ConnectionParts & { readonly owner: Owner } {
  for (let draw = 0; draw < DRAWS_LIMIT; draw++) {
    const parts = tryConnection(endpoint, ownerOf, options);
    if (parts !== undefined) return parts;
  }
  throw new SrudpError("ERR_INTERNAL", "no free connection ID");
}

function tryConnection<Owner extends ConnectionOwner>(
  endpoint: Endpoint,
  ownerOf: (parts: ConnectionParts) => Owner,
  { role, trust, paths, common, onVerifyFailure }: NewConnectionOptions,
): (ConnectionParts & { readonly owner: Owner }) | undefined {
  const { idleTimeoutMs = DEFAULT_IDLE_TIMEOUT_MS, congestion = "bbr" } = common;
  const parameters = {
    ...DEFAULT_PARAMETERS,
    maxDataBytes: LINK_WINDOW_BYTES,
    maxUdpPayloadBytes: largestPayload(endpoint.sockets),
    idleTimeoutMs: Number.isFinite(idleTimeoutMs) ? idleTimeoutMs : 0,
  };
  const connectionId = random(CONNECTION_ID_BYTES);
  let connectionHandle: ConnectionHandle | undefined;

  /** Passes on an asynchronous verdict. */
  const answerLater = (verdict: Promise<boolean>): void => {
    const answer = (accepted: boolean): void => {
      if (connectionHandle === undefined || connectionHandle.detached || connection.state !== "handshaking")
        return;
      connection.answerPeer(connectionHandle.now(), accepted);
      connectionHandle.touch();
    };
    verdict.then(answer, (error: unknown) => {
      onVerifyFailure?.(error);
      answer(false);
    });
  };

  const handshake = new Handshake({
    role,
    mayRespond: role === "initiator",
    ...(role === "initiator" && { mode: trust.mode }),
    ...(trust.peerKey !== undefined && { peerKey: trust.peerKey }),
    credentials: trust.credentials,
    primitives: primitives(),
    random,
    identity: trust.identity,
    connectionId,
    parameters: encodeParameters(parameters),
    verifyPeer: (publicKey, mode) => {
      try {
        const verdict = trust.judge(publicKey, mode, remoteOf(connectionHandle?.latestPath));
        if (typeof verdict === "boolean") return verdict ? "accept" : "refuse";
        answerLater(verdict);
        return "ask";
      } catch (error) {
        onVerifyFailure?.(error);
        return "refuse";
      }
    },
  });
  const qlog = newQlog(endpoint, role, connectionId, common);
  const connection = new Connection(endpoint.now(), {
    handshake,
    paths,
    primitives: primitives(),
    random,
    parameters,
    idleTimeoutMs,
    congestion,
    connectionId,
    mtuCeilingBytes: ({ socket, address }) => mtuCeilingOf(endpoint.socketAt(socket), address),
    ...(qlog !== undefined && { tracer: qlog }),
  });
  let owner: Owner | undefined;
  connectionHandle = endpoint.attach(
    connection,
    (handle) => {
      owner = ownerOf({ connection, handshake, connectionHandle: handle });
      return owner;
    },
    paths,
    qlog && (() => qlog.finish()),
  );
  if (connectionHandle === undefined || owner === undefined) return undefined;
  return { connection, handshake, connectionHandle, owner };
}

/** The connection's trace, if one is requested. */
function newQlog(
  endpoint: Endpoint,
  role: Role,
  connectionId: Uint8Array,
  { qlogDirectory }: CommonOptions,
): Qlog | undefined {
  if (qlogDirectory === undefined) return undefined;
  return new Qlog({
    sink: new QlogFile(qlogDirectory),
    role,
    connectionId,
    startMs: endpoint.now(),
    startDate: new Date(),
    localOf: (socket) => endpoint.socketAt(socket)?.local,
  });
}

/** The remote address of `path`. */
export function remoteOf(path: Path | undefined): RemoteAddress {
  if (path === undefined) return { address: "", port: 0, family: 4 };
  const { address, port } = path;
  return { address, port, family: familyOf(address) };
}

function random(byteLength: number): Uint8Array {
  const bytes = randomBytes(byteLength);
  return new Uint8Array(bytes.buffer, bytes.byteOffset, byteLength);
}

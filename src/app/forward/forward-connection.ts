/** Forwards the connections of a port to their destination. */
import type { Socket } from "node:net";
import { SrudpError } from "../../base/errors.ts";
import { formatTarget, type Target } from "../../link/forward-records.ts";
import { processDescriptors } from "../../platform/descriptor-budget.ts";
import type { Dialer } from "./dialer.ts";
import { readSocksRequest, type SocksRequest } from "./socks.ts";
import type { Destination } from "./spec.ts";
import { resetSocket, Splice } from "./splice.ts";
import type { ForwardWatcher } from "./watcher.ts";

/** The connections of one forward or of one peer. */
export type Connections = Set<Socket>;

/**
 * Forwards `socket` until both directions have ended. If the target cannot be reached, the watcher
 * receives the reason and the socket is reset before it receives a byte; a SOCKS client receives an
 * error reply instead.
 */
export async function forwardConnection(
  socket: Socket,
  destination: Destination | Target,
  dialer: Dialer,
  connections: Connections,
  watcher: ForwardWatcher,
): Promise<void> {
  const onShort = (): void => {
    const target = destination.kind === "socks" ? "socks" : formatTarget(destination);
    const error = new SrudpError("ERR_DESCRIPTORS", "Connections are refused");
    watcher.failed({ by: "own", what: "connection", target, error });
  };
  // The socket has its descriptor already. The budget limits the descriptors that remain.
  const release = processDescriptors.admit(onShort);
  if (release === undefined) {
    resetSocket(socket);
    return;
  }
  release();
  connections.add(socket);
  const forget = (): void => void connections.delete(socket);
  socket.once("close", forget);
  try {
    if (destination.kind !== "socks") await connectTo(socket, destination, dialer, watcher);
    else {
      const request = await readSocksRequest(socket);
      if (request !== undefined) await connectTo(socket, request.target, dialer, watcher, request);
    }
  } catch {
    // The client disconnected, or sent no valid SOCKS request.
    resetSocket(socket);
  }
}

async function connectTo(
  socket: Socket,
  target: Target,
  dialer: Dialer,
  watcher: ForwardWatcher,
  request?: SocksRequest,
): Promise<void> {
  const refuse = (error: unknown): void => {
    if (error instanceof SrudpError)
      watcher.failed({ by: "own", what: "connection", target: formatTarget(target), error });
    if (request !== undefined && error instanceof SrudpError && !socket.destroyed) request.refuse(error);
    else resetSocket(socket);
  };
  try {
    const { stream, answered } = await dialer.reach(target);
    if (request !== undefined) {
      await answered;
      request.accept();
      new Splice(socket, stream, () => undefined).receive();
      return;
    }
    // The client's bytes are sent without waiting for the answer. They arrive as soon as the target
    // is connected.
    const splice = new Splice(socket, stream, () => undefined);
    let isGone = false;
    socket.once("close", () => {
      isGone = true;
    });
    try {
      await answered;
      splice.receive();
    } catch (error) {
      splice.breakOff();
      // A client that disconnected needs no error.
      if (!isGone) refuse(error);
    }
  } catch (error) {
    refuse(error);
  }
}

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

/** The connections of one forward, or of one peer. */
export type Connections = Set<Socket>;

/**
 * Forwards `socket` until both directions have ended. When the target cannot be reached, the socket is reset before
 * any byte (a SOCKS client receives an error instead), and the watcher receives the reason.
 */
export async function carry(
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
  // The socket has its descriptor already; what counts is how many are left.
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
    // A client that went away, or spoke no SOCKS.
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
    // The client's bytes need not wait for the answer: they are there when the target is reached.
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
      // A client that gave up by itself needs no explanation.
      if (!isGone) refuse(error);
    }
  } catch (error) {
    refuse(error);
  }
}

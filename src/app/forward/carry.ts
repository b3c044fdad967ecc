/** Carries what comes in at a forwarded port to what the port leads to. */
import type { Socket } from "node:net";
import { SrudpError } from "../../base/errors.ts";
import { formatTarget, type Target } from "../../net/forward-wire.ts";
import { acceptSocks, readSocksRequest, refuseSocks } from "./socks.ts";
import type { Lead } from "./spec.ts";
import { resetSocket, Splice } from "./splice.ts";
import type { Via } from "./via.ts";
import type { ForwardWatcher } from "./watcher.ts";

/** The connections of one forward, or of one peer. */
export type Connections = Set<Socket>;

/**
 * Carries `socket` until both directions have ended. A target that cannot be reached resets it before any byte
 * (with SOCKS it is told instead), and the watcher hears why.
 */
export async function carry(
  socket: Socket,
  lead: Lead | Target,
  via: Via,
  connections: Connections,
  watcher: ForwardWatcher,
): Promise<void> {
  connections.add(socket);
  const forget = (): void => void connections.delete(socket);
  socket.once("close", forget);
  try {
    const target = lead.kind === "socks" ? await readSocksRequest(socket) : lead;
    if (target !== undefined) await carryTo(socket, target, lead.kind === "socks", via, watcher);
  } catch {
    // A client that went away, or spoke no SOCKS.
    resetSocket(socket);
  }
}

async function carryTo(
  socket: Socket,
  target: Target,
  isSocks: boolean,
  via: Via,
  watcher: ForwardWatcher,
): Promise<void> {
  const refuse = (error: unknown): void => {
    if (error instanceof SrudpError) watcher.failed({ by: "own", target: formatTarget(target), error });
    if (isSocks && error instanceof SrudpError && !socket.destroyed) refuseSocks(socket, error);
    else resetSocket(socket);
  };
  try {
    const { stream, answered } = await via.reach(target);
    if (isSocks) {
      await answered;
      acceptSocks(socket);
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

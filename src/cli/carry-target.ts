/** `connect -W`: standard input and output joined to what the peer reaches. */
import { AskedPorts } from "../app/forward/asked-ports.ts";
import { ForwardPeer } from "../app/forward/forward-peer.ts";
import { Permissions } from "../app/forward/permissions.ts";
import { joinStdio } from "../app/forward/stdio.ts";
import type { Address } from "../net/forward-wire.ts";
import type { Link } from "../net/link.ts";
import { reportOver } from "./carry-link.ts";
import type { CommandContext } from "./context.ts";
import { failureReport } from "./forward-reports.ts";

/** @returns the status to exit with. @throws SrudpError as `joinStdio` does */
export async function carryTarget(context: CommandContext, link: Link, target: Address): Promise<number> {
  const startedAtMs = performance.now();
  const { signal } = context.interrupt;
  link.on("error", () => undefined);
  const peer = new ForwardPeer(link, {
    permissions: new Permissions(),
    askedPorts: new AskedPorts(),
    watcher: { failed: failureReport(context.reporter) },
  });
  try {
    await joinStdio(peer, target, { signal });
  } catch (error) {
    link.reset();
    throw link.errored ?? error;
  }
  await link.close();
  reportOver(context, link, performance.now() - startedAtMs);
  return 0;
}

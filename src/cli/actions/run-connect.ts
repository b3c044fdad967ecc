/** `srudp connect`: opens one link to one peer. */

import { ForwardPeer } from "../../app/forward/forward-peer.ts";
import { Permissions } from "../../app/forward/permissions/permissions.ts";
import { RemotePortRegistry } from "../../app/forward/remote-port-registry.ts";
import { parseTarget } from "../../app/forward/spec.ts";
import { joinStdio } from "../../app/forward/stdio.ts";
import { checkInput } from "../../app/input.ts";
import type { Address } from "../../link/forward-records.ts";
import type { CommandContext } from "../context.ts";
import { ControlService } from "../control-service.ts";
import { checkLinkOptions, type LinkOptions } from "../options/common-options.ts";
import { reportStart } from "../options/link-setup.ts";
import { resolvePeer } from "../options/peer-dialer.ts";
import { inputEndsWithPeer, keepPeer, pipeLink, reportConnected, reportOver } from "../pipe-link.ts";
import { failureReport } from "../reports/forward-reports.ts";

/** Time limit for opening a link without `-w`. */
export const CONNECT_TIMEOUT_MS = 60_000;

/** @returns the exit status */
export async function runConnect(
  context: CommandContext,
  operands: readonly string[],
  options: LinkOptions,
): Promise<number> {
  checkLinkOptions(options, context.program);
  if (!options.exec && !options.recvOnly) checkInput(0);
  const target = options.stdioTo === undefined ? undefined : parseTarget(options.stdioTo);
  const { signal } = context.interrupt;
  reportStart(context);
  const dialer = await resolvePeer(context, operands, options);
  const controlService = await ControlService.open(context, "connect", dialer.name);
  const pipe = target === undefined;
  const link = await dialer.open({
    timeoutMs: options.timeout ?? dialer.timeoutMs ?? CONNECT_TIMEOUT_MS,
    signal,
    pipe,
  });
  reportConnected(context, link);
  // The peer has no permissions on this side, but forwards to it can be added (`srudp control`).
  const peer = new ForwardPeer(link, {
    permissions: new Permissions(),
    remotePorts: new RemotePortRegistry(),
    watcher: { failed: failureReport(context.reporter) },
  });
  controlService.show(peer);
  const remembered = keepPeer(context, link, options, dialer.remember, dialer.address);
  if (target !== undefined) return pipeTarget(context, peer, target, options);
  return pipeLink(context, link, options, { remembered });
}

/** @returns the exit status. @throws SrudpError like `joinStdio` */
async function pipeTarget(
  context: CommandContext,
  peer: ForwardPeer,
  target: Address,
  options: LinkOptions,
): Promise<number> {
  const startedAtMs = performance.now();
  const { link } = peer;
  const { signal } = context.interrupt;
  link.on("error", () => undefined);
  try {
    await joinStdio(peer, target, { signal, endsWithPeer: inputEndsWithPeer(options) });
  } catch (error) {
    link.reset();
    throw link.errored ?? error;
  }
  await link.close();
  reportOver(context, link, performance.now() - startedAtMs);
  return 0;
}

/** `srudp connect`: reaches one peer and carries one link. */
import { AskedPorts } from "../../app/forward/remote-port-registry.ts";
import { ForwardPeer } from "../../app/forward/forward-peer.ts";
import { Permissions } from "../../app/forward/permissions/permissions.ts";
import { parseTarget } from "../../app/forward/spec.ts";
import { checkInput } from "../../app/input.ts";
import { carryLink, keepPeer, reportConnected } from "../pipe-link.ts";
import { carryTarget } from "../pipe-target.ts";
import type { CommandContext } from "../context.ts";
import { ControlDesk } from "../control-service.ts";
import { failureReport } from "../reports/forward-reports.ts";
import { sayHello } from "../options/link-setup.ts";
import { checkLinkOptions, type LinkOptions } from "../options/common-options.ts";
import { wayToPeer } from "../options/peer-dialer.ts";

/** Waiting for a peer ends by itself after this, unless `-w` says otherwise. */
export const CONNECT_TIMEOUT_MS = 60_000;

/** @returns the status to exit with */
export async function runConnect(
  context: CommandContext,
  operands: readonly string[],
  options: LinkOptions,
): Promise<number> {
  checkLinkOptions(options, context.program);
  if (!options.exec && !options.recvOnly) checkInput(0);
  const target = options.stdioTo === undefined ? undefined : parseTarget(options.stdioTo);
  const { signal } = context.interrupt;
  sayHello(context);
  const way = await wayToPeer(context, operands, options);
  const desk = await ControlDesk.open(context, "connect", way.name);
  const pipe = target === undefined;
  const link = await way.open({
    timeoutMs: options.timeout ?? way.timeoutMs ?? CONNECT_TIMEOUT_MS,
    signal,
    pipe,
  });
  reportConnected(context, link);
  // The peer may reach nothing through here; but forwards to it can be added (`srudp control`).
  const peer = new ForwardPeer(link, {
    permissions: new Permissions(),
    askedPorts: new AskedPorts(),
    watcher: { failed: failureReport(context.reporter) },
  });
  desk.show(peer);
  const remembered = keepPeer(context, link, options, way.remember, way.address);
  if (target !== undefined) return carryTarget(context, peer, target, options);
  return carryLink(context, link, options, { remembered });
}

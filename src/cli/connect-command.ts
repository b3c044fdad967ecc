/** `srudp connect`: reaches one peer and carries one link. */
import { parseTarget } from "../app/forward/spec.ts";
import { carryLink, keepPeer, reportConnected } from "./carry-link.ts";
import { carryTarget } from "./carry-target.ts";
import type { CommandContext } from "./context.ts";
import { ControlDesk } from "./control-desk.ts";
import { sayHello } from "./link-ways.ts";
import { checkLinkOptions, type LinkOptions } from "./options.ts";
import { wayToPeer } from "./peer-way.ts";

/** Waiting for a peer ends by itself after this, unless `-w` says otherwise. */
export const CONNECT_TIMEOUT_MS = 60_000;

/** @returns the status to exit with */
export async function runConnect(
  context: CommandContext,
  operands: readonly string[],
  options: LinkOptions,
): Promise<number> {
  checkLinkOptions(options, context.program);
  const target = options.stdioTo === undefined ? undefined : parseTarget(options.stdioTo);
  const { signal } = context.interrupt;
  sayHello(context);
  const way = await wayToPeer(context, operands, options);
  const desk = new ControlDesk(context, "connect", way.name);
  const pipe = target === undefined;
  const link = await way.open({
    timeoutMs: options.timeout ?? way.timeoutMs ?? CONNECT_TIMEOUT_MS,
    signal,
    pipe,
  });
  reportConnected(context, link);
  desk.show(link);
  const remembered = keepPeer(context, link, options, way.remember, way.address);
  if (target !== undefined) return carryTarget(context, link, target);
  return carryLink(context, link, options, { remembered });
}

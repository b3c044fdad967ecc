/** `srudp connect`: reaches one peer and carries one link. */
import { carryLink, keepPeer, reportConnected } from "./carry-link.ts";
import type { CommandContext } from "./context.ts";
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
  const { signal } = context.interrupt;
  sayHello(context);
  const way = await wayToPeer(context, operands, options);
  const link = await way.open({ timeoutMs: options.timeout ?? CONNECT_TIMEOUT_MS, signal, pipe: true });
  reportConnected(context, link);
  const remembered = keepPeer(context, link, options, way.remember, way.address);
  return carryLink(context, link, options, { remembered });
}

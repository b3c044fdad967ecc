/** `connect -W`: standard input and output joined to what the peer reaches. */
import type { ForwardPeer } from "../app/forward/forward-peer.ts";
import { joinStdio } from "../app/forward/stdio.ts";
import type { Address } from "../link/forward-records.ts";
import { inputEndsWithPeer, reportOver } from "./pipe-link.ts";
import type { CommandContext } from "./context.ts";
import type { LinkOptions } from "./options/common-options.ts";

/** @returns the status to exit with. @throws SrudpError as `joinStdio` does */
export async function carryTarget(
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

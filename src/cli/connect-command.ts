/** `srudp connect`: reaches one peer and carries one link. */
import { SrudpError } from "../base/errors.ts";
import { connect } from "../net/connect.ts";
import { takeEnvironmentCode } from "../net/secret-sources.ts";
import { carryLink } from "./carry-link.ts";
import type { CommandContext } from "./context.ts";
import { escapeText } from "./escape.ts";
import { asSrudpError } from "./exit.ts";
import { sayHello, waysOf } from "./link-ways.ts";
import { formatPeer, parsePeer } from "./operands.ts";
import { checkLinkOptions, type LinkOptions } from "./options.ts";
import { hasTerminal } from "./prompt.ts";
import { showWaiting } from "./spinner.ts";
import { trustForConnector } from "./trust.ts";

/** Without an answer for so long the person is told what may be wrong. */
const SILENCE_MS = 3000;
/** Waiting for a peer ends by itself after this, unless `-w` says otherwise. */
const CONNECT_TIMEOUT_MS = 60_000;

/** @returns the status to exit with */
export async function runConnect(
  context: CommandContext,
  operands: readonly string[],
  options: LinkOptions,
): Promise<number> {
  const { reporter, interrupt } = context;
  checkLinkOptions(options, context.program);
  const peer = parsePeer(operands);
  if (peer.kind !== "address") throw withoutAddress(context, peer.kind, options);
  const { host, port } = peer;
  const remote = formatPeer(host, port);

  sayHello(context);
  const shown = escapeText(remote);
  let stopWaiting = (): void => undefined;
  let silence: NodeJS.Timeout | undefined;
  const stopTelling = (): void => {
    clearTimeout(silence);
    stopWaiting();
  };
  const trust = await trustForConnector(context, options, remote, stopTelling);
  stopWaiting = showWaiting(reporter, `reaching ${shown}`);
  silence = setTimeout(() => {
    const question = `nothing heard from ${shown}; is UDP ${port} open?`;
    reporter.event("silence", { remote, afterMs: SILENCE_MS }, question);
  }, SILENCE_MS);
  try {
    const link = await connect({
      host,
      port,
      ...waysOf(options),
      ...trust.options,
      timeoutMs: options.timeout ?? CONNECT_TIMEOUT_MS,
      signal: interrupt.signal,
    });
    stopTelling();
    return await carryLink(context, link, options, { remember: trust.remember });
  } catch (thrown) {
    if (interrupt.signal.aborted) throw interrupt.signal.reason;
    throw trust.explain(asSrudpError(thrown));
  } finally {
    stopTelling();
  }
}

/** A code, a key or nothing at all names no place, and there are no places to meet yet. */
function withoutAddress(
  context: CommandContext,
  kind: "code" | "key" | "none",
  options: LinkOptions,
): SrudpError {
  const hasCode = takeEnvironmentCode(context.environment) !== undefined || options.codeFile !== undefined;
  if (kind === "none" && !hasCode && options.codeFd === undefined && !hasTerminal()) {
    return new SrudpError("ERR_CODE_NEEDED");
  }
  const what = kind === "key" ? "A key" : "A code";
  return new SrudpError(
    "ERR_NO_MEETING_PLACE",
    `${what} without an address needs a meeting place, which is not there yet`,
  );
}

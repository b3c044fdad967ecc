/** `srudp listen`: waits for a peer and serves it. With `-k`, serves many peers concurrently. */
import { checkInput } from "../../app/input.ts";
import { SrudpError } from "../../base/errors.ts";
import type { Link } from "../../link/link.ts";
import { type Listener, listen } from "../../open/listener.ts";
import { onAbort } from "../../platform/abort.ts";
import { Deadline } from "../../platform/deadline.ts";
import type { CommandContext } from "../context.ts";
import { ControlService } from "../control-service.ts";
import { asSrudpError } from "../exit.ts";
import { LinkService } from "../link-service.ts";
import { checkLinkOptions, type LinkOptions } from "../options/common-options.ts";
import { traversalOptionsOf } from "../options/finding-options.ts";
import { linkOptionsOf, reportStart } from "../options/link-setup.ts";
import { newCode, trustForListener } from "../options/listener-trust.ts";
import { parsePort, usage } from "../options/operands.ts";
import { PeerPermissions } from "../options/peer-permissions.ts";
import { turnOptionsOf } from "../options/turn-options.ts";
import {
  reportBurnt,
  reportListening,
  reportNewCode,
  reportRejectedPeers,
} from "../reports/listen-reports.ts";
import { CodeLife } from "../terminal/code-life.ts";
import { formatDuration } from "../terminal/progress.ts";
import { offerTicket } from "../tickets.ts";

/** Maximum number of concurrent peers with -k. */
const LINKS_LIMIT = 256;
/**
 * With -k, the forwards of a peer survive when its machine sleeps over a weekend, but the link of a
 * dead peer must end eventually. A pipe ends earlier, because its connector announces a shorter
 * idle timeout.
 */
const KEEP_OPEN_IDLE_TIMEOUT_MS = 72 * 3_600_000;
/** How long a listener stays open after its code has become void. */
const RELEASE_TIMEOUT_MS = 1000;

/** @returns the exit status */
export async function runListen(
  context: CommandContext,
  portText: string | undefined,
  options: LinkOptions,
): Promise<number> {
  const { interrupt } = context;
  checkLinkOptions(options, context.program);
  if (!options.exec && !options.recvOnly) checkInput(0);
  const port = portOf(portText, options);
  const permissions = await PeerPermissions.read(context, options);
  const turn = await turnOptionsOf(options, context.environment);
  reportStart(context);
  const trust = await trustForListener(context, options);
  if (trust.code?.given && options.keepOpen)
    throw usage(
      "A code serves one peer: -k goes with a code that is made here, a secret, a passphrase or keys",
    );

  // A peer that knows the port connects directly. Other peers find the listener at rendezvous
  // points.
  const wantsRendezvous = port === undefined || options.rendezvous !== undefined;
  const { identity, ticket: psk } = trust.options;
  const usesRendezvous =
    psk !== undefined || (wantsRendezvous && (trust.code !== undefined || identity !== undefined));
  // Ends the listener: a signal, a void code, or an unused ticket.
  const ending = new AbortController();
  onAbort(interrupt.signal, () => ending.abort(interrupt.signal.reason));
  const controlService = await ControlService.open(context, "listen", String(port ?? 0));
  const ticket = psk && offerTicket(context, psk, options.answerFile, ending);
  const listener = await listen({
    ...(options.keepOpen && { idleTimeoutMs: KEEP_OPEN_IDLE_TIMEOUT_MS }),
    ...linkOptionsOf(options, context),
    ...trust.options,
    silent: trust.isSilent,
    port: port ?? 0,
    ...(usesRendezvous && {
      meet: { ...traversalOptionsOf({ ...options, turn }, context.reporter), ...(ticket && { ticket }) },
      meetPeers: trust.meetPeers,
    }),
    maxLinks: options.keepOpen ? LINKS_LIMIT : 1,
  });
  controlService.name = String(listener.port);
  let life: CodeLife | undefined;
  try {
    reportListening(context, listener, trust, options, usesRendezvous);
    reportRejectedPeers(context.reporter, listener, trust);
    if (trust.code !== undefined) {
      life = new CodeLife({
        code: trust.code.text.reveal(),
        given: trust.code.given,
        keepOpen: options.keepOpen === true,
        newCode,
        use: (code) => {
          listener.setCode(code);
          if (code !== undefined) reportNewCode(context.reporter, code);
        },
        pause: (pauseMs) => reportBurnt(context.reporter, pauseMs),
        // The peer that guessed last must still learn that its guess was wrong, possibly after a
        // retransmission.
        fail: (error) => setTimeout(() => ending.abort(error), RELEASE_TIMEOUT_MS),
      });
      listener.on("burnt", () => life?.handleBurnt());
    }
    const service = new LinkService(context, options, {
      permissions,
      controlService,
      remember: trust.remember,
    });
    controlService.include("listener", listener);
    controlService.include("service", service);
    return await serve(context, listener, service, life, ending, options);
  } finally {
    life?.stop();
    await listener.close();
  }
}

/** Serves one link or, with -k, all links concurrently. */
async function serve(
  context: CommandContext,
  listener: Listener,
  service: LinkService,
  life: CodeLife | undefined,
  ending: AbortController,
  options: LinkOptions,
): Promise<number> {
  const links = listener[Symbol.asyncIterator]();
  const served = new Map<Link, Promise<number>>();
  // Done in the event, not in the loop below, because the peer's first requests need handlers at
  // once.
  listener.on("link", (link) => {
    life?.handlePeer(link.auth === "code");
    served.set(link, service.serve(link));
  });
  for (;;) {
    const link = await nextLink(listener, links, options.timeout ?? Number.POSITIVE_INFINITY, ending.signal);
    const status = served.get(link)!;
    served.delete(link);
    if (!options.keepOpen) return status;
    status.catch((thrown: unknown) => {
      // The end of one link does not end the listener. Without an output, however, no further link
      // can be served.
      const error = asSrudpError(thrown);
      if (error.code === "ERR_OUTPUT_CLOSED") ending.abort(error);
      // A fault of the link was reported when it occurred.
      else if (error.code !== "ERR_INTERNAL" && !context.interrupt.signal.aborted)
        context.reporter.error(error);
    });
  }
}

async function nextLink(
  listener: Listener,
  links: AsyncIterator<Link>,
  timeoutMs: number,
  ending: AbortSignal,
): Promise<Link> {
  const newError = (): Error =>
    listener.signallingFailure ??
    new SrudpError("ERR_TIMEOUT", `No peer connected within ${formatDuration(timeoutMs)}`);
  const deadline = new Deadline(ending, timeoutMs, newError);
  try {
    const next = await deadline.limit(links.next());
    if (next.done) throw new SrudpError("ERR_INTERNAL", "The listener ended by itself");
    return next.value;
  } finally {
    deadline.end();
  }
}

/** The port is an operand or `-p`, as in nc. */
function portOf(text: string | undefined, options: LinkOptions): number | undefined {
  if (text === undefined) return options.localPort;
  const port = parsePort(text);
  if (options.localPort !== undefined && options.localPort !== port)
    throw usage("Two different ports to listen on");
  return port;
}

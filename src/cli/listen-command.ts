/** `srudp listen`: waits for a peer, carries the link, and with `-k` waits for the next one. */
import { openOutput } from "../app/output.ts";
import { SrudpError } from "../base/errors.ts";
import type { Link } from "../net/link.ts";
import { type Listener, listen } from "../net/listener.ts";
import { carryLink } from "./carry-link.ts";
import { CodeLife } from "./code-life.ts";
import type { CommandContext } from "./context.ts";
import { asSrudpError } from "./exit.ts";
import { unlessAborted } from "./interrupt.ts";
import { sayHello, waysOf } from "./link-ways.ts";
import { reportListening, reportNewCode, reportVisitors } from "./listen-reports.ts";
import { parsePort, usage } from "./operands.ts";
import { checkLinkOptions, type LinkOptions } from "./options.ts";
import { formatDuration } from "./progress.ts";
import { reachOf } from "./reach-ways.ts";
import { newCode, trustForListener } from "./trust.ts";

/** How long a listener stays after its code is void. */
const FAREWELL_MS = 1000;

/** @returns the status to exit with */
export async function runListen(
  context: CommandContext,
  portText: string | undefined,
  options: LinkOptions,
): Promise<number> {
  const { interrupt } = context;
  checkLinkOptions(options, context.program);
  const port = portOf(portText, options);
  sayHello(context);
  const trust = await trustForListener(context, options);
  if (trust.code?.given && options.keepOpen)
    throw usage(
      "A code serves one peer: -k goes with a code that is made here, a secret, a passphrase or keys",
    );

  // Who knows the port comes by itself; the others are met.
  const wantsMeeting = port === undefined || options.rendezvous !== undefined;
  const isMet = wantsMeeting && (trust.code !== undefined || trust.options.identity !== undefined);
  const listener = await listen({
    ...(options.keepOpen && { idleTimeoutMs: Number.POSITIVE_INFINITY }),
    ...waysOf(options),
    ...trust.options,
    silent: trust.isSilent,
    port: port ?? 0,
    ...(isMet && { meet: reachOf(options, context.reporter) }),
  });
  // Whatever ends the waiting for good: a signal, or a code that is void.
  const ending = new AbortController();
  interrupt.signal.addEventListener("abort", () => ending.abort(interrupt.signal.reason));
  let life: CodeLife | undefined;
  try {
    reportListening(context, listener, trust, options, isMet);
    reportVisitors(context.reporter, listener, trust);
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
        // Who guessed last is still to hear that it was wrong, and may have to ask again.
        fail: (error) => setTimeout(() => ending.abort(error), FAREWELL_MS),
      });
      listener.on("burnt", () => life?.handleBurnt());
    }
    return await serve(context, listener, options, trust.remember, life, ending.signal);
  } finally {
    life?.stop();
    await listener.close();
  }
}

/** Carries link after link, or one. */
async function serve(
  context: CommandContext,
  listener: Listener,
  options: LinkOptions,
  remember: (peer: Uint8Array) => Promise<void>,
  life: CodeLife | undefined,
  ending: AbortSignal,
): Promise<number> {
  const links = listener[Symbol.asyncIterator]();
  // A link may fail while it waits for its turn; that is found when the turn comes.
  listener.on("link", (link) => link.on("error", () => undefined));
  const isShared = options.keepOpen && !options.exec;
  const shared = isShared ? { input: process.stdin, output: openOutput(1) } : undefined;
  for (;;) {
    const link = await nextLink(links, options.timeout ?? Number.POSITIVE_INFINITY, ending);
    life?.handlePeer(link.auth === "code");
    const byKey = link.auth === "key";
    try {
      const status = await carryLink(context, link, options, {
        shared,
        remember: async () => {
          if (byKey) await remember(link.peer);
        },
      });
      if (!options.keepOpen) return status;
    } catch (thrown) {
      if (!options.keepOpen || context.interrupt.signal.aborted) throw thrown;
      // One peer's misfortune is not the next one's; without an own output there is no next one.
      const error = asSrudpError(thrown);
      if (error.code === "ERR_OUTPUT_CLOSED" || error.code === "ERR_INTERNAL") throw error;
      context.reporter.error(error);
    }
    life?.handleGone();
  }
}

async function nextLink(links: AsyncIterator<Link>, timeoutMs: number, ending: AbortSignal): Promise<Link> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    if (timeoutMs === Number.POSITIVE_INFINITY) return;
    const error = new SrudpError("ERR_TIMEOUT", `Nobody came within ${formatDuration(timeoutMs)}`);
    timer = setTimeout(() => reject(error), timeoutMs);
  });
  try {
    const next = await unlessAborted(ending, Promise.race([links.next(), late]));
    if (next.done) throw new SrudpError("ERR_INTERNAL", "The listener ended by itself");
    return next.value;
  } finally {
    clearTimeout(timer);
  }
}

/** nc knows `-l -p PORT` as well as `-l PORT`. */
function portOf(text: string | undefined, options: LinkOptions): number | undefined {
  if (text === undefined) return options.localPort;
  const port = parsePort(text);
  if (options.localPort !== undefined && options.localPort !== port)
    throw usage("Two different ports to listen on");
  return port;
}

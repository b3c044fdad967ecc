/** `srudp forward`: holds a link to a peer and carries ports over it. */
import type { Command } from "commander";
import { ForwardPeer } from "../../app/forward/forward-peer.ts";
import { Forwarder, type ForwardStatus } from "../../app/forward/forwarder.ts";
import { Permissions } from "../../app/forward/permissions/permissions.ts";
import { keepLink } from "../../app/forward/reconnector.ts";
import { RemotePortRegistry } from "../../app/forward/remote-port-registry.ts";
import { type ForwardSpec, parseForward } from "../../app/forward/spec.ts";
import { SrudpError } from "../../base/errors.ts";
import type { Link } from "../../link/link.ts";
import { configurationFolder, KeyStore } from "../../store/key-store.ts";
import type { CommandContext } from "../context.ts";
import { ControlService } from "../control-service.ts";
import { asSrudpError, exitStatusOf } from "../exit.ts";
import { messageOf } from "../failures.ts";
import { checkLinkOptions, type ForwardOptions } from "../options/common-options.ts";
import { readForwardConfig } from "../options/forward-config.ts";
import { reportStart } from "../options/link-setup.ts";
import { usage } from "../options/operands.ts";
import { type PeerDialer, resolvePeer } from "../options/peer-dialer.ts";
import { keepPeer, reportConnected } from "../pipe-link.ts";
import { failureReport, reportForwarding } from "../reports/forward-reports.ts";
import { formatDuration } from "../terminal/progress.ts";
import { CONNECT_TIMEOUT_MS } from "./run-connect.ts";

/** What the network, or a peer that is away, may cause: another attempt may succeed. */
const TEMPORARY: ReadonlySet<number> = new Set([68, 69, 71, 74, 75]);
/** Silence says not whether the peer sleeps, is out of reach or was killed: only the first two come back. */
const NO_WAY_BACK =
  "; a peer that was started again is not found any more, since a code or ticket serves one link: --save NAME on both sides would keep it";
/** After an interrupt, the peer gets so long to acknowledge what is on its way. */
const RELEASE_TIMEOUT_MS = 1000;

/** Lists that a file and a command line share. */
const SUMMED = ["L", "R", "D", "expose", "permitListen"] as const;

/** Ends with an error only: an interrupt, or what no further attempt can mend. */
export async function runForward(
  context: CommandContext,
  typedOperands: readonly string[],
  typed: ForwardOptions,
  command: Command,
): Promise<never> {
  const { reporter } = context;
  const { operands, options } = await withConfig(typedOperands, typed, command);
  checkLinkOptions(options, context.program);
  const specs = specsOf(options);
  const permissions = new Permissions(options.expose, options.permitListen);
  if (specs.length === 0 && permissions.exposed.length + permissions.permitted.length === 0)
    throw usage("Nothing to forward: give -L, -R or -D");
  reportStart(context);

  const watcher = {
    failed: failureReport(reporter),
    forwarding: (status: ForwardStatus) => reportForwarding(reporter, status),
  };
  const forwarder = new Forwarder(watcher);
  const asks = { permissions, remotePorts: new RemotePortRegistry(), watcher };
  try {
    const way = await resolvePeer(context, operands, options);
    const controlService = await ControlService.open(context, "forward", way.name, forwarder);
    controlService.include("forwarder", forwarder);
    for (const spec of specs) await forwarder.add(spec);
    return await keep(context, way, options, (link) => {
      const peer = new ForwardPeer(link, asks);
      forwarder.use(peer);
      controlService.show(peer);
    });
  } finally {
    forwarder.close();
  }
}

/**
 * What was typed, and behind it what the file says: forwards and permissions add up, other options that were typed go
 * before the file's.
 */
async function withConfig(
  operands: readonly string[],
  typed: ForwardOptions,
  command: Command,
): Promise<{ operands: readonly string[]; options: ForwardOptions }> {
  if (typed.config === undefined) return { operands, options: typed };
  const { peer, options } = await readForwardConfig(typed.config, command);
  try {
    checkLinkOptions(options, undefined);
  } catch (error) {
    throw new SrudpError("ERR_CONFIG", `${typed.config}: ${asSrudpError(error).detail}`, error);
  }
  const given = Object.entries(typed).filter(([name]) => command.getOptionValueSource(name) === "cli");
  const summed = SUMMED.map((name) => [name, [...(options[name] ?? []), ...(typed[name] ?? [])]]);
  return {
    operands: operands.length > 0 ? operands : [peer],
    options: { ...options, ...Object.fromEntries(given), ...Object.fromEntries(summed) },
  };
}

function specsOf(options: ForwardOptions): ForwardSpec[] {
  return (["L", "R", "D"] as const).flatMap((letter) =>
    (options[letter] ?? []).map((text) => parseForward(letter, text)),
  );
}

async function keep(
  context: CommandContext,
  first: PeerDialer,
  options: ForwardOptions,
  takePart: (link: Link) => void,
): Promise<never> {
  const { reporter, interrupt } = context;
  let way = first;
  let current: Link | undefined;
  let isFirst = true;
  // An interrupt, or a peer that cannot be written down.
  const ending = new AbortController();
  const fail = (error: unknown): void => ending.abort(error);
  interrupt.signal.addEventListener("abort", () => fail(interrupt.signal.reason));
  try {
    return await keepLink({
      signal: ending.signal,
      isRepeatable: () => way.isRepeatable,
      retriesFirst: options.timeout === Number.POSITIVE_INFINITY,
      isFinal: (error) => !TEMPORARY.has(exitStatusOf(asSrudpError(error))),
      open: ({ signal, isRival }) => {
        const quiet = !isFirst;
        const timeoutMs = options.timeout ?? CONNECT_TIMEOUT_MS;
        // While the peer is away for long, a listener that starts here must find its port free.
        const localPort = isFirst ? {} : { localPort: 0 };
        return way.open({
          ...{ signal, isRival, quiet, timeoutMs, ...localPort },
          idleTimeoutMs: Infinity,
          pipe: false,
        });
      },
      onLink: (link) => {
        current = link;
        link.on("error", () => undefined);
        // Nothing is piped, but the end of the link is found by reading.
        link.resume();
        reportConnected(context, link);
        takePart(link);
        if (!isFirst) {
          // A pairing that was not completed is.
          keepPeer(context, link, options, async () => undefined, way.address).catch(fail);
        } else {
          keepPeer(context, link, options, way.remember, way.address)
            .then(async () => {
              way = (await returnCommand(context, first, options)) ?? first;
            })
            .catch(fail);
        }
        isFirst = false;
      },
      onLost: (error, pauseMs) => {
        const lost = error ?? new SrudpError("ERR_PEER_RESET");
        const { code } = lost;
        const message = messageOf(lost);
        const prose = `no link (${message}) Trying again in ${formatDuration(pauseMs)}`;
        reporter.event("lost", { code, message, retryMs: pauseMs }, prose);
      },
      onSilent: (silentMs) => {
        const { isRepeatable } = way;
        const outlook = isRepeatable ? "" : NO_WAY_BACK;
        const prose = `nothing heard from the peer for ${formatDuration(silentMs)}; the ports stay open${outlook}`;
        reporter.event("silent", { silentMs: Math.round(silentMs), isRepeatable }, prose);
      },
    });
  } finally {
    if (current !== undefined) await goodbye(current);
  }
}

/**
 * The way to a peer that was paired on the first link, where that link's own way leads there only once; undefined
 * where there is no other.
 */
async function returnCommand(
  context: CommandContext,
  first: PeerDialer,
  { save, codeFile: _file, codeFd: _descriptor, ...options }: ForwardOptions,
): Promise<PeerDialer | undefined> {
  if (first.isRepeatable || save === undefined) return undefined;
  const store = new KeyStore(configurationFolder(context.environment));
  // Without the peer's --save, there is no pair.
  const saved = await store.savedPeers.find(save);
  if (saved === undefined || saved.isUnconfirmed) return undefined;
  return resolvePeer(context, [save], options);
}

/** Ends the link in order where the peer is there to hear it. */
async function goodbye(link: Link): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, RELEASE_TIMEOUT_MS);
  });
  await Promise.race([link.close(), late]);
  clearTimeout(timer);
}

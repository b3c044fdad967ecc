/** `srudp forward`: keeps a link to a peer open and forwards ports over it. */
import type { Command } from "commander";
import { ForwardPeer } from "../../app/forward/forward-peer.ts";
import { Forwarder, type ForwardStatus } from "../../app/forward/forwarder.ts";
import { Permissions } from "../../app/forward/permissions/permissions.ts";
import { keepLink, type ReconnectEvent, type RedialSource } from "../../app/forward/reconnector.ts";
import { RemotePortRegistry } from "../../app/forward/remote-port-registry.ts";
import { type ForwardSpec, parseForward } from "../../app/forward/spec.ts";
import { SrudpError } from "../../base/errors.ts";
import type { Link } from "../../link/link.ts";
import { onAbort } from "../../platform/abort.ts";
import { resolvedWithin } from "../../platform/deadline.ts";
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

/** Exit statuses of failures of the network or of an absent peer. Another attempt may succeed. */
const TEMPORARY: ReadonlySet<number> = new Set([68, 69, 71, 74, 75]);
/**
 * Appended to the silence report if the peer cannot be dialled again. A silent peer may be asleep,
 * unreachable or killed, and a killed peer does not come back.
 */
const NOT_REPEATABLE =
  "; a peer that was started again is not found any more, since a code or ticket serves one link: --save NAME on both sides would keep it";
/** After an interrupt, the time that the peer gets to acknowledge data in flight. */
const CLOSE_TIMEOUT_MS = 1000;

/** Options whose values from the file and from the command line are concatenated. */
const CONCATENATED = ["L", "R", "D", "expose", "permitListen"] as const;

/**
 * Runs the command. Rejects with an interrupt, or with a failure after which no further attempt can
 * succeed.
 */
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
  const peerOptions = { permissions, remotePorts: new RemotePortRegistry(), watcher };
  try {
    const dialer = await resolvePeer(context, operands, options);
    const controlService = await ControlService.open(context, "forward", dialer.name, forwarder);
    controlService.include("forwarder", forwarder);
    for (const spec of specs) await forwarder.add(spec);
    const links = new ForwardLinks(context, dialer, options, (link) => {
      const peer = new ForwardPeer(link, peerOptions);
      forwarder.use(peer);
      controlService.show(peer);
    });
    return await links.keep();
  } finally {
    forwarder.close();
  }
}

/**
 * Merges the options of the file and of the command line. Forwards and permissions are
 * concatenated. Any other option of the command line replaces the one in the file.
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
  const summed = CONCATENATED.map((name) => [name, [...(options[name] ?? []), ...(typed[name] ?? [])]]);
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

/** The consecutive links of one `srudp forward`. */
class ForwardLinks implements RedialSource {
  readonly #context: CommandContext;
  readonly #first: PeerDialer;
  readonly #options: ForwardOptions;
  readonly #serve: (link: Link) => void;
  /** The dialer of the next link. After pairing on the first link it dials the saved peer. */
  #dialer: PeerDialer;
  #current: Link | undefined;
  /** Ends the command: an interrupt, or a peer that cannot be saved. */
  readonly #ending: AbortController = new AbortController();

  /** @param serve called with each link */
  constructor(
    context: CommandContext,
    dialer: PeerDialer,
    options: ForwardOptions,
    serve: (link: Link) => void,
  ) {
    this.#context = context;
    this.#first = dialer;
    this.#dialer = dialer;
    this.#options = options;
    this.#serve = serve;
  }

  /** Keeps a link until a signal or a final failure. Rejects with its reason. */
  async keep(): Promise<never> {
    const { signal } = this.#context.interrupt;
    const release = onAbort(signal, () => this.#fail(signal.reason));
    try {
      return await keepLink({
        source: this,
        signal: this.#ending.signal,
        retriesFirst: this.#options.timeout === Number.POSITIVE_INFINITY,
        isFinal: (error) => !TEMPORARY.has(exitStatusOf(asSrudpError(error))),
        onEvent: (event) => this.#handleEvent(event),
      });
    } finally {
      release();
      if (this.#current !== undefined) await resolvedWithin(this.#current.close(), CLOSE_TIMEOUT_MS);
    }
  }

  get isRepeatable(): boolean {
    return this.#dialer.isRepeatable;
  }

  open({ signal, isRival }: { signal: AbortSignal; isRival: boolean }): Promise<Link> {
    const isFirst = this.#current === undefined;
    return this.#dialer.open({
      signal,
      isRival,
      quiet: !isFirst,
      timeoutMs: this.#options.timeout ?? CONNECT_TIMEOUT_MS,
      // The local port is not held, so that a listener can be started on it during a long absence
      // of the peer.
      ...(!isFirst && { localPort: 0 }),
      idleTimeoutMs: Number.POSITIVE_INFINITY,
      pipe: false,
    });
  }

  #handleEvent(event: ReconnectEvent): void {
    const { reporter } = this.#context;
    switch (event.kind) {
      case "connected":
        this.#handleLink(event.link);
        break;
      case "lost": {
        const error = event.error ?? new SrudpError("ERR_PEER_RESET");
        const message = messageOf(error);
        const prose = `no link (${message}) Trying again in ${formatDuration(event.pauseMs)}`;
        reporter.event("lost", { code: error.code, message, retryMs: event.pauseMs }, prose);
        break;
      }
      case "silent": {
        const { isRepeatable } = this;
        const outlook = isRepeatable ? "" : NOT_REPEATABLE;
        const prose = `nothing heard from the peer for ${formatDuration(event.silentMs)}; the ports stay open${outlook}`;
        reporter.event("silent", { silentMs: Math.round(event.silentMs), isRepeatable }, prose);
      }
    }
  }

  #handleLink(link: Link): void {
    const isFirst = this.#current === undefined;
    this.#current = link;
    link.on("error", () => undefined);
    // The link has no data, but its end is only detected by reading.
    link.resume();
    reportConnected(this.#context, link);
    this.#serve(link);
    const saved = isFirst ? this.#saveFirstPeer(link) : this.#completePairing(link);
    saved.catch((error: unknown) => this.#fail(error));
  }

  async #saveFirstPeer(link: Link): Promise<void> {
    const { remember, address } = this.#first;
    await keepPeer(this.#context, link, this.#options, remember, address);
    this.#dialer = (await dialerOfSavedPeer(this.#context, this.#first, this.#options)) ?? this.#first;
  }

  /** Completes a pairing that an earlier link left incomplete. */
  async #completePairing(link: Link): Promise<void> {
    await keepPeer(this.#context, link, this.#options, async () => undefined, this.#dialer.address);
  }

  #fail(reason: unknown): void {
    this.#ending.abort(reason);
  }
}

/**
 * A dialer for the peer that was paired on the first link, if the first dialer cannot dial twice;
 * undefined if there is no paired peer.
 */
async function dialerOfSavedPeer(
  context: CommandContext,
  first: PeerDialer,
  { save, codeFile: _file, codeFd: _descriptor, ...options }: ForwardOptions,
): Promise<PeerDialer | undefined> {
  if (first.isRepeatable || save === undefined) return undefined;
  const store = new KeyStore(configurationFolder(context.environment));
  // Without `--save` at the peer, there is no pairing.
  const saved = await store.savedPeers.find(save);
  if (saved === undefined || saved.isUnconfirmed) return undefined;
  return resolvePeer(context, [save], options);
}

/**
 * Resolves the operands of a command to one peer: its address, how to authenticate it, and how to
 * open links to it. `connect`, `forward` and `bench` open all their links through this module.
 */

import type { Link } from "../../link/link.ts";
import type { ConnectOptions } from "../../link/link-options.ts";
import { connect } from "../../open/connect.ts";
import { configurationFolder, KeyStore } from "../../store/key-store.ts";
import type { SavedPeer } from "../../store/saved-peers.ts";
import { encodeKey } from "../../wire/key-text.ts";
import type { CommandContext } from "../context.ts";
import { asSrudpError } from "../exit.ts";
import { escapeText } from "../terminal/escape.ts";
import type { Reporter } from "../terminal/reporter.ts";
import { hasUnicode } from "../terminal/terminal-style.ts";
import { acceptTicket, ticketTimeoutMs } from "../tickets.ts";
import type { LinkOptions } from "./common-options.ts";
import { trustForConnector } from "./connector-trust.ts";
import { traversalOptionsOf } from "./finding-options.ts";
import { linkOptionsOf } from "./link-setup.ts";
import { formatPeer, type PeerOperand, parsePeer, usage } from "./operands.ts";
import { turnOptionsOf } from "./turn-options.ts";

/** After this time without an answer, possible causes are shown to the user. */
const SILENCE_MS = 3000;

export interface OpenOptions {
  /** Time limit, ms. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** False for a link without a pipe, for forwards only. */
  readonly pipe: boolean;
  /** Silence after which the link is lost, without `--idle-timeout`, ms. */
  readonly idleTimeoutMs?: number;
  /** Reports nothing while dialling, because the loss of the link was reported already. */
  readonly quiet?: boolean;
  /** Local UDP port if `-p` is not given. For the default, see `connect` of the library. */
  readonly localPort?: number;
  /** Uses any local port, even with `-p`, because another link has that port. */
  readonly isRival?: boolean;
}

export interface PeerDialer {
  /** The peer's name in messages. */
  readonly name: string;
  /** Its address as `host:port`, if one was given. */
  readonly address: string | undefined;
  /** Time limit for the peer, if the default is too short. */
  readonly timeoutMs?: number;
  /** Whether a second link can be opened. A code or ticket is valid for one link only. */
  readonly isRepeatable: boolean;
  /**
   * Opens a link to the peer.
   *
   * @throws SrudpError as `connect` of the library does, with details for the user; the signal's reason
   */
  open(options: OpenOptions): Promise<Link>;
  /** Saves a key that was accepted for the first time. */
  remember(): Promise<void>;
}

/**
 * Resolves the peer that the operands name; may ask for a code on the terminal.
 *
 * @throws SrudpError for invalid operands and options
 */
export async function resolvePeer(
  context: CommandContext,
  operands: readonly string[],
  options: LinkOptions,
): Promise<PeerDialer> {
  const { reporter } = context;
  const peer = parsePeer(operands);
  const saved = peer.kind === "name" ? await findSaved(context, peer.name) : undefined;
  // A saved peer is identified by its key. It is found at rendezvous points, unless it was saved with an address.
  const turn = await turnOptionsOf(options, context.environment);
  const known = { ...options, turn, ...(saved !== undefined && { peer: [encodeKey(saved.publicKey)] }) };
  const isAtAddress = saved?.address !== undefined && options.rendezvous === undefined;
  const named = isAtAddress ? parsePeer([saved.address]) : peer;
  if (named.kind !== "address") return resolveByRendezvous(context, named, operands, known);
  const { host, port } = named;
  const remote = formatPeer(host, port);
  const shown = escapeText(remote);
  let stopReporting = (): void => undefined;
  const trust = await trustForConnector(context, known, remote, () => stopReporting());

  const reportWaiting = (): void => {
    const stopWaiting = showWaiting(reporter, `reaching ${shown}`);
    const silence = setTimeout(() => {
      const question = `nothing heard from ${shown}; is UDP ${port} open?`;
      reporter.event("silence", { remote, afterMs: SILENCE_MS }, question);
    }, SILENCE_MS);
    stopReporting = () => {
      clearTimeout(silence);
      stopWaiting();
    };
  };

  const open = async ({ quiet, isRival, ...how }: OpenOptions): Promise<Link> => {
    if (!quiet) reportWaiting();
    const openOptions = { ...how, ...linkOptionsOf(options, context), ...(isRival && { localPort: 0 }) };
    const { cross } = options;
    const wanted: ConnectOptions = {
      host,
      port,
      ...openOptions,
      ...(cross === false && { cross }),
      ...trust.options,
    };
    try {
      return await connect(wanted);
    } catch (thrown) {
      if (how.signal.aborted) throw how.signal.reason;
      throw trust.explain(asSrudpError(thrown));
    } finally {
      stopReporting();
    }
  };
  return {
    name: remote,
    address: remote,
    isRepeatable: trust.auth !== "code",
    open,
    remember: trust.remember,
  };
}

/**
 * @throws SrudpError ERR_USAGE when no peer has that name, since the operand then counts as a host
 * without a port
 */
async function findSaved(context: CommandContext, name: string): Promise<SavedPeer> {
  const store = new KeyStore(configurationFolder(context.environment));
  const saved = await store.savedPeers.find(name);
  if (saved !== undefined) return saved;
  throw usage(`"${escapeText(name)}" is no saved peer, and has no port: give the peer as host:port`);
}

/** Resolves a peer without an address (a code, key, ticket, name or nothing), which is found at rendezvous points. */
async function resolveByRendezvous(
  context: CommandContext,
  peer: Exclude<PeerOperand, { kind: "address" }>,
  operands: readonly string[],
  options: LinkOptions,
): Promise<PeerDialer> {
  const { reporter } = context;
  if (options.secretFile !== undefined || options.passphraseFile !== undefined)
    throw usage("A secret or a passphrase leads to no meeting place: give the peer as host:port");
  const name = peer.kind === "key" || peer.kind === "name" ? operands[0]! : "the peer";
  const named = peer.kind === "key" ? { ...options, peer: [operands[0]!] } : options;
  const ticket = peer.kind === "ticket" ? acceptTicket(context, peer.offer) : undefined;
  const operand =
    peer.kind === "code" ? { code: peer.code } : peer.kind === "ticket" ? { ticket: peer.offer.psk } : {};
  const trust = await trustForConnector(context, named, name, () => undefined, operand);
  const traversalOptions = {
    ...traversalOptionsOf(options, reporter),
    ...(ticket !== undefined && { ticket }),
  };

  const open = async ({ quiet, ...how }: OpenOptions): Promise<Link> => {
    const stopWaiting = quiet ? () => undefined : showWaiting(reporter, "looking for the peer");
    try {
      const { meet } = await import("../../open/meet.ts");
      return await meet({
        ...how,
        ...linkOptionsOf(options, context),
        ...trust.options,
        meet: traversalOptions,
      });
    } catch (thrown) {
      if (how.signal.aborted) throw how.signal.reason;
      throw trust.explain(asSrudpError(thrown));
    } finally {
      stopWaiting();
    }
  };
  const isRepeatable = trust.auth !== "code" && trust.auth !== "ticket";
  // The user first has to pass the answer to the peer.
  const deadline = peer.kind === "ticket" && { timeoutMs: ticketTimeoutMs(peer.offer) };
  return { ...deadline, name, address: undefined, isRepeatable, open, remember: trust.remember };
}

/** Delay before the spinner is shown. Loading it is expensive, and a shorter wait needs none. */
const TIMEOUT_MS = 400;

/** Shows `text` with a spinner until the returned function is called. */
function showWaiting(reporter: Reporter, text: string): () => void {
  if (!reporter.isTerminal || reporter.json || reporter.quiet) return () => undefined;
  // A terminal without a size reports 0 columns, and ora then erases lines forever.
  if (process.stderr.columns === 0) return () => undefined;
  let stopped = false;
  let stop = (): void => undefined;
  const timer = setTimeout(async () => {
    const { default: ora, spinners } = await import("ora");
    if (stopped) return;
    const spinner = ora({
      text,
      stream: process.stderr,
      color: reporter.hasColors && "cyan",
      spinner: hasUnicode(process.env) ? spinners.dots : spinners.line,
      // stdin is data for the peer, so the spinner must not discard it.
      discardStdin: false,
    });
    spinner.start();
    reporter.setLiveLine({
      clear: () => spinner.clear(),
      draw: () => {
        if (spinner.isSpinning) spinner.render();
      },
    });
    stop = () => {
      reporter.setLiveLine(undefined);
      spinner.stop();
      stop = () => undefined;
    };
  }, TIMEOUT_MS);
  return () => {
    stopped = true;
    clearTimeout(timer);
    stop();
  };
}

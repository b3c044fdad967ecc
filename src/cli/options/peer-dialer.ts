/**
 * The way to one peer: what its operand names, whom it has to be, and how a link to it is made, once or again
 * and again. `connect` and `forward` get their links here and nowhere else.
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
import { acceptTicket, ticketPatienceMs } from "../tickets.ts";
import type { LinkOptions } from "./common-options.ts";
import { trustForConnector } from "./connector-trust.ts";
import { traversalOptionsOf } from "./finding-options.ts";
import { linkOptionsOf } from "./link-setup.ts";
import { formatPeer, type PeerOperand, parsePeer, usage } from "./operands.ts";
import { turnOptionsOf } from "./turn-options.ts";

/** Without an answer for so long the person is told what may be wrong. */
const SILENCE_MS = 3000;

export interface OpenOptions {
  /** Gives up after so long, ms. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  /** False for a link that only carries forwards. */
  readonly pipe: boolean;
  /** Silence after which the link is lost, where the command line does not say, ms. */
  readonly idleTimeoutMs?: number;
  /** Says nothing while it tries: somebody has been told already. */
  readonly quiet?: boolean;
  /** Own UDP port where the command line does not say; left out, see `connect` of the library. */
  readonly localPort?: number;
  /** Takes any local port, whatever was asked for: another link has that. */
  readonly isRival?: boolean;
}

export interface PeerDialer {
  /** The peer as a person calls it. */
  readonly name: string;
  /** Where it was reached, `host:port`, where that can be typed again. */
  readonly address: string | undefined;
  /** How long to wait for the peer, where it takes longer than usual. */
  readonly timeoutMs?: number;
  /** Whether a second link can be made: not with a code or a ticket, which is spent by the first. */
  readonly isRepeatable: boolean;
  /**
   * A link to the peer.
   *
   * @throws SrudpError as `connect` of the library does, in words for whoever typed the command; the signal's reason
   */
  open(options: OpenOptions): Promise<Link>;
  /** Writes down a key that was accepted for the first time. */
  remember(): Promise<void>;
}

/**
 * Finds out how the peer that the operands name is reached and trusted; it may ask on the terminal.
 *
 * @throws SrudpError for operands and options that lead nowhere
 */
export async function resolvePeer(
  context: CommandContext,
  operands: readonly string[],
  options: LinkOptions,
): Promise<PeerDialer> {
  const { reporter } = context;
  const peer = parsePeer(operands);
  const saved = peer.kind === "name" ? await findSaved(context, peer.name) : undefined;
  // A saved peer is known by its key, wherever it is: it is met, unless it was last reached at an address.
  const turn = await turnOptionsOf(options, context.environment);
  const known = { ...options, turn, ...(saved !== undefined && { peer: [encodeKey(saved.publicKey)] }) };
  const isAtAddress = saved?.address !== undefined && options.rendezvous === undefined;
  const named = isAtAddress ? parsePeer([saved.address]) : peer;
  if (named.kind !== "address") return resolveByRendezvous(context, named, operands, known);
  const { host, port } = named;
  const remote = formatPeer(host, port);
  const shown = escapeText(remote);
  let stopTelling = (): void => undefined;
  const trust = await trustForConnector(context, known, remote, () => stopTelling());

  const tellWaiting = (): void => {
    const stopWaiting = showWaiting(reporter, `reaching ${shown}`);
    const silence = setTimeout(() => {
      const question = `nothing heard from ${shown}; is UDP ${port} open?`;
      reporter.event("silence", { remote, afterMs: SILENCE_MS }, question);
    }, SILENCE_MS);
    stopTelling = () => {
      clearTimeout(silence);
      stopWaiting();
    };
  };

  const open = async ({ quiet, isRival, ...how }: OpenOptions): Promise<Link> => {
    if (!quiet) tellWaiting();
    const ways = { ...how, ...linkOptionsOf(options, context), ...(isRival && { localPort: 0 }) };
    const { cross } = options;
    const wanted: ConnectOptions = {
      host,
      port,
      ...ways,
      ...(cross === false && { cross }),
      ...trust.options,
    };
    try {
      return await connect(wanted);
    } catch (thrown) {
      if (how.signal.aborted) throw how.signal.reason;
      throw trust.explain(asSrudpError(thrown));
    } finally {
      stopTelling();
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

/** @throws SrudpError ERR_USAGE when there is none: then it is a host without a port */
async function findSaved(context: CommandContext, name: string): Promise<SavedPeer> {
  const store = new KeyStore(configurationFolder(context.environment));
  const saved = await store.savedPeers.find(name);
  if (saved !== undefined) return saved;
  throw usage(`"${escapeText(name)}" is no saved peer, and has no port: give the peer as host:port`);
}

/** A code, a key or nothing at all names no address: the peer is met where it waits. */
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
  const ways = { ...traversalOptionsOf(options, reporter), ...(ticket !== undefined && { ticket }) };

  const open = async ({ quiet, ...how }: OpenOptions): Promise<Link> => {
    const stopWaiting = quiet ? () => undefined : showWaiting(reporter, "looking for the peer");
    try {
      const { meet } = await import("../../open/meet.ts");
      return await meet({ ...how, ...linkOptionsOf(options, context), ...trust.options, meet: ways });
    } catch (thrown) {
      if (how.signal.aborted) throw how.signal.reason;
      throw trust.explain(asSrudpError(thrown));
    } finally {
      stopWaiting();
    }
  };
  const isRepeatable = trust.auth !== "code" && trust.auth !== "ticket";
  // A person has to carry the answer first.
  const deadline = peer.kind === "ticket" && { timeoutMs: ticketPatienceMs(peer.offer) };
  return { ...deadline, name, address: undefined, isRepeatable, open, remember: trust.remember };
}

/** A wait shorter than this needs no spinner, which costs more than that to load. */
const TIMEOUT_MS = 400;

/** Shows `text` with a spinner until the returned function is called. */
function showWaiting(reporter: Reporter, text: string): () => void {
  if (!reporter.isTerminal || reporter.json || reporter.quiet) return () => undefined;
  // A terminal that has no size yet reports 0 columns; ora then erases lines without end.
  if (process.stderr.columns === 0) return () => undefined;
  let stopped = false;
  let stop = (): void => undefined;
  const timer = setTimeout(async () => {
    const { default: ora } = await import("ora");
    if (stopped) return;
    // stdin belongs to the peer: the spinner must not swallow it.
    const spinner = ora({ text, stream: process.stderr, discardStdin: false });
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

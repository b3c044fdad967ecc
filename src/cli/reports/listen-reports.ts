/** The reports of a listener: how to connect to it, and which peers were rejected. */

import type { Listener } from "../../open/listener.ts";
import { familyOf, formatAddress, type RemoteAddress } from "../../platform/udp/address.ts";
import { encodeKey } from "../../wire/key-text.ts";
import type { CommandContext } from "../context.ts";
import type { LinkOptions } from "../options/common-options.ts";
import type { ListenerTrust } from "../options/listener-trust.ts";
import { formatDuration } from "../terminal/progress.ts";
import type { Reporter } from "../terminal/reporter.ts";
import { localAddresses } from "./local-addresses.ts";

/** Maximum number of addresses in prose. JSON has all of them. */
const MAX_LINES = 4;
/**
 * Minimum interval between reports of the same kind. Unauthenticated peers may connect at any rate.
 */
const REPORT_INTERVAL_MS = 1000;
/** Number of wrong guesses that are reported without this interval: as many as void a code. */
const GUESSES_AT_ONCE = 3;

/** Prints the complete command line for the peer. */
export function reportListening(
  { reporter }: CommandContext,
  listener: Listener,
  trust: ListenerTrust,
  options: LinkOptions,
  isMet: boolean,
): void {
  const { port } = listener;
  const bound = listener.addresses[0]!;
  const addresses = reachableAddresses(listener, options);
  const made = trust.code?.given === false ? trust.code.text.reveal() : undefined;
  const fields = {
    address: bound.address,
    port,
    addresses,
    code: made,
    key: trust.key === undefined ? undefined : encodeKey(trust.key),
  };
  if (reporter.quiet) {
    reporter.event("listening", fields, made, "always");
    return;
  }
  const { strong } = reporter.palette;
  const { before, after } = peerCommand(options);
  const hint = hintFor(trust) + after;
  const lines = addresses
    .slice(0, MAX_LINES)
    .map(
      (address) =>
        `  ${strong(`${before}${formatAddress({ address, port, family: familyOf(address) })}${hint}`)}`,
    );
  const ends: string[] = [];
  if (made !== undefined) ends.push(`and there type the code  ${strong(made)}`);
  else if (trust.code !== undefined) ends.push("and there type the code that you gave here");
  const prose = options.ticket
    ? ["making a ticket…"]
    : isMet
      ? [
          `waiting for a peer; on the other machine run`,
          `  ${strong(`${before}${rendezvousHint(trust, options, after)}`)}`,
        ]
      : [`listening on UDP port ${port}; on the other machine run`, ...lines, ...ends];
  reporter.event("listening", fields, prose.join("\n"));
}

/** Prints a code that replaces the previous one. */
export function reportNewCode(reporter: Reporter, code: string): void {
  const { strong } = reporter.palette;
  reporter.event("code", { code }, reporter.quiet ? code : `the code is now  ${strong(code)}`, "always");
}

/** Prints that wrong guesses have voided the code, and when the next one follows. */
export function reportBurnt(reporter: Reporter, pauseMs: number): void {
  const prose = `three wrong guesses made the code void; the next code comes in ${formatDuration(pauseMs)}`;
  reporter.event("burnt", { nextInMs: pauseMs }, prose);
}

/** Reports rejected peers. */
export function reportRejectedPeers(reporter: Reporter, listener: Listener, trust: ListenerTrust): void {
  const guessed = trust.auths.filter((auth) => auth === "code" || auth === "passphrase").join(" or ");
  // A passphrase does not become void after three guesses. Each guess is followed by a pause
  // instead.
  const limit = trust.auths.includes("code") ? " of 3" : "";
  listener.on(
    "guess",
    limited(({ remote, failures }: { remote: RemoteAddress; failures: number }) => {
      const from = formatAddress(remote);
      reporter.event(
        "guess",
        { remote: from, failures },
        `a wrong ${guessed} came from ${from} (${failures}${limit})`,
      );
    }, GUESSES_AT_ONCE),
  );
  listener.on(
    "version",
    limited(({ remote, lowest, highest }: { remote: RemoteAddress; lowest: number; highest: number }) => {
      const from = formatAddress(remote);
      const range = lowest === highest ? `${lowest}` : `${lowest} to ${highest}`;
      const prose = `${from} speaks another version of the protocol (${range}); install the same version of srudp on both sides`;
      reporter.event("version", { remote: from, lowest, highest }, prose);
    }),
  );
  listener.on(
    "refused",
    limited(({ remote, key }: { remote: RemoteAddress; key: Uint8Array }) => {
      const from = formatAddress(remote);
      const peer = encodeKey(key);
      reporter.event("refused", { remote: from, peer }, `refused ${from}; to let it in: --allow ${peer}`);
    }),
  );
  listener.on(
    "busy",
    limited(({ remote }: { remote: RemoteAddress }) => {
      const from = formatAddress(remote);
      reporter.event(
        "busy",
        { remote: from },
        `${from} came too, and was told that this side is busy`,
        "detail",
      );
    }),
  );
}

/**
 * The command line for a peer that needs no address: the code or this side's key, and the same
 * rendezvous servers.
 */
function rendezvousHint(
  { code, key }: ListenerTrust,
  { rendezvous = [] }: LinkOptions,
  after: string,
): string {
  const points = rendezvous.map((url) => ` --rendezvous ${url}`).join("") + after;
  if (code?.given === false) return code.text.reveal() + points;
  if (code !== undefined) return `CODE${points}  (with the code that you gave here)`;
  return (key === undefined ? "NAME" : encodeKey(key)) + points;
}

/** Calls `report` for up to `burst` events at once, and after that for one event per interval. */
function limited<T>(report: (event: T) => void, burst = 1): (event: T) => void {
  let fullAtMs = Number.NEGATIVE_INFINITY;
  return (event) => {
    const now = performance.now();
    // The sum is not stored and subtracted again, because rounding would suppress some of the first
    // events.
    if (fullAtMs > now + (burst - 1) * REPORT_INTERVAL_MS) return;
    // Each reported event postpones the time at which the whole burst is available again.
    fullAtMs = Math.max(fullAtMs, now) + REPORT_INTERVAL_MS;
    report(event);
  };
}

function reachableAddresses(listener: Listener, options: LinkOptions): string[] {
  const bound = listener.addresses.map((one) => one.address);
  if (bound.some((address) => address === "0.0.0.0" || address === "::")) {
    return localAddresses(options[4] ? 4 : options[6] ? 6 : undefined);
  }
  return bound;
}

/** The options that the peer's command line needs in addition to the address. */
function hintFor(trust: ListenerTrust): string {
  switch (trust.auths[0]) {
    case "secret":
      return " --secret-file FILE";
    case "passphrase":
      return " --passphrase-file FILE";
    case "key":
      return trust.key === undefined ? "" : ` --peer ${encodeKey(trust.key)}`;
    default:
      return "";
  }
}

/**
 * Ports below this number usually require root, so the peer's local port is shifted by the offset.
 */
const PRIVILEGED_PORTS = 1024;
const PRIVILEGED_OFFSET = 8000;

/** The parts of the command line before and after the peer, each with its separating space. */
function peerCommand({ expose = [], permitListen = [] }: LinkOptions): {
  before: string;
  after: string;
} {
  const forward = forwardTo(expose[0], permitListen[0]);
  return forward === undefined
    ? { before: "srudp connect ", after: "" }
    : { before: "srudp forward ", after: ` ${forward}` };
}

function forwardTo(exposed: string | undefined, permitted: string | undefined): string | undefined {
  if (exposed === undefined) return permitted === undefined ? undefined : "-R PORT:HOST:PORT";
  if (exposed.startsWith("/")) return `-L PORT:${exposed}`;
  const parts = /^(.+):(\d+)(?:-\d+)?(\/udp)?$/.exec(exposed);
  // The peer chooses a target that the pattern covers.
  if (parts === null || parts[1]!.includes("*") || parts[1]!.includes("/")) return "-D 1080";
  const [, host, text, protocol = ""] = parts;
  const port = Number(text);
  const localPort = port < PRIVILEGED_PORTS ? port + PRIVILEGED_OFFSET : port;
  return `-L ${localPort}:${host}:${port}${protocol}`;
}

/**
 * The options of `srudp rendezvous`: their definition for commander, and their type for the action.
 */
import type { Command } from "commander";
import { type RendezvousLimits, USUAL_LIMITS } from "../../server/limits.ts";
import { collect, count, optionParser } from "./common-options.ts";
import { parsePort, usage } from "./operands.ts";

/** The options; absent if not given. */
export interface RendezvousCommandOptions {
  readonly port?: number;
  readonly host?: readonly string[];
  readonly relay?: boolean;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly maxPlaces?: number;
  readonly maxPerAddress?: number;
  readonly maxMessageRate?: number;
  readonly maxWebsockets?: number;
  readonly maxRelays?: number;
  readonly maxRelaysPerAddress?: number;
  /** Mbit/s. */
  readonly relayRate?: number;
  /** MB. */
  readonly relayQuota?: number;
  /** Mbit/s. */
  readonly relayTotalRate?: number;
}

const BYTES_OF_MEGABIT = 125_000;
const BYTES_OF_MEGABYTE = 1_000_000;

export function addRendezvousOptions(command: Command): Command {
  const { points, entriesPerAddress, messagesPerAddress, webSockets, relays, relaysPerAddress } =
    USUAL_LIMITS;
  const rate = USUAL_LIMITS.relayRateBytes / BYTES_OF_MEGABIT;
  const totalRate = USUAL_LIMITS.relayTotalRateBytes / BYTES_OF_MEGABIT;
  const quota = USUAL_LIMITS.relayQuotaBytes / BYTES_OF_MEGABYTE;
  return command
    .optionsGroup("Where it listens:")
    .option("--port <n>", "UDP ports n and n + 1, TCP port n (default: 3478)", optionParser(parseFirstPort))
    .option("--host <address>", "own address (repeatable; default: all)", collect)
    .option("--tls-cert <file>", "certificate, PEM: the TCP port then takes wss:// as well as ws://")
    .option("--tls-key <file>", "the certificate's key, PEM")
    .optionsGroup("What it offers:")
    .option("--relay", "pass datagrams on for peers without a direct path (the default)")
    .option("--no-relay", "pass nothing on")
    .optionsGroup("How much of it:")
    .option("--max-places <n>", `places where peers wait (default: ${points})`, optionParser(parseCount))
    .option(
      "--max-per-address <n>",
      `peers waiting behind one address (default: ${entriesPerAddress})`,
      optionParser(parseCount),
    )
    .option(
      "--max-message-rate <n>",
      `messages a second from one address (default: ${messagesPerAddress}, or half of --max-per-address)`,
      optionParser(parseCount),
    )
    .option("--max-websockets <n>", `WebSockets (default: ${webSockets})`, optionParser(parseCount))
    .option("--max-relays <n>", `relayed links (default: ${relays})`, optionParser(parseCount))
    .option(
      "--max-relays-per-address <n>",
      `relayed links of one address (default: ${relaysPerAddress})`,
      optionParser(parseCount),
    )
    .option(
      "--relay-rate <mbit>",
      `Mbit/s each way of one link (default: ${rate})`,
      optionParser(parseAmount),
    )
    .option("--relay-quota <mb>", `MB in all of one link (default: ${quota})`, optionParser(parseAmount))
    .option(
      "--relay-total-rate <mbit>",
      `Mbit/s of all links together (default: ${totalRate})`,
      optionParser(parseAmount),
    )
    .optionsGroup("What is told, on stderr:")
    .option("--json", "events as JSON, one a line")
    .option("-v, --verbose", "more", count)
    .option("--quiet", "errors only")
    .optionsGroup("Help:");
}

/** The limits in the units of the server. */
export function limitsOf(options: RendezvousCommandOptions): RendezvousLimits {
  const limits = USUAL_LIMITS;
  return {
    points: options.maxPlaces ?? limits.points,
    entriesPerAddress: options.maxPerAddress ?? limits.entriesPerAddress,
    messagesPerAddress:
      options.maxMessageRate ?? Math.max(limits.messagesPerAddress, (options.maxPerAddress ?? 0) / 2),
    webSockets: options.maxWebsockets ?? limits.webSockets,
    webSocketsPerAddress: Math.max(limits.webSocketsPerAddress, options.maxPerAddress ?? 0),
    relays: options.relay === false ? 0 : (options.maxRelays ?? limits.relays),
    relaysPerAddress: options.maxRelaysPerAddress ?? limits.relaysPerAddress,
    relayRateBytes: inBytes(options.relayRate, BYTES_OF_MEGABIT) ?? limits.relayRateBytes,
    relayQuotaBytes: inBytes(options.relayQuota, BYTES_OF_MEGABYTE) ?? limits.relayQuotaBytes,
    relayTotalRateBytes: inBytes(options.relayTotalRate, BYTES_OF_MEGABIT) ?? limits.relayTotalRateBytes,
  };
}

function inBytes(amount: number | undefined, unitBytes: number): number | undefined {
  return amount === undefined ? undefined : amount * unitBytes;
}

function parseCount(text: string): number {
  if (!/^[1-9]\d{0,7}$/.test(text)) throw usage(`"${text}" is not a whole number above 0`);
  return Number(text);
}

function parseAmount(text: string): number {
  if (!/^\d{1,7}(?:\.\d+)?$/.test(text) || Number(text) === 0)
    throw usage(`"${text}" is not an amount above 0`);
  return Number(text);
}

/** The lower of two ports. @throws SrudpError ERR_USAGE */
function parseFirstPort(text: string): number {
  const port = parsePort(text);
  if (port === 65_535) throw usage('"65535" has no port behind it, which the server needs as well');
  return port;
}

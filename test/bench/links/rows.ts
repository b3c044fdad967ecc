/**
 * The six links of docs/benchmarks.md, what kernel TCP made of them, and what nobody could better: the ideal.
 */
import { DATAGRAM_FLOOR_BYTES } from "../../../src/base/path.ts";
import { initialWindowBytes } from "../../../src/engine/congestion/congestion.ts";
import { streamHeaderBytes } from "../../../src/wire/frames.ts";
import { PACKET_OVERHEAD_BYTES } from "../../../src/wire/packet.ts";
import type { LinkOptions } from "../../sim/link.ts";

export interface LinkRow {
  readonly name: string;
  readonly bytes: number;
  readonly rateMbit: number;
  /** One way. */
  readonly delayMs: number;
  /** Random loss in each direction, 0 to 1. */
  readonly lossRate: number;
  /** Up to this much more delay, uniform, so that datagrams overtake. */
  readonly jitterMs: number;
  /** Queue in front of the line; one bandwidth-delay product where nothing else is said. */
  readonly queueBytes: number;
  /** Measured with kernel TCP over the same kind of link on another day: compare with care. */
  readonly kernelBbrMbit: number;
  /** Share of the ideal that BBR is to reach; undefined where only the others' figures are the goal. */
  readonly goalShare: number | undefined;
}

type Given = Pick<LinkRow, "name" | "bytes" | "rateMbit" | "delayMs" | "kernelBbrMbit"> & Partial<LinkRow>;

function row(given: Given): LinkRow {
  const { rateMbit, delayMs } = given;
  const queueBytes = Math.round(rateMbit * BYTES_PER_MS_OF_MBIT * 2 * delayMs);
  return { lossRate: 0, jitterMs: 0, queueBytes, goalShare: undefined, ...given };
}

const BYTES_PER_MS_OF_MBIT = 125;
const MEGABYTE = 1_000_000;

/** Largest datagram that `connect` and `listen` search for, IPv4 and UDP headers, as the emulator counts them. */
const DATAGRAM_BYTES = 1452;
const LINE_HEADER_BYTES = 28;
/** What the line takes, headers included: loopback itself takes 64 kB, which no such link does. */
const ETHERNET_BYTES = 1500;
/** Anything above 16 kB: the offset of a STREAM frame takes four bytes from there on. */
const USUAL_OFFSET = 1_000_000;

export const LINK_ROWS: readonly LinkRow[] = [
  row({
    name: "loss1",
    bytes: 30 * MEGABYTE,
    rateMbit: 50,
    delayMs: 25,
    lossRate: 0.01,
    kernelBbrMbit: 43.7,
    goalShare: 0.9,
  }),
  row({
    name: "fast",
    bytes: 60 * MEGABYTE,
    rateMbit: 100,
    delayMs: 40,
    lossRate: 0.001,
    kernelBbrMbit: 83.7,
    goalShare: 0.9,
  }),
  row({
    name: "long",
    bytes: 20 * MEGABYTE,
    rateMbit: 20,
    delayMs: 100,
    kernelBbrMbit: 16.7,
    goalShare: 0.95,
  }),
  row({
    name: "slow",
    bytes: 10 * MEGABYTE,
    rateMbit: 10,
    delayMs: 15,
    queueBytes: 37_000,
    kernelBbrMbit: 9.6,
    goalShare: 0.95,
  }),
  row({
    name: "loss5",
    bytes: 30 * MEGABYTE,
    rateMbit: 50,
    delayMs: 50,
    lossRate: 0.05,
    kernelBbrMbit: 35.3,
  }),
  row({
    name: "jitter",
    bytes: 20 * MEGABYTE,
    rateMbit: 30,
    delayMs: 20,
    jitterMs: 8,
    kernelBbrMbit: 26.7,
    goalShare: 0.95,
  }),
];

/** What the emulator is told, the same for both directions. */
export function linkOptions(link: LinkRow): Partial<LinkOptions> {
  const { rateMbit, delayMs, lossRate, jitterMs, queueBytes } = link;
  const jitterReorders = jitterMs > 0;
  return { rateMbit, delayMs, lossRate, jitterMs, jitterReorders, queueBytes, mtuBytes: ETHERNET_BYTES };
}

/** The row in words. */
export function describeRow({ rateMbit, delayMs, lossRate, jitterMs, queueBytes, bytes }: LinkRow): string {
  const loss = lossRate > 0 ? `${lossRate * 100} % loss` : "no loss";
  const jitter = jitterMs > 0 ? `, ${jitterMs} ms jitter` : "";
  const queue = `queue ${(queueBytes / 1000).toFixed(0)} kB`;
  return `${rateMbit} Mbit/s, ${delayMs} ms, ${loss}${jitter}, ${queue}, ${bytes / MEGABYTE} MB`;
}

/**
 * Goodput in Mbit/s of a sender that knows the path: one round trip of handshake, a window that doubles each
 * round trip from the initial one until it fills the path, then the line's rate less headers and loss, and the
 * way of the last byte.
 */
export function idealMbit(link: LinkRow): number {
  const { bytes, rateMbit, delayMs, lossRate, jitterMs } = link;
  const roundTripMs = 2 * delayMs + jitterMs;
  const bytesPerMs = rateMbit * BYTES_PER_MS_OF_MBIT;
  const payloadBytes = DATAGRAM_BYTES - PACKET_OVERHEAD_BYTES - streamHeaderBytes(4, USUAL_OFFSET, 0, false);
  // What is lost has used the line all the same.
  const lineBytes = ((bytes / payloadBytes) * (DATAGRAM_BYTES + LINE_HEADER_BYTES)) / (1 - lossRate);
  let atMs = roundTripMs;
  let leftBytes = lineBytes;
  let windowBytes = initialWindowBytes(DATAGRAM_FLOOR_BYTES);
  while (windowBytes < bytesPerMs * roundTripMs && windowBytes < leftBytes) {
    leftBytes -= windowBytes;
    atMs += roundTripMs;
    windowBytes *= 2;
  }
  atMs += leftBytes / bytesPerMs + roundTripMs / 2;
  return (bytes * 8) / atMs / 1000;
}

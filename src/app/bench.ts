/**
 * Measures a link over the link itself. The measuring side opens a stream for each request, and the
 * peer serves it. Only an authenticated peer can send requests. They cost the server as much as a
 * pipe, at most a few streams at a time, and never for longer than a minute.
 *
 * A request is one byte, its kind. For `source` the time in milliseconds follows (32 bits). `sink`
 * counts the received bytes and reports them at the end (bytes and milliseconds, 64 bits each as
 * IEEE 754). `source` sends as fast as the link permits. `echo` sends back each byte.
 */

import { concatBytes, writeU32 } from "../base/bytes.ts";
import { SrudpError } from "../base/errors.ts";
import type { PathKind } from "../base/path.ts";
import type { Link } from "../link/link.ts";
import type { Stream } from "../link/stream.ts";

export const REQUEST = { sink: 1, source: 2, echo: 3 } as const;
const SOURCE_BYTES = 5;
const ANSWER_BYTES = 16;
/** Maximum time for which a request is served. */
const MAX_MS = 60_000;
/**
 * Maximum number of requests served at once: the current one, and earlier ones whose streams are
 * about to close.
 */
const STREAMS_LIMIT = 4;
/** Maximum number of bytes that an echo buffers. */
const MAX_ECHO_BYTES = 1024;
/** Initial time that is excluded from the result: slow start and packet size discovery. */
const WARM_UP_MS = 500;
const CHUNK: Uint8Array = new Uint8Array(65_536);

export interface BenchResult {
  /** Bytes per second that arrived: `upRate` at the peer, `downRate` here. */
  readonly upRate: number;
  readonly downRate: number;
  /** Round trips of one byte on the idle link, ms. */
  readonly roundTripMs: { readonly median: number; readonly p99: number; readonly count: number };
  /** Share of lost packets among those that this side sent during both measurements, percent. */
  readonly lossPct: number;
  readonly path: PathKind;
  /** UDP payload of full packets at the end of the measurement. */
  readonly mtuBytes: number;
}

/** Serves the peer's requests from now on. */
export function serveBench(link: Link): void {
  let answering = 0;
  link.on("bench", (stream) => {
    stream.on("error", () => undefined);
    if (answering === STREAMS_LIMIT) {
      stream.destroy();
      return;
    }
    answering++;
    const deadline = setTimeout(() => stream.destroy(), 2 * MAX_MS);
    stream.once("close", () => {
      answering--;
      clearTimeout(deadline);
    });
    let head: Uint8Array = new Uint8Array(0);
    const read = (bytes: Uint8Array): void => {
      head = concatBytes(head, bytes);
      if (head.length < (head[0] === REQUEST.source ? SOURCE_BYTES : 1)) return;
      stream.off("data", read);
      answer(stream, head);
    };
    stream.on("data", read);
  });
}

/** Refuses the peer's requests with ERR_BENCH_FORBIDDEN. */
export function refuseBench(link: Link, onRefused: (error: SrudpError) => void): void {
  link.on("bench", (stream) => {
    const error = new SrudpError("ERR_BENCH_FORBIDDEN");
    stream.on("error", () => undefined);
    stream.destroy(error);
    onRefused(error);
  });
}

/** @param head the kind of the request, and the bytes that arrived with it */
function answer(stream: Stream, head: Uint8Array): void {
  switch (head[0]) {
    case REQUEST.sink:
      sink(stream);
      return;
    case REQUEST.source: {
      const forMs = new DataView(head.buffer, head.byteOffset).getUint32(1);
      source(stream, Math.min(forMs, MAX_MS)).catch((fault) => stream.fail(fault));
      return;
    }
    case REQUEST.echo:
      echo(stream, head.subarray(1));
      return;
    default:
      stream.destroy();
  }
}

function sink(stream: Stream): void {
  let bytes = 0;
  const startMs = performance.now();
  let countedFromMs = -1;
  stream.on("data", (chunk: Uint8Array) => {
    const now = performance.now();
    stream.recycle(chunk);
    if (now < startMs + WARM_UP_MS) return;
    if (countedFromMs < 0) {
      countedFromMs = now;
      bytes = 0;
    } else bytes += chunk.length;
  });
  stream.once("end", () => {
    const tookMs = performance.now() - (countedFromMs < 0 ? startMs : countedFromMs);
    const view = new DataView(new ArrayBuffer(ANSWER_BYTES));
    view.setFloat64(0, bytes);
    view.setFloat64(8, tookMs);
    stream.end(new Uint8Array(view.buffer));
  });
}

async function source(stream: Stream, forMs: number): Promise<void> {
  stream.resume();
  await writeFor(stream, forMs);
  stream.end();
}

function echo(stream: Stream, first: Uint8Array): void {
  let inHand = 0;
  stream.on("data", (bytes: Uint8Array) => {
    inHand += bytes.length;
    if (inHand > MAX_ECHO_BYTES) stream.destroy();
    else
      stream.write(bytes, () => {
        inHand -= bytes.length;
      });
  });
  if (first.length > 0) stream.write(first);
  stream.once("end", () => stream.end());
}

/**
 * Measures a link whose peer serves requests (`serveBench`).
 *
 * @param forMs time for each direction
 * @throws the error of the link; ERR_PEER_RESET when the peer does not serve requests
 */
export async function measure(link: Link, forMs: number): Promise<BenchResult> {
  const roundTripMs = await roundTrips(link);
  const before = link.stats();
  const upRate = await upload(link, Math.min(forMs, MAX_MS - WARM_UP_MS));
  const after = link.stats();
  const downRate = await download(link, Math.min(forMs, MAX_MS - WARM_UP_MS));
  const sent = after.sentPackets - before.sentPackets;
  const lost = after.lostPackets - before.lostPackets;
  return {
    upRate,
    downRate,
    roundTripMs,
    lossPct: sent === 0 ? 0 : (100 * lost) / sent,
    path: link.path,
    mtuBytes: link.stats().mtuBytes,
  };
}

/** Number of round trips to measure. The measurement ends earlier after one second. */
const ROUND_TRIPS = 1000;
const ROUND_TRIPS_MS = 1000;
/** The first round trips run before V8 has optimized the code. */
const ROUND_TRIPS_UNCOUNTED = 50;

async function roundTrips(link: Link): Promise<BenchResult["roundTripMs"]> {
  const stream = await openRequest(link, Uint8Array.of(REQUEST.echo));
  const times: number[] = [];
  const endsAtMs = performance.now() + ROUND_TRIPS_MS;
  const ping = Uint8Array.of(1);
  await new Promise<void>((resolve, reject) => {
    let sentAtMs = 0;
    const send = (): void => {
      sentAtMs = performance.now();
      stream.write(ping);
    };
    stream.once("error", reject);
    stream.once("close", () => reject(stream.errored ?? new Error("the peer does not answer")));
    stream.on("data", () => {
      const now = performance.now();
      times.push(now - sentAtMs);
      if (times.length < ROUND_TRIPS && now < endsAtMs) send();
      else resolve();
    });
    send();
  });
  stream.end();
  stream.resume();
  const counted = times.slice(Math.min(ROUND_TRIPS_UNCOUNTED, times.length >> 1)).sort((a, b) => a - b);
  const at = (share: number): number => counted[Math.floor(share * (counted.length - 1))] ?? Number.NaN;
  return { median: at(0.5), p99: at(0.99), count: counted.length };
}

async function upload(link: Link, forMs: number): Promise<number> {
  const stream = await openRequest(link, Uint8Array.of(REQUEST.sink));
  await writeFor(stream, WARM_UP_MS + forMs);
  stream.end();
  const answer = new Uint8Array(ANSWER_BYTES);
  let at = 0;
  for await (const bytes of stream as AsyncIterable<Uint8Array>) {
    answer.set(bytes.subarray(0, ANSWER_BYTES - at), at);
    at += bytes.length;
  }
  const view = new DataView(answer.buffer);
  return at === ANSWER_BYTES ? (1000 * view.getFloat64(0)) / view.getFloat64(8) : Number.NaN;
}

async function download(link: Link, forMs: number): Promise<number> {
  const request = new Uint8Array(SOURCE_BYTES);
  request[0] = REQUEST.source;
  writeU32(request, 1, WARM_UP_MS + forMs);
  const stream = await openRequest(link, request);
  const startMs = performance.now();
  let countedFromMs = startMs;
  let bytes = 0;
  for await (const { length } of stream as AsyncIterable<Uint8Array>) {
    const now = performance.now();
    if (now < startMs + WARM_UP_MS) {
      countedFromMs = now;
      continue;
    }
    bytes += length;
  }
  stream.end();
  return (1000 * bytes) / (performance.now() - countedFromMs);
}

async function openRequest(link: Link, request: Uint8Array): Promise<Stream> {
  const stream = await link.openStream("bench");
  stream.on("error", () => undefined);
  stream.write(request);
  return stream;
}

/** Writes for `forMs`, with backpressure. Ends early when the stream has closed. */
function writeFor(stream: Stream, forMs: number): Promise<void> {
  const endsAtMs = performance.now() + forMs;
  return new Promise((resolve) => {
    const go = (): void => {
      for (;;) {
        if (stream.destroyed || performance.now() >= endsAtMs) {
          resolve();
          return;
        }
        if (!stream.write(CHUNK)) break;
      }
      stream.once("drain", go);
    };
    stream.once("close", resolve);
    go();
  });
}

/** A stranger who throws datagrams at ports that are in use. */
import { randomBytes } from "node:crypto";
import { pause } from "./deadline.ts";
import type { Pair } from "./pair.ts";
import { openUdp } from "./udp.ts";

/** Throws `perSecond` datagrams at both sides of a pair for so long; resolves with how many that were. */
export async function throwJunk({ listener, port }: Pair, perSecond: number, forMs: number): Promise<number> {
  const connected = listener.events.findLast(({ event }) => event === "connected");
  const connectorPort = Number(/:(\d+)$/.exec(connected?.remote)?.[1]);
  const stranger = await openUdp();
  const startedMs = performance.now();
  let thrown = 0;
  for (let tookMs = 0; tookMs < forMs; tookMs = performance.now() - startedMs) {
    for (const due = (tookMs * perSecond) / 1000; thrown < due; thrown++) {
      stranger.send(junk(thrown), thrown % 2 === 0 ? port : connectorPort, "127.0.0.1");
    }
    await pause(1);
  }
  stranger.close();
  return thrown;
}

/** First bytes of data, handshake and notice packets, so that most junk gets past the first look. */
const LIKELY_FIRST_BYTES = [0xc0, 0xc4, 0xd0, 0xd1, 0xd2, 0xd3, 0xd4, 0xe0];

/** Random bytes of random length. */
function junk(n: number): Uint8Array {
  const bytes = randomBytes(1 + ((n * 7919) % 1400));
  if (n % 4 !== 0) bytes[0] = LIKELY_FIRST_BYTES[n % LIKELY_FIRST_BYTES.length]!;
  return bytes;
}

/**
 * What must hold after every step of every world. A breach throws `Breach`, which names the time; the seed is
 * added where the world is run.
 *
 * Delivered bytes and event order are checked by `application.ts`, what goes over the wire by `wire-tap.ts`.
 */

import type { Path } from "../../src/base/path.ts";
import { type ConnectionEvent, EVENT } from "../../src/engine/connection/connection.ts";
import {
  type BufferSizes,
  bufferSizes,
  countFlight,
  type FlightView,
  recoveryTimeoutAt,
  viewFlight,
} from "./inspect.ts";
import type { NonceRecord } from "./nonce-record.ts";
import { PathWatch } from "./path-watch.ts";
import type { Peer } from "./peer.ts";
import type { WireTap } from "./wire-tap.ts";
import type { World } from "./world.ts";

/** An invariant was broken. */
class Breach extends Error {
  override readonly name = "Breach";
}

/** Wake-ups of one connection at one instant that are a busy loop. */
const WAKE_UPS_AT_ONE_INSTANT = 100;
/** Steps between two counts of everything (they walk over all packets and streams). */
const STEPS_BETWEEN_COUNTS = 32;
/** What clocks of 2^40 ms leave to rounding. */
const RTT_SLACK_MS = 0.01;
/** Bounds of what may be held, far above what an honest peer needs. */
const BOUNDS: BufferSizes = {
  sendingBytes: 48 * 1024 * 1024,
  receivingBytes: 16 * 1024 * 1024,
  receiveWindowBytes: 16 * 1024 * 1024,
  sentPackets: 131_072,
  frameRecords: 262_144,
  rememberedLost: 4096,
  ackRanges: 64,
  streams: 4096,
  outgoingDatagrams: 256,
  incomingDatagrams: 512,
  earlyPackets: 8,
};

interface Watched {
  wakeAt: number;
  wakeUps: number;
  steps: number;
  hasClosed: boolean;
  hasEstablished: boolean;
  /** Bytes in flight before the transmission that goes on, and what it may be. */
  flight: FlightView;
  tap: WireTap | undefined;
  paths: PathWatch | undefined;
  peaks: BufferSizes;
}

export class Invariants {
  /** Shortest round trip that the links allow: no measurement can be shorter. */
  leastRttMs = 0;
  readonly #world: World;
  readonly #nonces: NonceRecord;
  readonly #watched = new Map<Peer, Watched>();
  readonly #now: FlightView = { bytesInFlight: 0, congestionWindowBytes: 0, exempt: 0 };

  constructor(world: World, nonces: NonceRecord) {
    this.#world = world;
    this.#nonces = nonces;
  }

  readonly fail = (what: string): never => {
    throw new Breach(`at ${this.#world.now.toFixed(3)} ms: ${what}`);
  };

  /** @param tap reads along; only where the AEAD leaves the text plain */
  watch(peer: Peer, tap: WireTap | undefined): void {
    const isResponder = peer.isCalled;
    const paths = tap && new PathWatch(isResponder, (what) => this.fail(`${peer.name}: ${what}`));
    this.#watched.set(peer, { ...newWatched(), tap, paths });
  }

  /** A listener made another connection for a peer whose half-open one came to nothing. */
  onNewConnection(peer: Peer): void {
    const { tap } = this.#of(peer);
    tap?.reset();
    this.watch(peer, tap);
  }

  /** Challenges of new paths, and answers to them; undefined where the text is not plain. */
  challenges(peer: Peer): PathWatch["counts"] | undefined {
    return this.#of(peer).paths?.counts;
  }

  /** Largest sizes seen at the counts. */
  peaks(peer: Peer): BufferSizes {
    return this.#of(peer).peaks;
  }

  onWakeUp(peer: Peer, now: number): void {
    const watched = this.#of(peer);
    if (watched.wakeAt !== now) {
      watched.wakeAt = now;
      watched.wakeUps = 0;
    }
    if (++watched.wakeUps >= WAKE_UPS_AT_ONE_INSTANT) {
      this.fail(`${peer.name}: ${watched.wakeUps} wake-ups at one instant (${peer.connection.state})`);
    }
  }

  onReceive(peer: Peer, path: Path, bytes: Uint8Array): void {
    const { tap, paths } = this.#of(peer);
    tap?.onReceive(bytes);
    paths?.onReceive(path, bytes);
  }

  /** The engine is done with a received buffer: nothing of it may be kept as a view. */
  onHandled(bytes: Uint8Array): void {
    bytes.fill(0xee);
  }

  onSend(peer: Peer, path: Path, bytes: Uint8Array): void {
    const { tap, paths } = this.#of(peer);
    if (peer.connection.peer !== undefined) paths?.onEstablished();
    tap?.onSend(bytes);
    paths?.onSend(path, bytes);
    if (this.#nonces.reuses.length > 0) this.fail(this.#nonces.reuses[0]!);
  }

  beforeTransmit(peer: Peer): void {
    viewFlight(peer.connection, this.#of(peer).flight);
  }

  /** RFC 9002 §7: what counts as in flight stays within the window, probes apart. */
  onTransmit(peer: Peer): void {
    const { flight } = this.#of(peer);
    const now = this.#now;
    viewFlight(peer.connection, now);
    // Sending may itself move a controller on, as BBR out of an idle ProbeRTT: then the larger window holds.
    const allowed =
      Math.max(flight.congestionWindowBytes, now.congestionWindowBytes, flight.bytesInFlight) +
      flight.exempt * peer.connection.stats.mtuBytes;
    if (now.bytesInFlight > flight.bytesInFlight && now.bytesInFlight > allowed) {
      this.fail(
        `${peer.name}: ${now.bytesInFlight} bytes in flight, window ${flight.congestionWindowBytes}, ` +
          `${flight.exempt} packets exempt, ${flight.bytesInFlight} before`,
      );
    }
    viewFlight(peer.connection, flight);
  }

  onEvent(peer: Peer, _now: number, event: ConnectionEvent): void {
    const watched = this.#of(peer);
    if (watched.hasClosed) this.fail(`${peer.name}: event ${event.kind} after closed`);
    if (event.kind === EVENT.closed) watched.hasClosed = true;
    else if (event.kind === EVENT.established) {
      if (watched.hasEstablished) this.fail(`${peer.name}: established twice`);
      watched.hasEstablished = true;
    } else if (!watched.hasEstablished && event.kind !== EVENT.peerOffered) {
      this.fail(`${peer.name}: event ${event.kind} before established`);
    }
  }

  afterStep(peer: Peer, now: number): void {
    const { connection } = peer;
    const watched = this.#of(peer);
    const { state } = connection;
    if (connection.closeCause !== undefined && (state === "handshaking" || state === "established")) {
      this.fail(`${peer.name}: ${state} with a close cause`);
    }
    if (state === "closed" || state === "closing" || state === "draining") {
      if (!watched.hasClosed) this.fail(`${peer.name}: ${state} without the event`);
      if (state === "closed" && connection.pollTimeout() !== Number.POSITIVE_INFINITY) {
        this.fail(`${peer.name}: a timer is armed after the end`);
      }
    }
    if (state !== "established") return;
    const flight = this.#now;
    viewFlight(connection, flight);
    this.#checkFlight(peer, flight);
    if (flight.bytesInFlight > 0) {
      const timeoutAt = connection.pollTimeout();
      if (timeoutAt > recoveryTimeoutAt(connection) || timeoutAt === Number.POSITIVE_INFINITY) {
        this.fail(`${peer.name}: ${flight.bytesInFlight} bytes in flight and no timer that saves them`);
      }
      if (timeoutAt > now + 60_000) this.fail(`${peer.name}: in flight, but asleep until ${timeoutAt}`);
    }
    if (watched.steps++ % STEPS_BETWEEN_COUNTS === 0) this.count(peer);
  }

  /** Counts what can only be counted by walking over everything. */
  count(peer: Peer): void {
    const { connection } = peer;
    const { bytes, packets, packetsKept } = countFlight(connection);
    const kept = connection.stats.bytesInFlight;
    if (bytes !== kept) this.fail(`${peer.name}: ${kept} bytes in flight kept, ${bytes} counted`);
    if (packets !== packetsKept) {
      this.fail(`${peer.name}: ${packetsKept} packets in flight kept, ${packets} counted`);
    }
    const sizes = bufferSizes(connection);
    const { peaks } = this.#of(peer);
    for (const name of Object.keys(BOUNDS) as (keyof BufferSizes)[]) {
      const size = sizes[name];
      if (!(size >= 0 && size <= BOUNDS[name])) this.fail(`${peer.name}: ${name} is ${size}`);
      peaks[name] = Math.max(peaks[name], size);
    }
  }

  #checkFlight(peer: Peer, flight: FlightView): void {
    const { rttMs, minRttMs, rttVarMs, pacingRate, mtuBytes } = peer.connection.stats;
    const { bytesInFlight, congestionWindowBytes } = flight;
    if (!(bytesInFlight >= 0)) this.fail(`${peer.name}: ${bytesInFlight} bytes in flight`);
    if (!(congestionWindowBytes >= 2 * mtuBytes && congestionWindowBytes < 2 ** 40)) {
      this.fail(`${peer.name}: a congestion window of ${congestionWindowBytes} bytes`);
    }
    if (!(pacingRate > 0)) this.fail(`${peer.name}: a pacing rate of ${pacingRate}`);
    if (minRttMs > 0 && minRttMs < this.leastRttMs - RTT_SLACK_MS) {
      this.fail(`${peer.name}: a round trip of ${minRttMs} ms, where ${this.leastRttMs} is the least`);
    }
    if (!(rttMs >= 0 && rttVarMs >= 0) || Number.isNaN(minRttMs)) {
      this.fail(`${peer.name}: round trip ${rttMs} ± ${rttVarMs}, at least ${minRttMs}`);
    }
  }

  #of(peer: Peer): Watched {
    const watched = this.#watched.get(peer);
    if (watched === undefined) throw new Error(`${peer.name} is not watched`);
    return watched;
  }
}

function newWatched(): Omit<Watched, "tap" | "paths"> {
  return {
    wakeAt: Number.NaN,
    wakeUps: 0,
    steps: 0,
    hasClosed: false,
    hasEstablished: false,
    flight: { bytesInFlight: 0, congestionWindowBytes: 0, exempt: 0 },
    peaks: { ...ZERO },
  };
}

const ZERO: BufferSizes = {
  sendingBytes: 0,
  receivingBytes: 0,
  receiveWindowBytes: 0,
  sentPackets: 0,
  frameRecords: 0,
  rememberedLost: 0,
  ackRanges: 0,
  streams: 0,
  outgoingDatagrams: 0,
  incomingDatagrams: 0,
  earlyPackets: 0,
};

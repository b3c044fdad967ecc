/** Two engines in virtual time with a trace each, on a link that loses, repeats and damages datagrams. */
import type { Path } from "../../../src/base/path.ts";
import {
  Connection,
  type ConnectionEvent,
  EVENT,
  type Transmit,
} from "../../../src/engine/connection/connection.ts";
import { DEFAULT_PARAMETERS, encodeParameters } from "../../../src/engine/connection/transport-parameters.ts";
import { Handshake } from "../../../src/engine/handshake/handshake.ts";
import { Qlog } from "../../../src/link/qlog/qlog.ts";
import type { QlogSink } from "../../../src/link/qlog/qlog-file.ts";
import { toyPrimitives } from "../../sim/primitives.ts";
import { Random } from "../../sim/random.ts";

/** One event of a trace. */
export interface QlogEvent {
  readonly time: number;
  readonly name: string;
  readonly category?: string;
  // biome-ignore lint/suspicious/noExplicitAny: the fields depend on the event, and a wrong one fails its test
  readonly data: any;
}

/** The records of a JSON text sequence; throws for what is none.  // RFC 7464 §2 */
export function recordsOf(text: string): unknown[] {
  const [before, ...records] = text.split("\x1e");
  if (before !== "") throw new Error("the file does not begin with a record separator");
  return records.map((record) => {
    if (!record.endsWith("\n")) throw new Error(`no line feed behind: ${record}`);
    return JSON.parse(record);
  });
}

/** Keeps a trace in memory. */
export class MemorySink implements QlogSink {
  name: string | undefined;
  text = "";
  isClosed = false;
  /** Records that are refused, as by a slow disk: those for which this is true. */
  refuses: (record: string) => boolean = () => false;
  #waiting = "";

  open(name: string, header: string): void {
    this.name = name;
    this.text = header + this.#waiting;
  }

  write(record: string): boolean {
    if (this.refuses(record)) return false;
    if (this.name === undefined) this.#waiting += record;
    else this.text += record;
    return true;
  }

  close(): void {
    this.isClosed = true;
  }

  get events(): QlogEvent[] {
    return recordsOf(this.text).slice(1) as QlogEvent[];
  }

  named(name: string): QlogEvent[] {
    return this.events.filter((event) => event.name === name);
  }
}

export interface LinkPlan {
  readonly seed?: number;
  /** Chances of a datagram of being lost, repeated, damaged. */
  readonly lossRate?: number;
  readonly repeatRate?: number;
  readonly damageRate?: number;
  /** Written by the initiator, stream by stream. */
  readonly bytes?: Uint8Array;
  readonly mtuCeilingBytes?: number;
  readonly rekeyAfterPackets?: number;
  /** When the initiator's datagrams begin to come from another port. */
  readonly movesAtMs?: number;
  readonly secrets?: readonly [Uint8Array, Uint8Array];
  readonly reason?: string;
}

export interface TracedEnd {
  readonly connection: Connection;
  readonly sink: MemorySink;
  readonly qlog: Qlog;
  received: number;
}

const DELAY_MS = 10;
const START_MS = 5000;
const LIMIT_MS = 200_000;
const HOME: Path = { address: "192.0.2.1", port: 1111, socket: 0 };
const ELSEWHERE: Path = { address: "192.0.2.1", port: 2222, socket: 0 };
const AWAY: Path = { address: "2001:db8::2", port: 4242, socket: 0 };

/** Carries `bytes` from the initiator to the responder, closes, and lets time run until both have ended. */
export function runTracedLink(plan: LinkPlan): { near: TracedEnd; far: TracedEnd } {
  const random = new Random(plan.seed ?? 1, "link");
  const near = makeEnd(plan, "initiator");
  const far = makeEnd(plan, "responder");
  const underWay: { atMs: number; to: TracedEnd; path: Path; bytes: Uint8Array }[] = [];
  const transmit: Transmit = { buffer: new Uint8Array(8 * 1500), length: 0, segmentBytes: 0, path: HOME };
  const event: ConnectionEvent = { kind: 0, streamId: 0, errorCode: 0 };
  const bytes = plan.bytes ?? new Uint8Array(100_000);

  const drain = (end: TracedEnd, nowMs: number): void => {
    for (let isMoving = true; isMoving; ) {
      isMoving = false;
      while (end.connection.pollTransmit(nowMs, transmit)) {
        for (let at = 0; at < transmit.length; at += transmit.segmentBytes) {
          const datagram = transmit.buffer.slice(at, Math.min(at + transmit.segmentBytes, transmit.length));
          if (random.chance(plan.lossRate ?? 0)) continue;
          if (random.chance(plan.damageRate ?? 0)) datagram[random.below(datagram.length)]! ^= 1;
          const hasMoved = nowMs >= START_MS + (plan.movesAtMs ?? LIMIT_MS);
          const path = end === far ? AWAY : hasMoved ? ELSEWHERE : HOME;
          const copies = random.chance(plan.repeatRate ?? 0) ? 2 : 1;
          for (let copy = 0; copy < copies; copy++) {
            underWay.push({
              atMs: nowMs + DELAY_MS,
              to: end === far ? near : far,
              path,
              bytes: datagram.slice(),
            });
          }
        }
      }
      end.connection.pollTimeout();
      while (end.connection.pollEvent(event)) {
        isMoving = true;
        if (event.kind === EVENT.established && end === near) {
          const stream = end.connection.openStream();
          end.connection.write(stream, bytes);
          end.connection.finish(stream);
        } else if (event.kind === EVENT.readable && end === far) {
          for (let read = far.connection.read(event.streamId); read !== undefined; ) {
            far.received += read.length;
            read = far.connection.read(event.streamId);
          }
          if (far.received === bytes.length) far.connection.close(nowMs, 0, plan.reason ?? "");
        }
      }
    }
  };

  let nowMs = START_MS;
  drain(near, nowMs);
  for (;;) {
    const ends = [near, far] as const;
    if (ends.every(({ connection }) => connection.state === "closed")) return { near, far };
    underWay.sort((one, other) => one.atMs - other.atMs);
    nowMs = Math.min(
      underWay[0]?.atMs ?? Number.POSITIVE_INFINITY,
      ...ends.map((end) => end.connection.pollTimeout()),
    );
    if (nowMs > START_MS + LIMIT_MS) throw new Error("the link never came to its end");
    while (underWay[0] !== undefined && underWay[0].atMs <= nowMs) {
      const { to, path, bytes: datagram } = underWay.shift()!;
      to.connection.handleDatagram(nowMs, path, datagram);
    }
    for (const end of ends) {
      if (end.connection.pollTimeout() <= nowMs) end.connection.handleTimeout(nowMs);
      drain(end, nowMs);
    }
  }
}

/** One end that waits to be driven. */
export function makeEnd(plan: LinkPlan, role: "initiator" | "responder"): TracedEnd {
  const isInitiator = role === "initiator";
  const random = new Random(plan.seed ?? 1, role);
  const draw = (byteLength: number): Uint8Array => random.bytes(byteLength);
  const secretKey = draw(32);
  const connectionId = draw(8);
  const sink = new MemorySink();
  const startDate = new Date("2026-01-02T03:04:05.678Z");
  const localOf = () => ({ address: "192.0.2.9", port: 4242, family: 4 }) as const;
  const qlog = new Qlog({ sink, role, connectionId, startMs: START_MS, startDate, localOf });
  const secrets = plan.secrets ?? [new Uint8Array(32).fill(3), new Uint8Array(32).fill(3)];
  const handshake = new Handshake({
    role,
    ...(isInitiator && { mode: "secret" as const }),
    credentials: { secret: secrets[isInitiator ? 0 : 1] },
    primitives: toyPrimitives,
    random: draw,
    identity: { secretKey, publicKey: toyPrimitives.x25519.publicKey(secretKey) },
    connectionId,
    parameters: encodeParameters(DEFAULT_PARAMETERS),
    verifyPeer: () => "accept",
  });
  const connection = new Connection(START_MS, {
    handshake,
    paths: isInitiator ? [AWAY] : [],
    primitives: toyPrimitives,
    random: draw,
    parameters: DEFAULT_PARAMETERS,
    idleTimeoutMs: 60_000,
    congestion: "cubic",
    connectionId,
    ...(plan.mtuCeilingBytes !== undefined && { mtuCeilingBytes: plan.mtuCeilingBytes }),
    ...(plan.rekeyAfterPackets !== undefined && {
      rekey: { afterMs: Number.POSITIVE_INFINITY, afterPackets: plan.rekeyAfterPackets },
    }),
    tracer: qlog,
  });
  return { connection, sink, qlog, received: 0 };
}

/** The ring of sent packets against a Map: what was noted of a packet is found again until it is settled. */

import { PACKET, SentPackets } from "../../src/engine/recovery/sent-packets.ts";
import { SendStream } from "../../src/engine/streams/send-stream.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

const STREAMS = Array.from({ length: 4 }, (_, index) => new SendStream(4 * index, 0, 1));
const FIRST_NUMBERS = [0, 1, 2 ** 31 - 100, 2 ** 32 - 100, 2 ** 48 - 5000] as const;
const STATES = [PACKET.inFlight, PACKET.inFlight, PACKET.lost, PACKET.unreliable] as const;

interface Noted {
  state: number;
  readonly bytes: number;
  readonly sentAtMs: number;
  /** Kind, stream (−1 for none), offset and value of each record. */
  readonly records: readonly (readonly [number, number, number, number])[];
}

export const sentPackets: FuzzTarget = {
  name: "sent-packets",
  inputsPerRun: 1500,
  weight: 8,
  run(random) {
    const first = random.pick(FIRST_NUMBERS);
    const ring = new SentPackets(first);
    const model = new Map<number, Noted>();
    // A run that mostly sends makes the ring grow; one that mostly settles makes it go round.
    const sends = 2 + random.below(6);
    let next = first;
    let lowest = first;
    for (let input = 0; input < this.inputsPerRun; input++) {
      const kind = random.below(12);
      if (kind <= sends) {
        model.set(next++, push(random, ring));
      } else if (kind === 11) {
        ring.push();
        for (let records = random.below(3); records > 0; records--) ring.record(9, STREAMS[0], 1, 1);
        ring.pop();
      } else if (next > lowest) {
        const number =
          lowest + (random.oneIn(2) ? random.below(Math.min(8, next - lowest)) : random.below(next - lowest));
        settle(random, ring, model, number);
        if (random.oneIn(3)) ring.reclaim();
        while (lowest < next && !isHeld(model.get(lowest)!.state) && lowest < ring.first)
          model.delete(lowest++);
      }
      same(ring.next, next, "the next number");
      same(ring.first, lowest, "the first number kept");
      if (next > lowest) compare(ring, model, lowest + random.below(next - lowest));
    }
    settleAll(ring, model, lowest, next);
  },
};

function push(random: Xorshift, ring: SentPackets): Noted {
  const slot = ring.push();
  same(slot, ring.slot(ring.next - 1), "the slot");
  const records: [number, number, number, number][] = [];
  for (let count = random.oneIn(20) ? random.below(40) : random.below(4); count > 0; count--) {
    const stream = random.below(STREAMS.length + 1) - 1;
    records.push([1 + random.below(13), stream, random.magnitude(), random.magnitude()]);
  }
  for (const [kind, stream, offset, value] of records) ring.record(kind, STREAMS[stream], offset, value);
  const noted = {
    state: random.oneIn(10) ? PACKET.skipped : random.pick(STATES),
    bytes: random.below(65_536),
    sentAtMs: random.unit() * 1e9,
    records,
  };
  ring.state[slot] = noted.state;
  ring.bytes[slot] = noted.bytes;
  ring.sentAtMs[slot] = noted.sentAtMs;
  return noted;
}

function settle(random: Xorshift, ring: SentPackets, model: Map<number, Noted>, number: number): void {
  const noted = model.get(number)!;
  noted.state = noted.state === PACKET.inFlight && random.oneIn(4) ? PACKET.lost : PACKET.settled;
  ring.state[ring.slot(number)] = noted.state;
}

function compare(ring: SentPackets, model: Map<number, Noted>, number: number): void {
  const noted = model.get(number)!;
  if (!ring.has(number) || ring.has(ring.next) || ring.has(ring.first - 1))
    broken("the wrong packets are kept");
  const slot = ring.slot(number);
  same(ring.state[slot], noted.state, `the state of ${number}`);
  same(ring.bytes[slot], noted.bytes, `the length of ${number}`);
  same(ring.sentAtMs[slot], noted.sentAtMs, `the time of ${number}`);
  let index = 0;
  const to = ring.recordsTo(number);
  for (let record = ring.recordsFrom(number); record < to; record++, index++) {
    const at = ring.recordSlot(record);
    const [kind, stream, offset, value] =
      noted.records[index] ?? broken("there are more records than were made");
    same(ring.recordKind[at], kind, "the kind of a record");
    same(ring.recordStream[at], STREAMS[stream], "the stream of a record");
    same(ring.recordOffset[at], offset, "the offset of a record");
    same(ring.recordValue[at], value, "the value of a record");
  }
  same(index, noted.records.length, "the number of records");
}

/** When nothing is left, nothing may hold on to a stream. */
function settleAll(ring: SentPackets, model: Map<number, Noted>, lowest: number, next: number): void {
  for (let number = lowest; number < next; number++) {
    compare(ring, model, number);
    model.get(number)!.state = PACKET.settled;
    ring.state[ring.slot(number)] = PACKET.settled;
  }
  ring.reclaim();
  same(ring.first, next, "what is kept in the end");
  if (ring.recordStream.some((stream) => stream !== undefined))
    broken("a settled packet keeps a stream alive");
}

function isHeld(state: number): boolean {
  return state === PACKET.inFlight || state === PACKET.lost;
}

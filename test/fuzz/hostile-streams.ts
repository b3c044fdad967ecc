/**
 * All the streams of a connection between an application that uses them as it likes and a peer that sends any
 * frames in any order. What the rules forbid is refused with the right code and nothing else is; credit is
 * neither lost nor overdrawn nor taken back; memory stays within what was granted.
 */
import { type ErrorCode, SrudpError } from "../../src/base/errors.ts";
import { EVENT, EventQueue } from "../../src/engine/connection/events.ts";
import { DEFAULT_PARAMETERS } from "../../src/engine/connection/transport-parameters.ts";
import { PACKET, RECORD, SentPackets } from "../../src/engine/recovery/sent-packets.ts";
import { RECEIVE } from "../../src/engine/streams/receive-stream.ts";
import { Streams } from "../../src/engine/streams/streams.ts";
import { FRAME, FrameCursor, writeNumbers, writeStreamHeader } from "../../src/wire/frames.ts";
import { StreamLedger } from "./stream-ledger.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

const LARGEST_WINDOW_BYTES: number = 16 * 1024 * 1024;
const SMALLEST_SLAB_BYTES = 4096;
const SLAB_BYTES = 65_536;
/** How many gaps a stream may have is R18's to say; here only that there is an end to it. */
const MAX_GAPS = 5000;
const packet = new Uint8Array(1600);
const output = new Uint8Array(1300);
const written = new Uint8Array(20_000).fill(7);

class World {
  private readonly random: Xorshift;
  private readonly events: EventQueue = new EventQueue();
  private readonly streams: Streams;
  private readonly sent: SentPackets = new SentPackets(0);
  private readonly ledger: StreamLedger;
  private readonly cursor: FrameCursor = new FrameCursor();
  private readonly event = { kind: 0, streamId: 0, errorCode: 0 };
  private readonly local = { ...DEFAULT_PARAMETERS };
  private readonly peer = { ...DEFAULT_PARAMETERS };
  /** What we have sent on all streams, and may. */
  private sentBytes = 0;
  private peerMaxBytes = 0;
  /** The stream whose reset is to be told; −1 for none. */
  private resetToHear = -1;
  private grantedData: number;
  private grantedStreams: number;
  private packets: number[] = [];

  constructor(random: Xorshift) {
    this.random = random;
    this.local.maxStreams = random.pick([0, 1, 3, 20, 200]);
    this.local.maxStreamDataBytes = random.pick([0, 17, 2000, 65_537, 524_288]);
    this.local.maxDataBytes = random.pick([0, 101, 5000, 98_305, 786_432]);
    this.peer.maxStreams = random.pick([0, 1, 10]);
    this.peer.maxStreamDataBytes = random.pick([0, 100, 30_000]);
    this.peer.maxDataBytes = random.pick([0, 3000, 100_000]);
    this.peerMaxBytes = this.peer.maxDataBytes;
    this.grantedData = this.local.maxDataBytes;
    this.grantedStreams = this.local.maxStreams;
    const parity = random.below(2);
    this.streams = new Streams(this.events, this.local);
    this.streams.start(parity === 0, this.peer);
    this.ledger = new StreamLedger(this.streams, parity, this.local, this.peer);
  }

  /** One operation; false when the peer broke the rules, which ends the connection. */
  step(): boolean {
    const { random, streams } = this;
    streams.nowMs += random.unit() * random.pick([0, 5, 500]);
    streams.rttMs = random.pick([1, 50, 600]);
    let goesOn = true;
    if (random.oneIn(3)) this.command();
    else if (random.oneIn(4)) this.transmit();
    else if (random.oneIn(5)) this.settleOne();
    else goesOn = this.frame();
    this.drainEvents();
    if (goesOn) this.check();
    return goesOn;
  }

  // ------------------------------------------------------------------ the application

  private command(): void {
    const { random, streams } = this;
    const id = this.ledger.anyId(random);
    switch (random.below(8)) {
      case 0: {
        const opened = streams.openStream(random.below(3));
        if (opened >= 0) this.ledger.note(opened);
        return;
      }
      case 1:
      case 2:
        streams.write(id, written.subarray(0, random.below(random.oneIn(4) ? 20_000 : 100)));
        return;
      case 3:
        streams.finish(id);
        return;
      case 4:
        if (random.oneIn(3)) streams.reset(id, random.below(10));
        return;
      case 5:
        if (random.oneIn(3)) streams.stopSending(id, random.below(10));
        return;
      default:
        this.read(id);
    }
  }

  private read(id: number): void {
    const said = this.ledger.said.get(id);
    for (let pieces = 1 + this.random.below(6); pieces > 0; pieces--) {
      const bytes = this.streams.read(id);
      if (bytes === undefined) return;
      if (said === undefined) broken("a stream was read that nobody opened");
      for (let i = 0; i < bytes.length; i += 1 + (i >>> 4))
        same(bytes[i], contentAt(id, said.read + i), "a byte read");
      said.read += bytes.length;
      if (said.read > said.highest) broken("more was read than came");
    }
  }

  // ------------------------------------------------------------------ the peer

  private frame(): boolean {
    const { random, streams, cursor } = this;
    const id = this.ledger.anyId(random);
    const kind = random.below(12);
    let expected: ErrorCode | undefined;
    let take: (frame: FrameCursor) => void;
    let end: number;
    if (kind < 7) {
      const offset = this.ledger.anyOffset(random, id);
      const length = random.below(random.oneIn(3) ? 1400 : 20);
      const fin = random.oneIn(12);
      const at = writeStreamHeader(packet, 0, id, offset, length, fin, true);
      for (let i = 0; i < length; i++) packet[at + i] = contentAt(id, offset + i);
      end = at + length;
      expected = this.ledger.judge(id, offset + length, fin);
      take = (frame) => streams.onStream(frame);
    } else if (kind === 7) {
      const size = random.oneIn(2)
        ? (this.ledger.said.get(id)?.highest ?? 0)
        : this.ledger.anyOffset(random, id);
      end = writeNumbers(packet, 0, FRAME.resetStream, id, random.below(9), size);
      expected = this.ledger.judge(id, size, true);
      take = (frame) => streams.onResetStream(frame);
    } else if (kind === 8) {
      end = writeNumbers(packet, 0, FRAME.stopSending, id, random.below(9));
      expected = this.ledger.judgeId(id);
      take = (frame) => streams.onStopSending(frame);
    } else if (kind === 9) {
      const limit = random.oneIn(2) ? random.magnitude() : random.below(200_000);
      end = writeNumbers(packet, 0, FRAME.maxStreamData, id, limit);
      expected = this.ledger.judgeId(id);
      if (expected === undefined)
        this.ledger.note(id).maxBytes = Math.max(this.ledger.note(id).maxBytes, limit);
      take = (frame) => streams.onMaxStreamData(frame);
    } else {
      const type = random.oneIn(2) ? FRAME.maxData : FRAME.maxStreams;
      const limit = random.oneIn(8) ? random.magnitude() : random.below(100_000);
      end = writeNumbers(packet, 0, type, limit);
      if (type === FRAME.maxData) this.peerMaxBytes = Math.max(this.peerMaxBytes, limit);
      take = (frame) => (type === FRAME.maxData ? streams.onMaxData(frame) : streams.onMaxStreams(frame));
    }
    cursor.reset(packet, 0, end);
    if (!cursor.next()) broken("the frame cannot be read");
    return this.outcome(() => take(cursor), expected, id, kind);
  }

  private outcome(take: () => void, expected: ErrorCode | undefined, id: number, kind: number): boolean {
    const { cursor } = this;
    const wasClosed = this.ledger.isClosed(id);
    const isToTell = kind === 7 && !wasClosed && this.ledger.isStillReading(id);
    let code: ErrorCode | undefined;
    try {
      take();
    } catch (error) {
      if (!(error instanceof SrudpError)) throw error;
      code = error.code;
    }
    // A stream of many small pieces may be cut off, and nothing else may.
    if (code === "ERR_PROTOCOL" && (this.ledger.said.get(id)?.pieces ?? 0) > 500) return false;
    same(code, expected, `what became of a frame of type ${cursor.type}`);
    if (code !== undefined) return false;
    if (isToTell) this.resetToHear = id;
    if (kind > 7 || wasClosed) return true;
    const said = this.ledger.note(id);
    const end = kind === 7 ? cursor.offset : cursor.offset + (cursor.end - cursor.start);
    if (end > said.highest) {
      this.ledger.received += end - said.highest;
      said.highest = end;
    }
    if (kind === 7 || cursor.fin) said.finalBytes = end;
    if (kind < 7 && ++said.pieces > MAX_GAPS) broken("there is no end to the pieces");
    return true;
  }

  // ------------------------------------------------------------------ what leaves

  private transmit(): void {
    const { random, streams, sent } = this;
    const at = random.below(20);
    const end = at + 100 + random.below(1100);
    const slot = sent.push();
    let next = streams.writeControl(output, at, end, sent);
    if (next > end) broken("control frames beyond the end");
    next = streams.writeStreams(output, next, end, sent, 1);
    if (next > end) broken("stream frames beyond the end");
    if (next === at) {
      sent.pop();
      return;
    }
    sent.state[slot] = PACKET.inFlight;
    this.packets.push(sent.next - 1);
    this.readOwn(at, next);
  }

  private readOwn(at: number, end: number): void {
    const { cursor } = this;
    cursor.reset(output, at, end);
    while (cursor.next()) {
      const { id, offset, type } = cursor;
      if (type === FRAME.maxData) {
        if (offset < this.grantedData) broken(`MAX_DATA shrank to ${offset}`);
        this.grantedData = offset;
        same(offset, this.streams.flow.maxBytes, "MAX_DATA");
      } else if (type === FRAME.maxStreams) {
        if (offset < this.grantedStreams) broken(`MAX_STREAMS shrank to ${offset}`);
        this.grantedStreams = offset;
      } else if (type === FRAME.maxStreamData) {
        const said = this.ledger.note(id);
        if (offset < said.granted) broken(`MAX_STREAM_DATA shrank to ${offset}`);
        said.granted = offset;
      } else if (type === FRAME.stream) {
        const said = this.ledger.note(id);
        const reached = offset + cursor.end - cursor.start;
        if (reached > said.maxBytes) broken("more was sent than the peer allows on a stream");
        if (reached > said.sent) {
          this.sentBytes += reached - said.sent;
          said.sent = reached;
        }
        if (this.sentBytes > this.peerMaxBytes) broken("more was sent than the peer allows on all streams");
      }
    }
    if (!cursor.ok) broken("a frame of ours cannot be read");
  }

  /** One packet arrives, is lost, or both. */
  private settleOne(): void {
    const { random, packets } = this;
    if (packets.length === 0) return;
    const index = random.below(packets.length);
    if (random.oneIn(3)) this.report(packets[index]!, false);
    else this.report(packets.splice(index, 1)[0]!, true);
  }

  private report(packetNumber: number, isAcknowledged: boolean): void {
    const { sent, streams } = this;
    const to = sent.recordsTo(packetNumber);
    for (let record = sent.recordsFrom(packetNumber); record < to; record++) {
      const at = sent.recordSlot(record);
      const kind = sent.recordKind[at]!;
      if (kind >= RECORD.control) broken(`a record of kind ${kind}`);
      const stream = sent.recordStream[at];
      if (isAcknowledged) streams.onFrameAcked(kind, stream, sent.recordOffset[at]!, sent.recordValue[at]!);
      else streams.onFrameLost(kind, stream, sent.recordOffset[at]!, sent.recordValue[at]!);
    }
    if (!isAcknowledged) return;
    sent.state[sent.slot(packetNumber)] = PACKET.settled;
    sent.reclaim();
  }

  // ------------------------------------------------------------------ what must hold

  private drainEvents(): void {
    const { events, event } = this;
    for (let count = 0; events.poll(event); count++) {
      if (count > 3000) broken("events without end");
      if (event.kind === EVENT.streamOpened) this.ledger.note(event.streamId);
      else if (event.kind === EVENT.streamReset) {
        same(event.streamId, this.resetToHear, "the stream that was reset");
        this.resetToHear = -1;
        if (this.streams.readFinished(event.streamId)) broken("a reset passed for a clean end");
        this.streams.onResetPolled(event.streamId);
      }
      if (event.kind !== EVENT.streamsAvailable && !this.ledger.said.has(event.streamId)) {
        broken(`an event of stream ${event.streamId}`);
      }
    }
    same(this.resetToHear, -1, "the reset that was not told");
  }

  private check(): void {
    const { streams, ledger, local } = this;
    const { flow } = streams;
    same(flow.receivedBytes, this.ledger.received, "the bytes that count as received");
    if (flow.receivedBytes > flow.maxBytes) broken("the connection's credit is overdrawn");
    if (flow.readBytes > flow.receivedBytes) broken("more credit came back than was used");
    if (flow.sentBytes > flow.peerMaxBytes) broken("the peer's credit is overdrawn");
    if (!Number.isSafeInteger(flow.maxBytes)) broken(`a limit of ${flow.maxBytes} bytes`);
    const most = Math.max(LARGEST_WINDOW_BYTES, local.maxDataBytes);
    if (flow.maxBytes - flow.readBytes > most) broken(`a window of ${flow.maxBytes - flow.readBytes} bytes`);
    const remote =
      streams.openCount -
      this.ledger.ids.filter((id) => id % 2 === ledger.parity && ledger.insides.open.has(id)).length;
    if (remote > local.maxStreams) broken(`${remote} streams of the peer are open`);
    if (!this.random.oneIn(16)) return;
    const { receiving } = streams.bufferedBytes;
    if (receiving > flow.receivedBytes - flow.readBytes)
      broken(`${receiving} bytes held beyond what was granted`);
    this.checkMemory();
  }

  private checkMemory(): void {
    for (const [id, { receive }] of this.ledger.insides.open) {
      let held = 0;
      for (const slab of receive.slabs) held += slab?.length ?? 0;
      const said = this.ledger.note(id);
      const window = said.highest - said.read;
      if (held > 0 && receive.state !== RECEIVE.open) broken("a stream that was given up holds memory");
      // Slabs quadruple at first; later the first and the last may be used in part.
      if (held > SMALLEST_SLAB_BYTES + 4 * Math.min(window, SLAB_BYTES) + window + SLAB_BYTES) {
        broken(`${held} bytes held for ${window} of window`);
      }
    }
  }

  /** Both sides give everything up: all credit comes back, and nothing is kept. */
  settle(): void {
    const { streams, ledger } = this;
    for (const id of this.ledger.ids) {
      streams.stopSending(id, 1);
      streams.reset(id, 1);
      const said = this.ledger.note(id);
      const end = writeNumbers(
        packet,
        0,
        FRAME.resetStream,
        id,
        1,
        said.finalBytes >= 0 ? said.finalBytes : said.highest,
      );
      this.cursor.reset(packet, 0, end);
      this.cursor.next();
      if (!this.outcome(() => streams.onResetStream(this.cursor), undefined, id, 7)) return;
      this.drainEvents();
    }
    for (
      let rounds = 0;
      streams.hasControlWork || streams.hasStreamWork || this.packets.length > 0;
      rounds++
    ) {
      if (rounds > 2000) broken("there is always something more to send");
      this.transmit();
      for (const packetNumber of this.packets.splice(0)) this.report(packetNumber, true);
    }
    this.drainEvents();
    this.check();
    same(ledger.insides.open.size, 0, "the streams in the end");
    same(streams.flow.readBytes, streams.flow.receivedBytes, "the credit that came back");
  }
}

/** What stands at each offset of each stream, so that misplaced bytes show. */
function contentAt(id: number, offset: number): number {
  return (id * 5 + offset * 31 + (offset >>> 8) * 7) & 0xff;
}

export const hostileStreams: FuzzTarget = {
  name: "streams",
  inputsPerRun: 500,
  weight: 16,
  run(random) {
    let world = new World(random);
    for (let input = 0; input < this.inputsPerRun; input++) {
      if (!world.step()) world = new World(random);
    }
    world.settle();
  },
};

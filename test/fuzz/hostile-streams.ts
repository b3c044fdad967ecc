/**
 * All the streams of a connection between an application that uses them as it likes and a peer that sends any
 * frames in any order. What the rules forbid is refused with the right code and nothing else is; credit is
 * neither lost nor overdrawn nor taken back; memory stays within what was granted.
 */
import { type ErrorCode, SrudpError } from "../../src/base/errors.ts";
import { EVENT, EventQueue } from "../../src/engine/events.ts";
import { RECEIVE } from "../../src/engine/receive-stream.ts";
import { PACKET, RECORD, SentPackets } from "../../src/engine/sent-packets.ts";
import { Streams } from "../../src/engine/streams.ts";
import { DEFAULT_PARAMETERS } from "../../src/engine/transport-parameters.ts";
import { FRAME, FrameCursor, writeNumbers, writeStreamHeader } from "../../src/wire/frames.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

const LARGEST_WINDOW_BYTES: number = 16 * 1024 * 1024;
const SMALLEST_SLAB_BYTES = 4096;
const SLAB_BYTES = 65_536;
/** How many gaps a stream may have is R18's to say; here only that there is an end to it. */
const GAPS_MOST = 5000;
const packet = new Uint8Array(1600);
const output = new Uint8Array(1300);
const written = new Uint8Array(20_000).fill(7);

interface ReceiveInsides {
  readonly state: number;
  readonly maxBytes: number;
  readonly slabs: readonly (Uint8Array | undefined)[];
}

/** What the product knows of a stream, as far as it bounds what the peer may do. */
interface Insides {
  readonly open: ReadonlyMap<number, { readonly receive: ReceiveInsides }>;
  readonly localOpened: number;
  readonly remoteOpened: number;
  readonly remoteLimit: number;
}

/** What the peer has said of a stream. */
interface Said {
  highest: number;
  finalBytes: number;
  /** What it granted us. */
  maxBytes: number;
  /** What we granted it, by the frames that it got. */
  granted: number;
  read: number;
  /** How far we have sent. */
  sent: number;
  pieces: number;
}

class World {
  private readonly random: Xorshift;
  private readonly events: EventQueue = new EventQueue();
  private readonly streams: Streams;
  private readonly insides: Insides;
  private readonly sent: SentPackets = new SentPackets(0);
  private readonly said: Map<number, Said> = new Map();
  private readonly cursor: FrameCursor = new FrameCursor();
  private readonly event = { kind: 0, streamId: 0, errorCode: 0 };
  private readonly parity: number;
  private readonly local = { ...DEFAULT_PARAMETERS };
  private readonly peer = { ...DEFAULT_PARAMETERS };
  private readonly ids: number[] = [];
  private nextRemote: number;
  private received = 0;
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
    this.parity = random.below(2);
    this.nextRemote = 1 - this.parity;
    this.streams = new Streams(this.events, this.local);
    this.streams.start(this.parity === 0, this.peer);
    this.insides = this.streams as unknown as Insides;
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
    const id = this.anyId();
    switch (random.below(8)) {
      case 0: {
        const opened = streams.openStream(random.below(3));
        if (opened >= 0) this.note(opened);
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
    const said = this.said.get(id);
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
    const id = this.anyId();
    const kind = random.below(12);
    let expected: ErrorCode | undefined;
    let take: (frame: FrameCursor) => void;
    let end: number;
    if (kind < 7) {
      const offset = this.anyOffset(id);
      const length = random.below(random.oneIn(3) ? 1400 : 20);
      const fin = random.oneIn(12);
      const at = writeStreamHeader(packet, 0, id, offset, length, fin, true);
      for (let i = 0; i < length; i++) packet[at + i] = contentAt(id, offset + i);
      end = at + length;
      expected = this.judge(id, offset + length, fin);
      take = (frame) => streams.onStream(frame);
    } else if (kind === 7) {
      const size = random.oneIn(2) ? (this.said.get(id)?.highest ?? 0) : this.anyOffset(id);
      end = writeNumbers(packet, 0, FRAME.resetStream, id, random.below(9), size);
      expected = this.judge(id, size, true);
      take = (frame) => streams.onResetStream(frame);
    } else if (kind === 8) {
      end = writeNumbers(packet, 0, FRAME.stopSending, id, random.below(9));
      expected = this.judgeId(id);
      take = (frame) => streams.onStopSending(frame);
    } else if (kind === 9) {
      const limit = random.oneIn(2) ? random.magnitude() : random.below(200_000);
      end = writeNumbers(packet, 0, FRAME.maxStreamData, id, limit);
      expected = this.judgeId(id);
      if (expected === undefined) this.note(id).maxBytes = Math.max(this.note(id).maxBytes, limit);
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
    const wasClosed = this.isClosed(id);
    const isToTell = kind === 7 && !wasClosed && this.isStillReading(id);
    let code: ErrorCode | undefined;
    try {
      take();
    } catch (error) {
      if (!(error instanceof SrudpError)) throw error;
      code = error.code;
    }
    // A stream of many small pieces may be cut off, and nothing else may.
    if (code === "ERR_PROTOCOL" && (this.said.get(id)?.pieces ?? 0) > 500) return false;
    same(code, expected, `what became of a frame of type ${cursor.type}`);
    if (code !== undefined) return false;
    if (isToTell) this.resetToHear = id;
    if (kind > 7 || wasClosed) return true;
    const said = this.note(id);
    const end = kind === 7 ? cursor.offset : cursor.offset + (cursor.end - cursor.start);
    if (end > said.highest) {
      this.received += end - said.highest;
      said.highest = end;
    }
    if (kind === 7 || cursor.fin) said.finalBytes = end;
    if (kind < 7 && ++said.pieces > GAPS_MOST) broken("there is no end to the pieces");
    return true;
  }

  /** Whether a reset would take something from the application: it has not had the end, nor given the stream up. */
  private isStillReading(id: number): boolean {
    const said = this.said.get(id);
    const state = this.insides.open.get(id)?.receive.state ?? RECEIVE.open;
    return (
      state === RECEIVE.open && !(said !== undefined && said.finalBytes >= 0 && said.read === said.finalBytes)
    );
  }

  /** What a frame that reaches `end` deserves.  // RFC 9000 §4.5, §4.6, §19.8 */
  private judge(id: number, end: number, isFinal: boolean): ErrorCode | undefined {
    const fault = this.judgeId(id);
    if (fault !== undefined || this.isClosed(id)) return fault;
    const said = this.note(id);
    if (said.finalBytes >= 0 && (end > said.finalBytes || (isFinal && end !== said.finalBytes)))
      return "ERR_FINAL_SIZE";
    if (isFinal && end < said.highest) return "ERR_FINAL_SIZE";
    const maxBytes = this.insides.open.get(id)?.receive.maxBytes ?? this.local.maxStreamDataBytes;
    if (end > maxBytes) return "ERR_FLOW_CONTROL";
    const fresh = Math.max(0, end - said.highest);
    return this.received + fresh > this.streams.flow.maxBytes ? "ERR_FLOW_CONTROL" : undefined;
  }

  private judgeId(id: number): ErrorCode | undefined {
    if (id % 4 > 1) return "ERR_STREAM_STATE";
    const index = Math.floor(id / 4);
    if (id % 2 === this.parity) return index < this.insides.localOpened ? undefined : "ERR_STREAM_STATE";
    return index < this.insides.remoteLimit ? undefined : "ERR_STREAM_LIMIT";
  }

  /** Both halves were over, so it was forgotten: what comes for it is late and means nothing. */
  private isClosed(id: number): boolean {
    const { open, localOpened, remoteOpened } = this.insides;
    return id / 4 < (id % 2 === this.parity ? localOpened : remoteOpened) && !open.has(id);
  }

  private anyId(): number {
    const { random, ids } = this;
    if (ids.length > 0 && !random.oneIn(4))
      return ids[ids.length - 1 - random.below(Math.min(ids.length, 6))]!;
    switch (random.below(6)) {
      case 0:
        return ids.length > 0 ? random.pick(ids) : random.below(8);
      case 1:
        return random.oneIn(6) ? random.magnitude() : random.below(40);
      case 2:
        // The last that is allowed, and the first that is not.
        return (
          4 * Math.max(0, this.insides.remoteLimit - random.below(2) - (random.oneIn(9) ? 0 : 1)) +
          (1 - this.parity)
        );
      default:
        return this.nextRemote + 4 * (random.oneIn(8) ? random.below(4) : 0);
    }
  }

  private anyOffset(id: number): number {
    const { random } = this;
    const highest = this.said.get(id)?.highest ?? 0;
    const limit = this.insides.open.get(id)?.receive.maxBytes ?? this.local.maxStreamDataBytes;
    switch (random.below(24)) {
      case 0:
        return random.magnitude();
      case 1:
        return Math.max(0, limit - random.below(30));
      case 2:
      case 3:
      case 4:
      case 5:
        return random.below(limit + 1);
      case 6:
      case 7:
      case 8:
      case 9:
        return Math.max(0, highest - random.below(50));
      case 10:
        return highest + random.below(3000);
      default:
        return highest;
    }
  }

  private note(id: number): Said {
    let said = this.said.get(id);
    if (said !== undefined) return said;
    // Opening one opens those below it as well.
    const isRemote = id % 2 !== this.parity;
    for (let below = isRemote ? this.nextRemote : id; below <= id; below += 4) {
      said = {
        highest: 0,
        finalBytes: -1,
        maxBytes: this.peer.maxStreamDataBytes,
        granted: this.local.maxStreamDataBytes,
        read: 0,
        sent: 0,
        pieces: 0,
      };
      this.said.set(below, said);
      this.ids.push(below);
    }
    if (isRemote) this.nextRemote = id + 4;
    return said!;
  }

  // ------------------------------------------------------------------ what leaves

  private transmit(): void {
    const { random, streams, sent } = this;
    const at = random.below(20);
    const end = at + 100 + random.below(1100);
    const slot = sent.push();
    let next = streams.writeControl(output, at, end, sent);
    if (next > end) broken("control frames beyond the end");
    next = streams.writeStreams(output, next, end, sent);
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
        const said = this.note(id);
        if (offset < said.granted) broken(`MAX_STREAM_DATA shrank to ${offset}`);
        said.granted = offset;
      } else if (type === FRAME.stream) {
        const said = this.note(id);
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
    if (random.oneIn(3)) this.tell(packets[index]!, false);
    else this.tell(packets.splice(index, 1)[0]!, true);
  }

  private tell(packetNumber: number, isAcknowledged: boolean): void {
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
      if (event.kind === EVENT.streamOpened) this.note(event.streamId);
      else if (event.kind === EVENT.streamReset) {
        same(event.streamId, this.resetToHear, "the stream that was reset");
        this.resetToHear = -1;
        if (this.streams.readFinished(event.streamId)) broken("a reset passed for a clean end");
        this.streams.onResetHeard(event.streamId);
      }
      if (event.kind !== EVENT.streamsAvailable && !this.said.has(event.streamId)) {
        broken(`an event of stream ${event.streamId}`);
      }
    }
    same(this.resetToHear, -1, "the reset that was not told");
  }

  private check(): void {
    const { streams, insides, local } = this;
    const { flow } = streams;
    same(flow.receivedBytes, this.received, "the bytes that count as received");
    if (flow.receivedBytes > flow.maxBytes) broken("the connection's credit is overdrawn");
    if (flow.readBytes > flow.receivedBytes) broken("more credit came back than was used");
    if (flow.sentBytes > flow.peerMaxBytes) broken("the peer's credit is overdrawn");
    if (!Number.isSafeInteger(flow.maxBytes)) broken(`a limit of ${flow.maxBytes} bytes`);
    const most = Math.max(LARGEST_WINDOW_BYTES, local.maxDataBytes);
    if (flow.maxBytes - flow.readBytes > most) broken(`a window of ${flow.maxBytes - flow.readBytes} bytes`);
    const remote =
      streams.openCount - this.ids.filter((id) => id % 2 === this.parity && insides.open.has(id)).length;
    if (remote > local.maxStreams) broken(`${remote} streams of the peer are open`);
    if (!this.random.oneIn(16)) return;
    const { receiving } = streams.bufferedBytes;
    if (receiving > flow.receivedBytes - flow.readBytes)
      broken(`${receiving} bytes held beyond what was granted`);
    this.checkMemory();
  }

  private checkMemory(): void {
    for (const [id, { receive }] of this.insides.open) {
      let held = 0;
      for (const slab of receive.slabs) held += slab?.length ?? 0;
      const said = this.note(id);
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
    const { streams, insides } = this;
    for (const id of this.ids) {
      streams.stopSending(id, 1);
      streams.reset(id, 1);
      const said = this.note(id);
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
      for (const packetNumber of this.packets.splice(0)) this.tell(packetNumber, true);
    }
    this.drainEvents();
    this.check();
    same(insides.open.size, 0, "the streams in the end");
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
  weight: 10,
  run(random) {
    let world = new World(random);
    for (let input = 0; input < this.inputsPerRun; input++) {
      if (!world.step()) world = new World(random);
    }
    world.settle();
  },
};

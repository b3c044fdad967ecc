import { describe, expect, it } from "vitest";
import { type ConnectionEvent, EVENT, EventQueue } from "../../../src/engine/connection/events.ts";
import { DEFAULT_PARAMETERS } from "../../../src/engine/connection/transport-parameters.ts";
import { SentPackets } from "../../../src/engine/recovery/sent-packets.ts";
import { PRIORITY, Streams } from "../../../src/engine/streams/streams.ts";

const KIBIBYTE = 1024;
const MEBIBYTE = 1024 * KIBIBYTE;
const BOUNDLESS = { ...DEFAULT_PARAMETERS, maxDataBytes: 2 ** 40, maxStreamDataBytes: 2 ** 40 };

class Writer {
  readonly events: EventQueue = new EventQueue();
  readonly streams: Streams = new Streams(this.events, DEFAULT_PARAMETERS);
  readonly ids: number[] = [];
  private readonly sent: SentPackets = new SentPackets(0);
  private readonly packet: Uint8Array = new Uint8Array(1200);

  constructor(streams: number) {
    this.streams.start(true, BOUNDLESS);
    for (let n = 0; n < streams; n++) this.ids.push(this.streams.openStream(PRIORITY.normal));
  }

  /** Writes pieces until told to wait; how many bytes that were. */
  fill(id: number, pieceBytes: number): number {
    let bytes = 0;
    for (;;) {
      bytes += pieceBytes;
      if (!this.streams.write(id, new Uint8Array(pieceBytes))) return bytes;
    }
  }

  /** Sends packets until nothing is left; the streams that were told to go on, in order. */
  drain(): number[] {
    const woken: number[] = [];
    const event: ConnectionEvent = { kind: 0, streamId: 0, errorCode: 0 };
    for (;;) {
      this.sent.push();
      const end = this.streams.writeStreams(this.packet, 0, this.packet.length, this.sent, 1);
      while (this.events.poll(event)) if (event.kind === EVENT.writable) woken.push(event.streamId);
      if (end === 0) return woken;
      this.sent.state.fill(0);
    }
  }
}

describe("writers of many streams", () => {
  it("have half a mebibyte each while they are few", () => {
    const writer = new Writer(4);
    for (const id of writer.ids) expect(writer.fill(id, 16 * KIBIBYTE)).toBe(528 * KIBIBYTE);
  });

  it("together never hold more than 8 MiB and a piece each, however they were opened", () => {
    const writer = new Writer(1024);
    let bytes = 0;
    for (const id of writer.ids) bytes += writer.fill(id, 8 * KIBIBYTE);
    expect(bytes).toBeGreaterThan(8 * MEBIBYTE);
    expect(bytes).toBeLessThanOrEqual(8 * MEBIBYTE + 1024 * 8 * KIBIBYTE);
  });

  it("are all told to go on when the crowd is over, once each", () => {
    const writer = new Writer(64);
    for (const id of writer.ids) writer.fill(id, 8 * KIBIBYTE);
    const woken = writer.drain();
    expect([...woken].sort((a, b) => a - b)).toEqual(writer.ids);
    for (const id of writer.ids.slice(0, 4)) expect(writer.fill(id, 16 * KIBIBYTE)).toBe(528 * KIBIBYTE);
  });

  it("make room for others by giving their own bytes up", () => {
    const writer = new Writer(32);
    for (const id of writer.ids) writer.fill(id, 8 * KIBIBYTE);
    // These sixteen have all of the eight mebibytes, the others a piece each.
    for (const id of writer.ids.slice(0, 7)) writer.streams.reset(id, 1);
    const event: ConnectionEvent = { kind: 0, streamId: 0, errorCode: 0 };
    expect(writer.events.poll(event)).toBe(false);
    for (const id of writer.ids.slice(7, 10)) writer.streams.reset(id, 1);
    const woken: number[] = [];
    while (writer.events.poll(event)) woken.push(event.streamId);
    expect(woken).toEqual(writer.ids.slice(16));
  });
});

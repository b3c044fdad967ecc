/** Drives loss detection in virtual time, without a connection. */
import { Cubic } from "../../../src/engine/congestion/cubic.ts";
import { Recovery } from "../../../src/engine/recovery/recovery.ts";
import { RECORD, SENT } from "../../../src/engine/recovery/sent-packets.ts";
import { FrameCursor } from "../../../src/wire/frames.ts";

/** A Recovery with packets of 1000 bytes and one frame record each; records which packets it reports. */
export class RecoverySender {
  readonly acknowledged: number[] = [];
  readonly lost: number[] = [];
  restored = 0;
  readonly recovery: Recovery;
  nowMs = 1000;
  /** The delay that the peer reports in its ACKs. */
  ackDelayMs = 0;

  constructor() {
    this.recovery = new Recovery(
      {
        frameAcknowledged: (_kind, _stream, packetNumber) => this.acknowledged.push(packetNumber),
        frameLost: (_kind, _stream, packetNumber) => this.lost.push(packetNumber),
      },
      this.controller(),
      0,
    );
  }

  controller(): Cubic {
    const cubic = new Cubic(1200);
    const restore = cubic.onSpuriousLoss.bind(cubic);
    cubic.onSpuriousLoss = () => {
      this.restored++;
      restore();
    };
    return cubic;
  }

  send(packets: number, flags: number = SENT.ackEliciting): void {
    const { sent } = this.recovery;
    for (let n = 0; n < packets; n++) {
      sent.push();
      sent.record(RECORD.control, undefined, sent.next - 1, 0);
      this.recovery.onSent(this.nowMs, 1000, flags);
    }
  }

  /** An ACK of these inclusive ranges, the newest first, 20 ms later. */
  ack(...ranges: [number, number][]): boolean {
    return this.ackAfter(20, ...ranges);
  }

  ackAfter(afterMs: number, ...ranges: [number, number][]): boolean {
    const cursor = new FrameCursor();
    cursor.ackRanges = ranges.length;
    cursor.ackDelayMs = this.ackDelayMs;
    for (const [i, [start, end]] of ranges.entries()) {
      cursor.ackStarts[i] = start;
      cursor.ackEnds[i] = end;
    }
    this.nowMs += afterMs;
    return this.recovery.onAck(this.nowMs, cursor);
  }
}

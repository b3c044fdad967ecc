import { describe, expect, it } from "vitest";
import {
  FlowControl,
  MAX_CONNECTION_WINDOW_BYTES,
  MAX_STREAM_WINDOW_BYTES,
} from "../../../src/engine/streams/flow-control.ts";
import { ReceiveStream } from "../../../src/engine/streams/receive-stream.ts";
import { SlabPool } from "../../../src/engine/streams/slab-pool.ts";

const WINDOW_BYTES = 100_000;
const RTT_MS = 50;

/** A stream whose reader has taken everything up to `readBytes`. */
function streamReadTo(readBytes: number, windowBytes: number = WINDOW_BYTES): ReceiveStream {
  const stream = new ReceiveStream(1, windowBytes, new SlabPool());
  stream.readBytes = readBytes;
  return stream;
}

describe("flow control of the connection (RFC 9000 §4.1)", () => {
  it("lets the peer send exactly its limit and refuses the byte beyond it", () => {
    const flow = new FlowControl(WINDOW_BYTES);
    flow.onReceived(WINDOW_BYTES);
    expect(() => flow.onReceived(1)).toThrow(expect.objectContaining({ code: "ERR_FLOW_CONTROL" }));
  });

  it("counts the local side's credit down as streams send", () => {
    const flow = new FlowControl(WINDOW_BYTES);
    flow.peerMaxBytes = 500;
    flow.sentBytes = 200;
    expect(flow.credit).toBe(300);
  });

  it("grants nothing before a quarter of the window was read", () => {
    const flow = new FlowControl(WINDOW_BYTES);
    flow.onRead(0, RTT_MS, WINDOW_BYTES / 4 - 1);
    expect(flow.isUpdateWanted).toBe(false);
    expect(flow.maxBytes).toBe(WINDOW_BYTES);
    flow.onRead(0, RTT_MS, 1);
    expect(flow.isUpdateWanted).toBe(true);
    expect(flow.maxBytes).toBe(WINDOW_BYTES / 4 + WINDOW_BYTES);
  });

  it("grants nothing to a peer whose bytes nobody reads", () => {
    const flow = new FlowControl(WINDOW_BYTES);
    flow.onReceived(WINDOW_BYTES);
    expect(flow.maxBytes).toBe(WINDOW_BYTES);
    expect(flow.isUpdateWanted).toBe(false);
  });

  it("doubles the window when a quarter of it is used up within a round trip", () => {
    const flow = new FlowControl(WINDOW_BYTES);
    const quarterBytes = WINDOW_BYTES / 4;
    flow.onRead(0, RTT_MS, quarterBytes);
    expect(flow.windowBytes).toBe(WINDOW_BYTES);
    flow.onRead(RTT_MS - 1, RTT_MS, quarterBytes);
    expect(flow.windowBytes).toBe(2 * WINDOW_BYTES);
  });

  it("keeps a window that lasts for longer than a round trip per quarter", () => {
    const flow = new FlowControl(WINDOW_BYTES);
    const quarterBytes = WINDOW_BYTES / 4;
    flow.onRead(0, RTT_MS, quarterBytes);
    flow.onRead(RTT_MS, RTT_MS, quarterBytes);
    expect(flow.windowBytes).toBe(WINDOW_BYTES);
  });

  it("never grows a window beyond its bound", () => {
    const flow = new FlowControl(WINDOW_BYTES);
    for (let n = 0; n < 400; n++) flow.onRead(n, 1000, flow.windowBytes / 4);
    expect(flow.windowBytes).toBe(MAX_CONNECTION_WINDOW_BYTES);
    expect(flow.maxBytes - flow.readBytes).toBeLessThanOrEqual(MAX_CONNECTION_WINDOW_BYTES);
  });
});

describe("flow control of a stream", () => {
  it("grants more once a quarter of the window was read, as far as the reader has come", () => {
    const flow = new FlowControl(10 * WINDOW_BYTES);
    expect(flow.onStreamRead(0, RTT_MS, streamReadTo(WINDOW_BYTES / 4 - 1))).toBe(false);
    const stream = streamReadTo(WINDOW_BYTES / 4);
    expect(flow.onStreamRead(0, RTT_MS, stream)).toBe(true);
    expect(stream.maxBytes).toBe(WINDOW_BYTES / 4 + WINDOW_BYTES);
  });

  it("grants nothing once the end of the stream is known", () => {
    const flow = new FlowControl(10 * WINDOW_BYTES);
    const stream = streamReadTo(0);
    expect(stream.setFinalBytes(50_000)).toBe(true);
    stream.readBytes = 50_000;
    expect(flow.onStreamRead(0, RTT_MS, stream)).toBe(false);
  });

  it("keeps the connection's window at one and a half times the stream's", () => {
    const flow = new FlowControl(WINDOW_BYTES);
    const stream = streamReadTo(WINDOW_BYTES / 4);
    flow.onStreamRead(0, RTT_MS, stream);
    expect(flow.windowBytes).toBe(1.5 * WINDOW_BYTES);
    expect(flow.isUpdateWanted).toBe(true);
    stream.readBytes += WINDOW_BYTES / 4;
    flow.onStreamRead(1, RTT_MS, stream);
    expect(stream.windowBytes).toBe(2 * WINDOW_BYTES);
    expect(flow.windowBytes).toBe(3 * WINDOW_BYTES);
  });

  it("never grows a stream's window beyond its bound", () => {
    const flow = new FlowControl(WINDOW_BYTES);
    const stream = streamReadTo(0);
    for (let n = 0; n < 400; n++) {
      stream.readBytes += stream.windowBytes / 4;
      flow.onStreamRead(n, 1000, stream);
    }
    expect(stream.windowBytes).toBe(MAX_STREAM_WINDOW_BYTES);
    expect(flow.windowBytes).toBeLessThanOrEqual(MAX_CONNECTION_WINDOW_BYTES);
  });
});

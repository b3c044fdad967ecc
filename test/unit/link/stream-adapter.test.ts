import { once } from "node:events";
import { setImmediate as nextTurn } from "node:timers/promises";
import { beforeEach, describe, expect, it } from "vitest";
import { SrudpError } from "../../../src/base/errors.ts";
import { Stream } from "../../../src/link/stream.ts";
import { StreamAdapter, type StreamHost, WIRE_RESET, wireOfCode } from "../../../src/link/stream-adapter.ts";

const STREAM_ID = 4;

/** The engine's side of one stream, without a connection. */
class FakeEngine {
  readonly commands: string[] = [];
  readonly written: string[] = [];
  readonly recycled: Uint8Array[] = [];
  incoming: Uint8Array[] = [];
  hasRoom = true;
  isReadFinished = false;

  write(_streamId: number, bytes: Uint8Array): boolean {
    this.written.push(Buffer.from(bytes).toString());
    return this.hasRoom;
  }

  finish(streamId: number): void {
    this.commands.push(`finish ${streamId}`);
  }

  reset(streamId: number, errorCode: number): void {
    this.commands.push(`reset ${streamId} ${errorCode}`);
  }

  stopSending(streamId: number, errorCode: number): void {
    this.commands.push(`stopSending ${streamId} ${errorCode}`);
  }

  breakOff(streamId: number, errorCode: number): void {
    this.commands.push(`breakOff ${streamId} ${errorCode}`);
  }

  read(): Uint8Array | undefined {
    return this.incoming.shift();
  }

  recycle(bytes: Uint8Array): void {
    this.recycled.push(bytes);
  }

  readFinished(): boolean {
    return this.isReadFinished && this.incoming.length === 0;
  }
}

class FakeHost implements StreamHost {
  readonly engine: FakeEngine = new FakeEngine();
  readonly thrown: unknown[] = [];
  touches = 0;
  changes = 0;

  touch(): void {
    this.touches++;
  }

  fail(fault: unknown): void {
    expect.unreachable(String(fault));
  }

  failByListener(thrown: unknown): void {
    this.thrown.push(thrown);
  }

  streamChanged(): void {
    this.changes++;
  }
}

let host: FakeHost;
let engine: FakeEngine;
let adapter: StreamAdapter;
let stream: Stream;
let errors: unknown[];

beforeEach(() => {
  host = new FakeHost();
  engine = host.engine;
  adapter = new StreamAdapter(host);
  stream = new Stream(adapter);
  errors = [];
  stream.on("error", (error) => errors.push(error));
});

/** Not `events.once`, which rejects when the stream fails. */
function closed(): Promise<void> {
  return new Promise((resolve) => stream.once("close", resolve));
}

/** Bytes of the peer arrive. */
function receive(...texts: string[]): void {
  engine.incoming.push(...texts.map((text) => Buffer.from(text)));
  adapter.handleReadable();
}

function receiveEnd(): void {
  engine.isReadFinished = true;
  adapter.handleReadable();
}

describe("stream adapter, writing", () => {
  it("calls the writer back while the engine has room", async () => {
    adapter.open(STREAM_ID);
    await new Promise((resolve) => stream.write("a", resolve));
    expect(engine.written).toEqual(["a"]);
    expect(adapter.writtenBytes).toBe(1);
    expect(host.touches).toBeGreaterThan(0);
  });

  it("holds the writer's callback back until a blocked engine has room again", async () => {
    adapter.open(STREAM_ID);
    engine.hasRoom = false;
    let isDone = false;
    stream.write("a", () => {
      isDone = true;
    });
    stream.write("b");
    await nextTurn();
    expect(isDone).toBe(false);
    expect(engine.written).toEqual(["a"]);
    adapter.handleWritable();
    await nextTurn();
    expect(isDone).toBe(true);
    expect(engine.written).toEqual(["a", "b"]);
  });

  it("writes what waited for the stream to open, then its end", async () => {
    stream.write("a");
    stream.end();
    await nextTurn();
    expect(engine.written).toEqual([]);
    adapter.open(STREAM_ID);
    await once(stream, "finish");
    expect(engine.written).toEqual(["a"]);
    expect(engine.commands).toEqual([`finish ${STREAM_ID}`]);
  });

  it("fails a waiting writer when the stream is destroyed", async () => {
    adapter.open(STREAM_ID);
    engine.hasRoom = false;
    const written = new Promise((resolve) => stream.write("a", resolve));
    stream.destroy();
    expect(await written).toBeInstanceOf(Error);
  });

  it("reports an exception of the writer's callback as one of a listener", async () => {
    adapter.open(STREAM_ID);
    engine.hasRoom = false;
    stream.write("a", () => {
      throw new RangeError("of the callback");
    });
    await nextTurn();
    adapter.handleWritable();
    expect(host.thrown).toEqual([new RangeError("of the callback")]);
  });
});

describe("stream adapter, reading", () => {
  it("delivers the bytes that came with the kind before later ones", async () => {
    adapter.open(STREAM_ID, Buffer.from("a"));
    receive("b");
    receiveEnd();
    expect(Buffer.concat(await stream.toArray()).toString()).toBe("ab");
  });

  it("leaves bytes in the engine while the reader does not read", async () => {
    adapter.open(STREAM_ID);
    stream.read(0);
    await nextTurn();
    const chunks = Array.from({ length: 64 }, () => "x".repeat(1024));
    receive(...chunks);
    await nextTurn();
    const left = engine.incoming.length;
    expect(left).toBeGreaterThan(40);
    while (stream.read() !== null);
    await nextTurn();
    expect(engine.incoming.length).toBeLessThan(left);
  });

  it("passes recycled chunks to the engine", () => {
    const chunk = new Uint8Array(8);
    stream.recycle(chunk);
    expect(engine.recycled).toEqual([chunk]);
  });
});

describe("stream adapter, half-close", () => {
  it("keeps writing after the peer's end", async () => {
    adapter.open(STREAM_ID);
    stream.resume();
    receiveEnd();
    await once(stream, "end");
    expect(adapter.isReadEnded).toBe(true);
    await new Promise((resolve) => stream.write("late", resolve));
    expect(engine.written).toEqual(["late"]);
    expect(engine.commands).toEqual([]);
    expect(stream.destroyed).toBe(false);
  });

  it("keeps reading after its own end", async () => {
    adapter.open(STREAM_ID);
    stream.end("bye");
    await once(stream, "finish");
    const chunks: string[] = [];
    stream.on("data", (chunk) => chunks.push(String(chunk)));
    await nextTurn();
    receive("late");
    await nextTurn();
    expect(chunks).toEqual(["late"]);
    expect(adapter.isFinished).toBe(true);
    expect(adapter.isDelivered).toBe(false);
  });

  it("is settled when both directions have ended and the peer has acknowledged", async () => {
    adapter.open(STREAM_ID);
    stream.end();
    stream.resume();
    receiveEnd();
    await closed();
    expect(adapter.isSettled).toBe(false);
    const changes = host.changes;
    adapter.handleAcknowledged();
    expect(adapter.isSettled).toBe(true);
    expect(host.changes).toBe(changes + 1);
    expect(engine.commands).toEqual([`finish ${STREAM_ID}`]);
  });
});

describe("stream adapter, reset", () => {
  it("resets both directions when the stream is destroyed", async () => {
    adapter.open(STREAM_ID);
    stream.destroy();
    await closed();
    expect(engine.commands).toEqual([
      `reset ${STREAM_ID} ${WIRE_RESET}`,
      `stopSending ${STREAM_ID} ${WIRE_RESET}`,
    ]);
    expect(adapter.isSettled).toBe(true);
  });

  it("sends the wire code of the error that destroyed the stream", async () => {
    adapter.open(STREAM_ID);
    stream.destroy(new SrudpError("ERR_INTERNAL"));
    await closed();
    const wire = wireOfCode("ERR_INTERNAL");
    expect(engine.commands).toEqual([`reset ${STREAM_ID} ${wire}`, `stopSending ${STREAM_ID} ${wire}`]);
  });

  it("does not reset a direction whose end is on its way", async () => {
    adapter.open(STREAM_ID);
    stream.end("a");
    await once(stream, "finish");
    stream.destroy();
    await closed();
    expect(engine.commands).toEqual([`finish ${STREAM_ID}`, `stopSending ${STREAM_ID} ${WIRE_RESET}`]);
    expect(adapter.isSettled).toBe(false);
  });

  it("lets the engine deliver what was written before it breaks off, if asked to", async () => {
    adapter.open(STREAM_ID);
    stream.write("a");
    stream.breakOff(new SrudpError("ERR_PEER_RESET"));
    await closed();
    expect(engine.commands).toEqual([`breakOff ${STREAM_ID} ${WIRE_RESET}`]);
  });

  it("resets a stream that opens after it was destroyed", async () => {
    stream.destroy();
    await closed();
    expect(engine.commands).toEqual([]);
    adapter.open(STREAM_ID);
    expect(engine.commands).toEqual([
      `reset ${STREAM_ID} ${WIRE_RESET}`,
      `stopSending ${STREAM_ID} ${WIRE_RESET}`,
    ]);
  });

  it("fails with ERR_PEER_RESET when the peer resets its direction", async () => {
    adapter.open(STREAM_ID);
    adapter.handleReset(WIRE_RESET);
    await closed();
    expect(errors).toMatchObject([{ code: "ERR_PEER_RESET" }]);
  });

  it("counts as delivered when the peer stops reading", async () => {
    adapter.open(STREAM_ID);
    adapter.handleStopSending(0xdead);
    await closed();
    expect(errors).toMatchObject([{ code: "ERR_PEER_OUTPUT_CLOSED" }]);
    expect(adapter.isDelivered).toBe(true);
    expect(engine.commands).toEqual([`stopSending ${STREAM_ID} ${wireOfCode("ERR_PEER_OUTPUT_CLOSED")}`]);
  });
});

describe("stream adapter, the end of the link", () => {
  const LOST = new SrudpError("ERR_LINK_LOST");

  it("delivers what had arrived, then the error", async () => {
    adapter.open(STREAM_ID);
    const chunks: string[] = [];
    stream.on("data", (chunk) => chunks.push(String(chunk)));
    await nextTurn();
    engine.incoming.push(Buffer.from("a"), Buffer.from("b"));
    adapter.handleOver(LOST, false);
    await closed();
    expect(chunks.join("")).toBe("ab");
    expect(errors).toEqual([LOST]);
  });

  it("drops what had arrived when this side ended the link", async () => {
    adapter.open(STREAM_ID);
    stream.resume();
    await nextTurn();
    engine.incoming.push(Buffer.from("a"));
    adapter.handleOver(undefined, true);
    await closed();
    expect(engine.incoming).toHaveLength(1);
    expect(errors).toEqual([]);
  });

  it("is a truncation for a peer direction that had not ended", async () => {
    adapter.open(STREAM_ID);
    stream.resume();
    await nextTurn();
    adapter.handleOver(undefined, false);
    await closed();
    expect(errors).toMatchObject([{ code: "ERR_PEER_RESET" }]);
  });

  it("fails a writer whose bytes the peer had not taken to the end", async () => {
    adapter.open(STREAM_ID);
    stream.resume();
    stream.write("a");
    engine.isReadFinished = true;
    adapter.handleOver(undefined, false);
    await closed();
    expect(errors).toMatchObject([{ code: "ERR_PEER_OUTPUT_CLOSED" }]);
  });

  it("is no error for a stream with both directions ended", async () => {
    adapter.open(STREAM_ID);
    stream.resume();
    stream.end("a");
    await once(stream, "finish");
    engine.isReadFinished = true;
    adapter.handleOver(undefined, false);
    await closed();
    expect(errors).toEqual([]);
  });

  it("fails at once if the stream is not being read", async () => {
    adapter.open(STREAM_ID);
    engine.incoming.push(Buffer.from("a"));
    adapter.handleOver(LOST, false);
    await closed();
    expect(errors).toEqual([LOST]);
  });

  it("ends a stream that never opened, without commands to the engine", async () => {
    adapter.handleOver(LOST, false);
    await closed();
    expect(errors).toEqual([LOST]);
    expect(engine.commands).toEqual([]);
    expect(adapter.isSettled).toBe(true);
  });

  it("fails later writes with the link's error", async () => {
    adapter.open(STREAM_ID);
    stream.on("data", () => undefined);
    await nextTurn();
    stream.pause();
    engine.incoming.push(Buffer.from("a"));
    adapter.handleOver(LOST, false);
    const failure = await new Promise((resolve) => stream.write("late", resolve));
    expect(failure).toBe(LOST);
    expect(engine.written).toEqual([]);
  });
});

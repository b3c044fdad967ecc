import { once } from "node:events";
import { buffer, text } from "node:stream/consumers";
import { finished, pipeline } from "node:stream/promises";
import { describe, expect, it } from "vitest";
import type { Link, Receipt, Stream } from "../../../src/index.ts";
import { connecting, failureOf, linkedPair, listening, SECRET } from "./loopback.ts";

describe("the pipe of a link", () => {
  it("carries both directions, each to its own end", async () => {
    const { near, far } = await linkedPair();
    near.end("to the far side");
    far.end("to the near side");
    const closed = Promise.all([once(near, "close"), once(far, "close")]);
    expect(await text(near)).toBe("to the near side");
    expect(await text(far)).toBe("to the far side");
    await closed;
  });

  it("goes on in the other direction after one has ended", async () => {
    const { near, far } = await linkedPair();
    near.end("question");
    far.setEncoding("utf8");
    let question = "";
    far.on("data", (piece) => {
      question += piece;
    });
    await once(far, "end");
    expect(question).toBe("question");
    far.end("answer");
    expect(await text(near)).toBe("answer");
  });

  it("carries megabytes both ways at once, byte for byte", async () => {
    const { near, far } = await linkedPair();
    const one = Buffer.alloc(3_000_001, "one way ");
    const other = Buffer.alloc(2_000_003, "and the other");
    near.end(one);
    far.end(other);
    const [toFar, toNear] = await Promise.all([buffer(far), buffer(near)]);
    expect(toFar.equals(one)).toBe(true);
    expect(toNear.equals(other)).toBe(true);
  });

  it("holds the writer back while nobody reads, and goes on when somebody does", async () => {
    const { near, far } = await linkedPair();
    const piece = Buffer.alloc(64 * 1024, 1);
    let written = 0;
    const write = (): void => {
      while (near.write(piece)) written++;
      written++;
    };
    near.on("drain", write);
    write();
    // Long enough for many times as much on this path.
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(written * piece.length).toBeLessThan(4 * 1024 * 1024);
    near.off("drain", write);
    near.end();
    expect((await buffer(far)).length).toBe(written * piece.length);
  });

  it("fits into a pipeline", async () => {
    const { near, far } = await linkedPair();
    const echoed = pipeline(far, far);
    near.end("there and back");
    expect(await text(near)).toBe("there and back");
    await echoed;
  });

  it("tells who is there, how it proved itself, and from where", async () => {
    const { near, far, listener } = await linkedPair();
    expect(near.auth).toBe("secret");
    expect(near.peer).toHaveLength(32);
    expect(near.remote).toEqual({ address: "127.0.0.1", port: listener.port, family: 4 });
    expect(far.remote.address).toBe("127.0.0.1");
    expect(near.stats().sentPackets).toBeGreaterThan(0);
  });
});

describe("the end of a link", () => {
  it("comes by itself, without an error, when both directions have ended and are acknowledged", async () => {
    const { near, far } = await linkedPair();
    near.end("a");
    far.end("b");
    near.resume();
    far.resume();
    await Promise.all([finished(near), finished(far)]);
    await Promise.all([closing(near), closing(far)]);
    expect(near.errored).toBeNull();
    expect(far.errored).toBeNull();
  });

  it("by close() delivers what was written, and is no error for a peer that wrote nothing", async () => {
    const { near, far } = await linkedPair();
    const closed = once(far, "close");
    near.write("last words");
    const closing = near.close("going home");
    expect(await text(far)).toBe("last words");
    await Promise.all([closing, closed]);
    expect(far.errored).toBeNull();
  });

  it("by close() fails the peer whose bytes are not read", async () => {
    const { near, far } = await linkedPair();
    far.write("nobody reads this");
    const failed = failureOf(far);
    await near.close();
    far.resume();
    expect((await failed).message).toContain("did not take everything");
  });

  it("by destroy() before it is complete fails the peer with ERR_PEER_RESET", async () => {
    const { near, far } = await linkedPair();
    far.resume();
    const failed = failureOf(far);
    near.destroy();
    expect(await failed).toMatchObject({ code: "ERR_PEER_RESET" });
    await closing(near);
    expect(near.errored).toBeNull();
  });

  it("by reset() carries the reason that it is given", async () => {
    const { near, far } = await linkedPair();
    far.resume();
    const failed = failureOf(far);
    near.reset("ERR_PEER_OUTPUT_CLOSED");
    far.write("x");
    expect(await failed).toMatchObject({ code: expect.stringMatching(/^ERR_PEER_/) });
  });

  it("that comes too early is told behind the last byte that arrived", async () => {
    const { near, far } = await linkedPair();
    const failed = failureOf(far);
    near.write("half a sentence");
    await near.openStream();
    far.pause();
    await once(far, "readable");
    near.destroy();
    let heard = "";
    far.on("data", (piece) => {
      heard += piece;
    });
    far.resume();
    expect(await failed).toMatchObject({ code: "ERR_PEER_RESET" });
    expect(heard).toBe("half a sentence");
  });

  it("fails writes that come after it", async () => {
    const { near, far } = await linkedPair();
    near.destroy();
    far.resume();
    await failureOf(far);
    const refused = await new Promise((resolve) => far.write("too late", resolve));
    expect(refused).toBeInstanceOf(Error);
  });

  it("waits for whoever holds the link", async () => {
    const { near, far } = await linkedPair();
    const release = near.hold();
    const releaseFar = far.hold();
    near.end();
    far.end();
    near.resume();
    far.resume();
    await Promise.all([once(near, "end"), once(far, "end")]);
    const receipt: Receipt = { streamId: far.streamId, bytes: 0, sha256: new Uint8Array(32) };
    const reported = once(near, "receipt");
    far.sendReceipt(receipt);
    expect((await reported)[0]).toEqual(receipt);
    release();
    releaseFar();
    await Promise.all([closing(near), closing(far)]);
  });
});

describe("streams of a link", () => {
  it("are opened from either side, and told apart from the pipe", async () => {
    const { near, far } = await linkedPair();
    far.on("stream", (stream: Stream) => stream.pipe(stream));
    near.on("stream", (stream: Stream) => stream.pipe(stream));
    const streams = await Promise.all([near.openStream(), near.openStream(), far.openStream()]);
    for (const [index, stream] of streams.entries()) stream.end(`stream ${index}`);
    expect(await Promise.all(streams.map((stream) => text(stream)))).toEqual([
      "stream 0",
      "stream 1",
      "stream 2",
    ]);
    expect(new Set(streams.map(({ streamId }) => streamId)).size).toBe(3);
    expect(streams.map(({ streamId }) => streamId)).not.toContain(near.streamId);
  });

  it("wait where the peer allows no more, and go on when one has ended", async () => {
    const { near, far } = await linkedPair();
    far.on("stream", (stream: Stream) => {
      stream.resume();
      stream.end();
    });
    let served = 0;
    const one = async (): Promise<void> => {
      const stream = await near.openStream();
      stream.end("x");
      stream.resume();
      await once(stream, "close");
      served++;
    };
    await Promise.all(Array.from({ length: 1500 }, one));
    expect(served).toBe(1500);
  });

  it("break off on one side with an error on the other, and leave the link alone", async () => {
    const { near, far } = await linkedPair();
    const arriving = once(far, "stream");
    const stream = await near.openStream();
    stream.write("to be broken off");
    const [there] = (await arriving) as [Stream];
    const failed = failureOf(there);
    there.resume();
    stream.destroy();
    expect(await failed).toMatchObject({ code: "ERR_PEER_RESET" });
    near.end("still here");
    expect(await text(far)).toBe("still here");
  });

  it("break off behind what was written before, where that is asked for", async () => {
    const { near, far } = await linkedPair();
    const arriving = once(far, "stream");
    const stream = await near.openStream();
    stream.on("error", () => undefined);
    const last = Buffer.alloc(100_000, 7);
    stream.write(last);
    stream.breakOff(new Error("that was all"));
    const [there] = (await arriving) as [Stream];
    const heard: Uint8Array[] = [];
    there.on("data", (piece) => heard.push(piece));
    expect(await failureOf(there)).toMatchObject({ code: "ERR_PEER_RESET" });
    expect(Buffer.concat(heard).equals(last)).toBe(true);
  });

  it("whose readers have stopped hold up no other", async () => {
    const { near, far } = await linkedPair();
    far.on("stream", (stream: Stream) => {
      stream.once("data", (first) => {
        if (first[0] === 0) stream.pause();
        else stream.resume().end();
      });
    });
    // More unread bytes than a connection's window grows to by itself, and before the others begin.
    for (let i = 0; i < 30; i++) {
      const stalled = await near.openStream();
      stalled.on("error", () => undefined);
      stalled.write(Buffer.alloc(1_000_000));
    }
    const isFull = (): boolean => near.unacknowledgedBytes < 30 * (1_000_000 - 500_000);
    await expect.poll(isFull, { timeout: 5000 }).toBe(true);
    const free = await near.openStream();
    free.resume();
    free.end(Buffer.alloc(1_000_000, 1));
    await once(free, "end");
  });

  it("are refused where nobody listens for them", async () => {
    const { near } = await linkedPair();
    const stream = await near.openStream();
    stream.resume();
    expect(await failureOf(stream)).toMatchObject({ code: "ERR_PEER_RESET" });
  });

  it("keep the link open when its pipe has ended", async () => {
    const { near, far } = await linkedPair();
    const arriving = once(far, "stream");
    const stream = await near.openStream();
    const [there] = (await arriving) as [Stream];
    near.end();
    far.end();
    near.resume();
    far.resume();
    await Promise.all([once(near, "end"), once(far, "end")]);
    there.end("after the pipe");
    stream.end();
    there.resume();
    expect(await text(stream)).toBe("after the pipe");
    await Promise.all([closing(near), closing(far)]);
  });
});

describe("a link without a pipe", () => {
  it("carries forwarded streams and records, and ends in order", async () => {
    const { near, far } = await linkedPair(undefined, { pipe: false });
    expect([near.hasPipe, far.hasPipe]).toEqual([false, false]);
    const arriving = once(far, "forward");
    const reported = once(far, "record");
    near.sendRecord(7, Uint8Array.of(1, 2));
    const stream = await near.openStream("forward");
    stream.end("by the side");
    const [there] = (await arriving) as [Stream];
    there.end();
    stream.resume();
    expect(await text(there)).toBe("by the side");
    expect(await reported).toEqual([7, Uint8Array.of(1, 2)]);
    far.resume();
    await Promise.all([near.close(), closing(far)]);
    expect([near.errored, far.errored]).toEqual([null, null]);
  });

  it("shows by an answer that the peer is there", async () => {
    const { near } = await linkedPair(undefined, { pipe: false });
    const before = near.stats().receivedPackets;
    near.ping();
    await expect.poll(() => near.stats().receivedPackets).toBeGreaterThan(before);
  });
});

describe("what the peer does at once", () => {
  it("is told to whoever listens right after connect()", async () => {
    const listener = await listening({ secret: SECRET });
    listener.on("link", async (link) => {
      link.send(new Uint8Array([1]));
      (await link.openStream()).end("from the very start");
    });
    const near = await connecting(listener.port, { secret: SECRET });
    const [stream] = (await once(near, "stream")) as [Stream];
    stream.end();
    expect(await text(stream)).toBe("from the very start");
  });
});

describe("datagrams of a link", () => {
  it("arrive whole", async () => {
    const { near, far } = await linkedPair();
    const heard: Uint8Array[] = [];
    const both = new Promise<void>((resolve) => {
      far.on("datagram", (bytes) => {
        heard.push(bytes);
        if (heard.length === 2) resolve();
      });
    });
    const largest = new Uint8Array(near.maxDatagramBytes).fill(9);
    expect(near.send(new Uint8Array([1, 2, 3]))).toBe(true);
    expect(near.send(largest)).toBe(true);
    await both;
    expect(heard.map((bytes) => bytes.length).sort((a, b) => a - b)).toEqual([3, largest.length]);
  });

  it("that are too long are refused", async () => {
    const { near } = await linkedPair();
    expect(() => near.send(new Uint8Array(near.maxDatagramBytes + 1))).toThrow(RangeError);
  });
});

describe("a link over IPv6", () => {
  it("is the same", async () => {
    const listener = await listening({ localAddress: "::1", secret: SECRET });
    const arriving = once(listener, "link");
    const near = await connecting(listener.port, { host: "::1", secret: SECRET });
    const [far] = (await arriving) as [Link];
    near.end("six");
    far.end();
    near.resume();
    expect(await text(far)).toBe("six");
  });
});

/** Resolves when the stream is closed, now or later. */
async function closing(stream: Stream): Promise<void> {
  if (!stream.closed) await once(stream, "close");
}

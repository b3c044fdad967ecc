import { createHash } from "node:crypto";
import { once } from "node:events";
import { PassThrough, Readable, Writable } from "node:stream";
import { buffer, text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { type Bridge, type BridgeOptions, bridge } from "../../../src/app/pipe.ts";
import { failureOf, linkedPair } from "../link/loopback.ts";

interface Side {
  readonly input: PassThrough;
  readonly output: PassThrough;
  readonly joined: Bridge;
}

/** Two bridges over one link, the connector's first. */
async function bridges(here: BridgeOptions = {}, there: BridgeOptions = {}): Promise<[Side, Side]> {
  const { near, far } = await linkedPair();
  return [join(near, here), join(far, there)];
}

function join(link: Parameters<typeof bridge>[0], options: BridgeOptions): Side {
  const input = new PassThrough();
  const output = new PassThrough();
  return { input, output, joined: bridge(link, { input, output, ...options }) };
}

describe("a bridge", () => {
  it("is done on both sides when both directions have ended, and both agree on every byte", async () => {
    const [near, far] = await bridges();
    const bytes = Buffer.alloc(1_000_000, "what goes over");
    near.input.end(bytes);
    far.input.end("and back");
    const [arrived, answer] = await Promise.all([buffer(far.output), text(near.output)]);
    expect(arrived.equals(bytes)).toBe(true);
    expect(answer).toBe("and back");
    const [here, there] = await Promise.all([near.joined.done, far.joined.done]);
    expect(here.sent).toEqual(there.received);
    expect(here.received).toEqual(there.sent);
    expect(here.sent.bytes).toBe(bytes.length);
    expect(here.received.sha256).toBe(createHash("sha256").update("and back").digest("hex"));
  });

  it("passes an end of input on at once, and keeps the other direction", async () => {
    const [near, far] = await bridges();
    near.input.end("first");
    expect(await text(far.output)).toBe("first");
    far.input.write("still ");
    far.input.end("here");
    expect(await text(near.output)).toBe("still here");
    await Promise.all([near.joined.done, far.joined.done]);
  });

  it("is not done before the output has taken the last byte", async () => {
    let release: () => void = () => undefined;
    let taken = 0;
    const slow = new Writable({
      write: (chunk: Uint8Array, _encoding, done) => {
        taken += chunk.length;
        release = done;
      },
    });
    const [near, far] = await bridges({}, { output: slow });
    let isDone = false;
    near.joined.done.then(() => {
      isDone = true;
    });
    near.input.end("x");
    far.input.end();
    near.output.resume();
    await expect.poll(() => taken).toBe(1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(isDone).toBe(false);
    release();
    expect((await near.joined.done).sent.bytes).toBe(1);
    await far.joined.done;
  });

  it("fails with ERR_OUTPUT_CLOSED when its output closes early, and its peer with ERR_PEER_OUTPUT_CLOSED", async () => {
    const broken = new Writable({
      write: (_chunk, _encoding, done) => done(Object.assign(new Error("write EPIPE"), { code: "EPIPE" })),
    });
    const [near, far] = await bridges({}, { output: broken });
    near.input.write("for nobody");
    await expect(far.joined.done).rejects.toMatchObject({ code: "ERR_OUTPUT_CLOSED" });
    await expect(near.joined.done).rejects.toMatchObject({ code: "ERR_PEER_OUTPUT_CLOSED" });
  });

  it("receives the peer's direction to its end after the peer's output closed early, and then fails", async () => {
    const cut = new PassThrough();
    const [near, far] = await bridges({}, { output: cut, isProgram: true });
    const heard = text(near.output);
    near.input.end("for nobody");
    cut.destroy();
    await expect.poll(() => cut.closed).toBe(true);
    far.input.write("half of ");
    await expect.poll(() => near.joined.receivedBytes).toBe(8);
    far.input.end("the output");
    expect(await heard).toBe("half of the output");
    far.joined.programEnded(false);
    await expect(near.joined.done).rejects.toMatchObject({ code: "ERR_PEER_OUTPUT_CLOSED" });
    await far.joined.done;
  });

  it("is done when its output is destroyed while it is ending, as Node destroys the stdin of a program", async () => {
    const stuck = new Writable({ write: () => undefined });
    const [near, far] = await bridges({}, { output: stuck, isProgram: true });
    const heard = text(near.output);
    near.input.end("unread");
    await expect.poll(() => stuck.writableEnded).toBe(true);
    stuck.destroy();
    far.input.end("its output");
    far.joined.programEnded(true);
    expect(await heard).toBe("its output");
    expect((await far.joined.done).received.bytes).toBe(0);
    expect((await near.joined.done).unreadBytes).toBe(6);
  });

  it("fails with ERR_FILE_UNREADABLE when its input does, and its peer with ERR_PEER_RESET", async () => {
    const [near, far] = await bridges();
    near.input.destroy(Object.assign(new Error("read EIO"), { code: "EIO" }));
    await expect(near.joined.done).rejects.toMatchObject({ code: "ERR_FILE_UNREADABLE" });
    await expect(far.joined.done).rejects.toMatchObject({ code: "ERR_PEER_RESET" });
  });

  it("has written what had arrived when the link breaks", async () => {
    const [near, far] = await bridges();
    const heard = text(far.output);
    near.input.write("half a sentence");
    await expect.poll(() => far.joined.receivedBytes).toBe(15);
    const abort = expect(far.joined.done).rejects.toMatchObject({ code: "ERR_PEER_RESET" });
    near.input.destroy(new Error("gone"));
    await abort;
    expect(await heard).toBe("half a sentence");
    await near.joined.done.catch(() => undefined);
  });

  it("breaks off with the signal's reason", async () => {
    const abort = new AbortController();
    const [near, far] = await bridges({ signal: abort.signal });
    const reason = new Error("Ctrl-C");
    abort.abort(reason);
    await expect(near.joined.done).rejects.toBe(reason);
    await expect(far.joined.done).rejects.toMatchObject({ code: "ERR_PEER_RESET" });
    expect(near.input.destroyed).toBe(true);
  });

  it("ends so long after its input has, in order for a peer that had nothing more to say", async () => {
    const [near, far] = await bridges({ quitAfterMs: 50 });
    far.input.write("before");
    await expect.poll(() => near.joined.receivedBytes).toBe(6);
    near.input.end("all");
    far.output.resume();
    expect((await near.joined.done).received.bytes).toBe(6);
    // Its input is still open, but every byte of it was taken.
    expect((await far.joined.done).sent.bytes).toBe(6);
  });

  it("fails the peer whose bytes came after that", async () => {
    const [near, far] = await bridges({}, { quitAfterMs: 20 });
    near.output.resume();
    far.output.resume();
    far.input.end();
    near.input.write(Buffer.alloc(30_000_000));
    const results = await Promise.allSettled([near.joined.done, far.joined.done]);
    expect(results[1].status).toBe("fulfilled");
    expect(results[0]).toMatchObject({ status: "rejected", reason: { code: "ERR_PEER_OUTPUT_CLOSED" } });
  });

  it("sends only, and is done at the end of its input", async () => {
    const [near, far] = await bridges({ sendOnly: true });
    far.output.resume();
    far.input.write("not wanted");
    near.input.end("wanted");
    expect((await near.joined.done).sent.bytes).toBe(6);
    expect(near.output.readableLength).toBe(0);
    await far.joined.done;
  });

  it("receives only, and never touches its input", async () => {
    const [near, far] = await bridges({ recvOnly: true });
    near.input.write("not to be sent");
    far.input.end("heard");
    far.output.resume();
    expect(await text(near.output)).toBe("heard");
    expect((await far.joined.done).received.bytes).toBe(0);
    await near.joined.done;
    expect(near.input.readableLength).toBe(14);
  });

  it("is not struck by an input that has ended before", async () => {
    const input = new PassThrough();
    input.end();
    input.resume();
    await once(input, "end");
    const [near, far] = await bridges({ input });
    far.input.end();
    near.output.resume();
    far.output.resume();
    expect((await near.joined.done).sent.bytes).toBe(0);
    await far.joined.done;
  });

  it("holds its input back while the peer's output is stuck", async () => {
    const stuck = new Writable({ highWaterMark: 1, write: () => undefined });
    const { near, far } = await linkedPair();
    const joined = join(near, {});
    const there = bridge(far, { input: new PassThrough(), output: stuck });
    const piece = Buffer.alloc(64 * 1024);
    const offer = (): void => {
      while (joined.input.write(piece));
    };
    joined.input.on("drain", offer);
    offer();
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(joined.joined.sentBytes).toBeGreaterThan(512 * 1024);
    expect(joined.joined.sentBytes).toBeLessThan(4 * 1024 * 1024);
    near.reset();
    far.on("error", () => undefined);
    await expect(joined.joined.done).rejects.toThrow();
    far.destroy();
    stuck.destroy();
    there.done.catch(() => undefined);
  });
});

it("keeps apart what a bridge and its link fail with", async () => {
  const { near, far } = await linkedPair();
  const failed = failureOf(near);
  const joined = join(near, {});
  far.destroy();
  expect(await failed).toMatchObject({ code: "ERR_PEER_RESET" });
  await expect(joined.joined.done).rejects.toMatchObject({ code: "ERR_PEER_RESET" });
});

it("ends its link, and itself, with an internal error when a fault shows in what its input calls", async () => {
  const { near, far } = await linkedPair();
  const failed = failureOf(far);
  const { done } = bridge(near, { input: Readable.from([Symbol("no bytes")]), output: new PassThrough() });
  await expect(done).rejects.toMatchObject({ code: "ERR_INTERNAL" });
  expect((await failed).code).toBe("ERR_PEER_INTERNAL");
});

/** A bug that shows while one link is served ends that link, and nothing else. */
import { once } from "node:events";
import { afterEach, describe, expect, it, vi } from "vitest";
import { Connection } from "../../../src/engine/connection/connection.ts";
import type { Link, Listener, Stream } from "../../../src/index.ts";
import { connecting, failureOf, listening, SECRET } from "./loopback.ts";

afterEach(() => {
  vi.restoreAllMocks();
});

interface Served {
  readonly listener: Listener;
  /** What the listener reported. */
  readonly faults: { readonly fault: unknown; readonly port: number | undefined }[];
  /** Two links, each from both sides. */
  readonly near: Link;
  readonly far: Link;
  readonly otherNear: Link;
  readonly otherFar: Link;
}

/** A listener that contains faults, with two links. */
async function serveTwo(): Promise<Served> {
  const faults: Served["faults"] = [];
  const listener = await listening({
    secret: SECRET,
    maxLinks: 2,
    onFault: (fault, remote) => faults.push({ fault, port: remote?.port }),
  });
  const [near, far] = await oneMore(listener);
  const [otherNear, otherFar] = await oneMore(listener);
  return { listener, faults, near, far, otherNear, otherFar };
}

async function oneMore(listener: Listener): Promise<[Link, Link]> {
  const arriving = once(listener, "link");
  const near = await connecting(listener.port, { secret: SECRET });
  const [far] = (await arriving) as [Link];
  return [near, far];
}

async function expectEcho({ otherNear, otherFar }: Served): Promise<void> {
  otherFar.once("data", (bytes: Uint8Array) => otherFar.write(bytes));
  const echoed = once(otherNear, "data");
  otherNear.write("still here");
  expect(String((await echoed)[0])).toBe("still here");
}

/** The listener of the link at the side that serves, and what makes the peer call it. */
const EVENTS: readonly (readonly [event: string, provoke: (near: Link) => unknown])[] = [
  ["data", (near) => near.write("bytes")],
  ["end", (near) => near.end()],
  ["record", (near) => near.sendRecord(77, Uint8Array.of(1))],
  ["receipt", (near) => near.sendReceipt({ streamId: 0, bytes: 0, sha256: new Uint8Array(32) })],
  ["datagram", (near) => near.send(Uint8Array.of(1))],
  ["stream", async (near) => (await near.openStream()).on("error", () => undefined)],
  ["forward", async (near) => (await near.openStream("forward")).on("error", () => undefined)],
];

describe("a fault", () => {
  it.each(EVENTS)("in a listener of %s ends that link alone", async (event, provoke) => {
    const served = await serveTwo();
    const { near, far, faults } = served;
    const bug = new Error(`a bug in a listener of ${event}`);
    far.on(event, () => {
      throw bug;
    });
    if (event === "end") far.resume();
    const failures = Promise.all([failureOf(near), failureOf(far)]);
    provoke(near);
    const [atPeer, here] = await failures;
    expect(atPeer.code).toBe("ERR_PEER_INTERNAL");
    expect(here).toMatchObject({ code: "ERR_INTERNAL", cause: bug });
    expect(faults).toEqual([{ fault: bug, port: far.remote.port }]);
    await expectEcho(served);
  });

  it("in a listener of one of its streams ends that link alone", async () => {
    const served = await serveTwo();
    const { near, far, faults } = served;
    const bug = new Error("a bug in a listener of a stream");
    far.on("stream", (stream: Stream) => {
      stream.on("error", () => undefined);
      stream.on("data", () => {
        throw bug;
      });
    });
    const failures = Promise.all([failureOf(near), failureOf(far)]);
    const stream = await near.openStream();
    const streamFailure = failureOf(stream);
    stream.write("bytes");
    expect((await failures).map(({ code }) => code)).toEqual(["ERR_PEER_INTERNAL", "ERR_INTERNAL"]);
    expect((await streamFailure).code).toBe("ERR_PEER_INTERNAL");
    expect(faults).toHaveLength(1);
    await expectEcho(served);
  });

  it("in a guarded callback ends that link alone", async () => {
    const served = await serveTwo();
    const { near, far } = served;
    const failures = Promise.all([failureOf(near), failureOf(far)]);
    setImmediate(far.guard(() => raise()));
    expect((await failures).map(({ code }) => code)).toEqual(["ERR_PEER_INTERNAL", "ERR_INTERNAL"]);
    await expectEcho(served);
  });

  it.each([
    ["a datagram is read", "readDatagram", (near: Link) => near.send(Uint8Array.of(1))],
    ["a stream is read", "read", (near: Link) => near.write("bytes")],
  ] as const)("in the engine while %s ends that link alone", async (_what, method, provoke) => {
    const served = await serveTwo();
    const { near, far } = served;
    far.resume();
    const original = Connection.prototype[method] as (this: Connection, streamId: number) => undefined;
    let isDue = true;
    vi.spyOn(Connection.prototype, method).mockImplementation(function (this: Connection, streamId = 0) {
      if (this.role === "initiator" || !isDue) return original.call(this, streamId);
      isDue = false;
      return raise();
    });
    const failures = Promise.all([failureOf(near), failureOf(far)]);
    provoke(near);
    expect((await failures).map(({ code }) => code)).toEqual(["ERR_PEER_INTERNAL", "ERR_INTERNAL"]);
    await expectEcho(served);
  });

  it("in a listener that is told of the link ends that link, and its place is free again", async () => {
    const served = await serveTwo();
    const { listener, near, far, faults } = served;
    const gone = once(far, "close");
    near.destroy();
    await gone.catch(() => undefined);
    const onLink = (): void => raise();
    listener.on("link", onLink);
    const third = connecting(listener.port, { secret: SECRET });
    await expect(third).rejects.toMatchObject({ code: "ERR_PEER_INTERNAL" });
    expect(faults).toHaveLength(1);
    listener.off("link", onLink);
    await oneMore(listener);
    await expectEcho(served);
  });
});

describe("without onFault", () => {
  it("what a listener throws is an uncaught exception, and the link goes on", async () => {
    const listener = await listening({ secret: SECRET });
    const [near, far] = await oneMore(listener);
    const bug = new Error("the user's own");
    let isDue = true;
    far.on("data", () => {
      if (isDue) {
        isDue = false;
        throw bug;
      }
    });
    const uncaught = nextUncaught();
    near.write("first");
    expect(await uncaught).toBe(bug);
    const more = once(far, "data");
    near.write("second");
    expect(String((await more)[0])).toBe("second");
  });
});

function raise(): never {
  throw new Error("a bug");
}

/** The next uncaught exception, which the runner does not hear of. */
async function nextUncaught(): Promise<unknown> {
  const others = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  try {
    return await new Promise((resolve) => process.once("uncaughtException", resolve));
  } finally {
    for (const other of others) process.on("uncaughtException", other);
  }
}

/** A code that the peer sent, in whatever frame or record, is never reported as an error of this side. */
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { ERRORS, type ErrorCode, type SrudpError } from "../../../src/base/errors.ts";
import { writeVarint } from "../../../src/base/varint.ts";
import { decodeAnswer, decodeForwardReply } from "../../../src/link/forward-records.ts";
import { Stream } from "../../../src/link/stream.ts";
import { StreamAdapter, type StreamHost } from "../../../src/link/stream-adapter.ts";
import { failureOf, linkedPair } from "./loopback.ts";

const SENDABLE = (Object.keys(ERRORS) as ErrorCode[]).filter((code) => ERRORS[code].wire !== undefined);
/** Every wire code of the table, and values around them that no row has. */
const WIRE_CODES = Array.from({ length: 0x200 }, (_, wire) => wire);

function expectRemote(error: unknown): void {
  const { code } = error as SrudpError;
  expect(ERRORS[code].origin, code).toBe("remote");
}

describe("a code of the peer's", () => {
  it.each(SENDABLE)("%s in CLOSE is not reported as a local error", async (code) => {
    const { near, far } = await linkedPair();
    near.on("error", () => undefined);
    const failed = failureOf(far);
    near.reset(code);
    expectRemote(await failed);
  });

  it.each(["handleReset", "handleStopSending"] as const)(
    "in RESET_STREAM and STOP_SENDING is not reported as a local error (%s)",
    async (handle) => {
      for (const wire of WIRE_CODES) {
        const flow = new StreamAdapter(deafHost);
        const stream = new Stream(flow);
        flow.open(4);
        const failed = once(stream, "error");
        flow[handle](wire);
        expectRemote((await failed)[0]);
      }
    },
  );

  it("in the answer to a forwarded stream, or to an ask, is not reported as a local error", () => {
    for (const wire of WIRE_CODES.slice(1)) {
      const failure = Uint8Array.of(...varint(wire), 1, 0x61);
      expectRemote(decodeAnswer(failure));
      expectRemote(decodeForwardReply(Uint8Array.of(0, 0, ...failure)).failure);
    }
  });
});

/** An engine that takes everything and gives nothing. */
const deafHost: StreamHost = {
  engine: {
    write: () => true,
    finish: () => undefined,
    reset: () => undefined,
    stopSending: () => undefined,
    breakOff: () => undefined,
    read: () => undefined,
    recycle: () => undefined,
    readFinished: () => false,
  },
  touch: () => undefined,
  fail: (fault) => expect.unreachable(String(fault)),
  failByListener: (thrown) => expect.unreachable(String(thrown)),
  streamChanged: () => undefined,
};

function varint(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  return bytes.subarray(0, writeVarint(bytes, 0, value));
}

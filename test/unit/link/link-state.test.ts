import { describe, expect, it } from "vitest";
import { SrudpError } from "../../../src/base/errors.ts";
import type { CloseCause } from "../../../src/engine/connection/connection.ts";
import { encodeKind, STREAM_KIND } from "../../../src/link/control-records.ts";
import { type EndInput, type LinkEnd, nextEnd, OPEN, outcomeOf } from "../../../src/link/link-end.ts";
import {
  CONTROL_TIMEOUT_MS,
  type LinkAction,
  LinkState,
  type StreamProgress,
} from "../../../src/link/link-state.ts";
import { wireOfCode } from "../../../src/link/stream-adapter.ts";

const NOW_MS = 5000;
const NOT_READ = wireOfCode("ERR_PEER_OUTPUT_CLOSED");

type Progress = { -readonly [K in keyof StreamProgress]: StreamProgress[K] };

function progress(streamId = -1): Progress {
  return {
    streamId,
    writtenBytes: 0,
    isFinished: false,
    isDelivered: false,
    isReadEnded: false,
    isSettled: false,
  };
}

/** A link with its pipe and control stream open, and everything that it has asked for. */
class World {
  readonly pipe: Progress = progress(0);
  readonly state: LinkState<Progress>;

  constructor(role: "initiator" | "responder" = "initiator", hasStreams = true) {
    this.state = new LinkState(role, this.pipe);
    if (!hasStreams) {
      this.pipe.streamId = -1;
      return;
    }
    this.state.handleControlOpened(4);
    this.state.addStream(0, this.pipe);
  }

  get end(): LinkEnd {
    return this.state.end;
  }

  drain(nowMs: number = NOW_MS): LinkAction[] {
    const actions: LinkAction[] = [];
    for (let action = this.state.poll(nowMs); action !== undefined; action = this.state.poll(nowMs))
      actions.push(action);
    return actions;
  }

  endPipe(): void {
    Object.assign(this.pipe, { isFinished: true, isDelivered: true, isReadEnded: true, isSettled: true });
  }
}

function varint(...bytes: number[]): Uint8Array {
  return Uint8Array.from(bytes);
}

describe("link end", () => {
  const failure = new SrudpError("ERR_PROTOCOL");
  const states: Record<LinkEnd["kind"], LinkEnd> = {
    open: OPEN,
    ending: { kind: "ending", reason: "bye", control: "open", deadlineMs: Infinity },
    closing: { kind: "closing", errorCode: 0, reason: "", failure: undefined, isSent: false },
    over: { kind: "over", error: undefined, isDetached: false },
  };
  const inputs: Record<EndInput["kind"], EndInput> = {
    pipeEnded: { kind: "pipeEnded" },
    endRequested: { kind: "endRequested", reason: "other" },
    controlFinished: { kind: "controlFinished" },
    deadlineSet: { kind: "deadlineSet", deadlineMs: 9 },
    controlDelivered: { kind: "controlDelivered" },
    closeRequested: { kind: "closeRequested", errorCode: 7, reason: "r", failure },
    closeSent: { kind: "closeSent" },
    ended: { kind: "ended", error: failure },
    detached: { kind: "detached" },
  };
  const closing = { kind: "closing", errorCode: 7, reason: "r", failure, isSent: false };
  const over = { kind: "over", error: failure, isDetached: false };
  const interrupted = expect.objectContaining({
    kind: "over",
    error: expect.objectContaining({ code: "ERR_INTERRUPTED" }),
    isDetached: true,
  });
  const changes: Record<LinkEnd["kind"], Partial<Record<EndInput["kind"], unknown>>> = {
    open: {
      pipeEnded: { kind: "open", endsWhenIdle: true },
      endRequested: { kind: "ending", reason: "other", control: "open", deadlineMs: Infinity },
      closeRequested: closing,
      ended: over,
      detached: interrupted,
    },
    ending: {
      controlFinished: { ...states.ending, control: "finished" },
      deadlineSet: { ...states.ending, deadlineMs: 9 },
      controlDelivered: { ...states.ending, control: "delivered" },
      closeRequested: closing,
      ended: over,
      detached: interrupted,
    },
    closing: {
      closeRequested: { ...states.closing, failure },
      closeSent: { ...states.closing, isSent: true },
      ended: over,
      detached: interrupted,
    },
    over: { detached: { kind: "over", error: undefined, isDetached: true } },
  };

  for (const from of Object.keys(states) as LinkEnd["kind"][]) {
    for (const input of Object.keys(inputs) as EndInput["kind"][]) {
      const to = changes[from][input];
      it(`${input} ${to === undefined ? `leaves ${from} unchanged` : `changes ${from}`}`, () => {
        const next = nextEnd(states[from], inputs[input]);
        if (to === undefined) expect(next).toBe(states[from]);
        else expect(next).toEqual(to);
      });
    }
  }

  it("keeps the first deadline", () => {
    const set = nextEnd(states.ending, inputs.deadlineSet);
    expect(nextEnd(set, { kind: "deadlineSet", deadlineMs: 20 })).toBe(set);
  });

  it("keeps the error of a closing link when a close without an error is requested", () => {
    const failed = nextEnd(OPEN, inputs.closeRequested);
    expect(nextEnd(failed, { kind: "closeRequested", errorCode: 0, reason: "", failure: undefined })).toBe(
      failed,
    );
  });

  function cause(origin: CloseCause["origin"], code?: CloseCause["code"]): CloseCause {
    return { origin, code, errorCode: code === undefined ? 0 : wireOfCode(code), reason: "why" };
  }

  it.each<[string, LinkEnd, CloseCause, boolean, string | undefined, boolean]>([
    [
      "a local failure is reported as itself",
      { ...states.closing, failure } as LinkEnd,
      cause("local", "ERR_PEER_RESET"),
      true,
      "ERR_PROTOCOL",
      false,
    ],
    [
      "a local failure wins over the peer's close",
      { ...states.closing, failure } as LinkEnd,
      cause("remote"),
      true,
      "ERR_PROTOCOL",
      false,
    ],
    [
      "a requested close has no error and drops what has arrived",
      states.closing,
      cause("local", "ERR_PEER_RESET"),
      true,
      undefined,
      true,
    ],
    [
      "an error that the engine found is reported",
      OPEN,
      cause("local", "ERR_PROTOCOL"),
      true,
      "ERR_PROTOCOL",
      false,
    ],
    ["the peer's orderly close has no error", OPEN, cause("remote"), true, undefined, false],
    [
      "the peer's orderly close has no error while the link ends",
      states.ending,
      cause("remote"),
      true,
      undefined,
      false,
    ],
    [
      "the peer's failure is reported",
      OPEN,
      cause("remote", "ERR_PEER_RESET"),
      true,
      "ERR_PEER_RESET",
      false,
    ],
    ["a lost connection is reported", OPEN, cause("network", "ERR_LINK_LOST"), true, "ERR_LINK_LOST", false],
    [
      "output that the peer did not read is reported",
      OPEN,
      cause("remote", "ERR_PEER_OUTPUT_CLOSED"),
      true,
      "ERR_PEER_OUTPUT_CLOSED",
      false,
    ],
    [
      "a peer that does not read is no error if nothing was written",
      OPEN,
      cause("remote", "ERR_PEER_OUTPUT_CLOSED"),
      false,
      undefined,
      false,
    ],
  ])("%s", (_, end, closeCause, hasWritten, code, isAbrupt) => {
    const outcome = outcomeOf(end, closeCause, hasWritten);
    expect(outcome.error?.code).toBe(code);
    expect(outcome.isAbrupt).toBe(isAbrupt);
  });
});

describe("link state in an orderly end", () => {
  it("finishes the control stream first and closes when its end is acknowledged", () => {
    const world = new World();
    world.endPipe();
    world.state.endInOrder("done");
    expect(world.drain()).toEqual([{ kind: "finishControl" }]);
    world.state.handleControlDelivered();
    expect(world.drain()).toEqual([{ kind: "close", errorCode: 0, reason: "done" }]);
    expect(world.drain()).toEqual([]);
  });

  it("waits for each finished stream to be acknowledged, without a deadline", () => {
    const world = new World();
    const stream = { ...progress(8), isFinished: true };
    world.endPipe();
    world.state.addStream(8, stream);
    world.state.endInOrder("");
    world.drain();
    world.state.handleControlDelivered();
    expect(world.drain()).toEqual([]);
    expect(world.state.deadlineMs).toBe(Infinity);
    stream.isDelivered = true;
    world.state.handleStreamChanged(stream);
    expect(world.drain()).toMatchObject([{ kind: "close" }]);
  });

  it("does not wait for streams whose local direction has not ended", () => {
    const world = new World();
    world.state.addStream(8, progress(8));
    world.endPipe();
    world.state.endInOrder("");
    world.drain();
    world.state.handleControlDelivered();
    expect(world.drain()).toMatchObject([{ kind: "close" }]);
  });

  it("stops waiting for the control stream after its time", () => {
    const world = new World();
    world.endPipe();
    world.state.endInOrder("");
    world.drain(NOW_MS);
    expect(world.state.deadlineMs).toBe(NOW_MS + CONTROL_TIMEOUT_MS);
    world.state.handleTimeout(NOW_MS + CONTROL_TIMEOUT_MS - 1);
    expect(world.drain(NOW_MS + CONTROL_TIMEOUT_MS - 1)).toEqual([]);
    expect(world.state.deadlineMs).toBe(NOW_MS + CONTROL_TIMEOUT_MS);
    world.state.handleTimeout(NOW_MS + CONTROL_TIMEOUT_MS);
    expect(world.drain(NOW_MS + CONTROL_TIMEOUT_MS)).toMatchObject([{ kind: "close" }]);
    expect(world.state.deadlineMs).toBe(Infinity);
  });

  it("closes at once if there is no control stream", () => {
    const world = new World("responder", false);
    world.state.endInOrder("");
    expect(world.drain()).toEqual([{ kind: "close", errorCode: 0, reason: "" }]);
  });

  it("reports to the peer that its direction was not read to the end", () => {
    const world = new World();
    Object.assign(world.pipe, { isFinished: true, isDelivered: true });
    world.state.endInOrder("");
    world.drain();
    world.state.handleControlDelivered();
    expect(world.drain()).toMatchObject([{ kind: "close", errorCode: NOT_READ }]);
  });

  it("keeps the control stream open while it is deferred", () => {
    const world = new World();
    world.endPipe();
    world.state.deferEnd();
    world.state.endInOrder("");
    world.state.sendRecord(varint(1));
    expect(world.drain()).toEqual([{ kind: "sendRecord", record: varint(1) }]);
    world.state.resumeEnd();
    expect(world.drain()).toEqual([{ kind: "finishControl" }]);
  });

  it("closes after a deferral that outlasts the deadline", () => {
    const world = new World();
    world.endPipe();
    world.state.endInOrder("");
    world.drain();
    world.state.deferEnd();
    world.state.handleTimeout(NOW_MS + CONTROL_TIMEOUT_MS);
    expect(world.drain()).toEqual([]);
    world.state.resumeEnd();
    expect(world.drain()).toMatchObject([{ kind: "close" }]);
  });
});

describe("link state after the pipe has ended", () => {
  it("ends by itself when nothing else uses the link", () => {
    const world = new World();
    world.endPipe();
    world.state.endWhenIdle();
    expect(world.drain()).toEqual([{ kind: "finishControl" }]);
    expect(world.end.kind).toBe("ending");
  });

  it("stays open while it is held", () => {
    const world = new World();
    world.endPipe();
    world.state.hold();
    world.state.hold();
    world.state.endWhenIdle();
    world.state.release();
    expect(world.drain()).toEqual([]);
    expect(world.end.kind).toBe("open");
    world.state.release();
    expect(world.drain()).toEqual([{ kind: "finishControl" }]);
  });

  it("stays open while a stream waits to be opened or is in use", () => {
    const world = new World();
    world.endPipe();
    world.state.waitForOpen();
    world.state.endWhenIdle();
    expect(world.drain()).toEqual([]);
    const stream = progress(8);
    world.state.handleOpened();
    world.state.addStream(8, stream);
    expect(world.drain()).toEqual([]);
    stream.isSettled = true;
    world.state.handleStreamChanged(stream);
    expect(world.state.streamOf(8)).toBeUndefined();
    expect(world.drain()).toEqual([{ kind: "finishControl" }]);
  });
});

describe("link state in an abrupt end", () => {
  it("closes at once with the given code, and once only", () => {
    const world = new World();
    world.state.abort(7);
    world.state.abort(8);
    world.state.endInOrder("late");
    expect(world.drain()).toEqual([{ kind: "close", errorCode: 7, reason: "" }]);
  });

  it("fails with the violation's error and sends its wire code", () => {
    const world = new World();
    world.state.handleViolation("ERR_PROTOCOL");
    expect(world.drain()).toEqual([{ kind: "close", errorCode: wireOfCode("ERR_PROTOCOL"), reason: "" }]);
    const outcome = world.state.outcomeOf({
      origin: "local",
      code: "ERR_PROTOCOL",
      errorCode: 10,
      reason: "",
    });
    expect(outcome).toMatchObject({ error: { code: "ERR_PROTOCOL" }, isAbrupt: false });
  });

  it("keeps the error that ended it when the endpoint is closed afterwards", () => {
    const world = new World();
    const error = new SrudpError("ERR_LINK_LOST");
    world.state.handleEnded(error);
    world.state.handleEnded(new SrudpError("ERR_PROTOCOL"));
    world.state.handleDetached();
    expect(world.end).toEqual({ kind: "over", error, isDetached: true });
  });

  it("does nothing once it is over", () => {
    const world = new World();
    world.state.handleEnded(undefined);
    world.state.sendRecord(varint(1));
    world.state.endInOrder("");
    world.state.endWhenIdle();
    world.state.abort(7);
    world.state.handleTimeout(Number.MAX_VALUE);
    expect(world.drain()).toEqual([]);
    expect(world.state.isOver).toBe(true);
  });
});

describe("link state for streams", () => {
  it("queues control records in order until there is a control stream", () => {
    const world = new World("responder", false);
    world.state.sendRecord(varint(1));
    world.state.sendRecord(varint(2));
    expect(world.drain()).toEqual([]);
    world.state.handlePeerStream(4);
    world.state.identify(4, encodeKind(STREAM_KIND.control));
    expect(world.drain()).toEqual([
      { kind: "sendRecord", record: varint(1) },
      { kind: "sendRecord", record: varint(2) },
    ]);
  });

  it.each([
    ["pipe", STREAM_KIND.pipe],
    ["control", STREAM_KIND.control],
    ["application", STREAM_KIND.application],
    ["forward", STREAM_KIND.forward],
    ["bench", STREAM_KIND.bench],
    ["unknown", 63],
  ] as const)(
    "identifies a stream of the peer as %s and keeps the bytes behind the kind",
    (purpose, kind) => {
      const world = new World("responder", false);
      world.state.handlePeerStream(12);
      expect(world.state.identify(12, varint(...encodeKind(kind), 9, 8))).toEqual({
        purpose,
        rest: varint(9, 8),
      });
      expect(world.state.isUnidentified(12)).toBe(false);
      expect(world.state.controlId).toBe(purpose === "control" ? 12 : -1);
    },
  );

  it("waits for a kind that arrives in pieces", () => {
    const world = new World("responder", false);
    world.state.handlePeerStream(4);
    expect(world.state.identify(4, varint(0x40))).toBeUndefined();
    expect(world.state.isUnidentified(4)).toBe(true);
    expect(world.state.identify(4, varint(STREAM_KIND.forward, 7))).toEqual({
      purpose: "forward",
      rest: varint(7),
    });
  });

  it("accepts one pipe and one control stream, from the initiator only", () => {
    const responder = new World("responder");
    expect(responder.state.identify(8, encodeKind(STREAM_KIND.pipe))?.purpose).toBe("unknown");
    expect(responder.state.identify(12, encodeKind(STREAM_KIND.control))?.purpose).toBe("unknown");
    const initiator = new World("initiator", false);
    expect(initiator.state.identify(1, encodeKind(STREAM_KIND.pipe))?.purpose).toBe("unknown");
    expect(initiator.state.identify(5, encodeKind(STREAM_KIND.control))?.purpose).toBe("unknown");
  });

  it("forgets a stream that ends without a kind, once", () => {
    const world = new World("responder", false);
    world.state.handlePeerStream(4);
    expect(world.state.forgetPeerStream(4)).toBe(true);
    expect(world.state.forgetPeerStream(4)).toBe(false);
  });

  it("has the pipe among its streams before it opens and after it has ended", () => {
    const world = new World("responder", false);
    expect([...world.state.streams]).toEqual([world.pipe]);
    world.pipe.streamId = 0;
    world.state.addStream(0, world.pipe);
    world.endPipe();
    world.state.handleStreamChanged(world.pipe);
    expect([...world.state.streams]).toEqual([world.pipe]);
    world.state.clearStreams();
    expect(world.state.streamOf(0)).toBeUndefined();
  });
});

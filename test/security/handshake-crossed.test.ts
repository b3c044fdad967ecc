/** Two sides that both call: whose attempt it becomes, and what strangers can do about it. */
import { describe, expect, it } from "vitest";
import { utf8Encode } from "../../src/base/bytes.ts";
import type { Handshake } from "../../src/engine/handshake/handshake.ts";
import { Random } from "../sim/random.ts";
import { runLine } from "../unit/engine/handshake-line.ts";
import {
  AT,
  answer,
  assertLinked,
  carry,
  complete,
  edited,
  keyPair,
  MODES_UNDER_TEST,
  newInitiator,
  newResponder,
  newRival,
  started,
} from "../unit/engine/handshake-sides.ts";

const LOW = new Uint8Array(16).fill(1);
const MIDDLE = new Uint8Array(16).fill(2);
const HIGH = new Uint8Array(16).fill(3);

const kindsOf = (packets: readonly Uint8Array[]): number[] => packets.map((bytes) => bytes[0]! & 15);

describe.each(MODES_UNDER_TEST)("two that both call with a %s", (mode) => {
  const withPake = mode === "code" || mode === "passphrase";

  it("become initiator and responder by their tie-breaks, whoever was first", () => {
    for (const secondStartsMs of [0, 5, 19, 20, 21, 35, 1000]) {
      for (const [mine, theirs] of [
        [LOW, HIGH],
        [HIGH, LOW],
      ] as const) {
        const first = newRival(mode, mine, {}, 1);
        const second = newRival(mode, theirs, {}, 2);
        runLine([first, second], { fates: [], cleanAfterMs: 0, secondStartsMs });
        assertLinked(first, second);
        expect(first.role).toBe(mine === HIGH ? "initiator" : "responder");
      }
    }
  });

  it("link over crossed first messages, of which only the higher is answered", () => {
    const low = newRival(mode, LOW, {}, 1);
    const high = newRival(mode, HIGH, {}, 2);
    const [fromLow, fromHigh] = [started(low), started(high)];
    expect(answer(high, fromLow), "its own, at once, to where that came from").toEqual(fromHigh);
    expect(low.role).toBe("initiator");
    const packets = carry(fromHigh, low, high);
    expect(kindsOf(packets)).toEqual(withPake ? [0, 1, 2, 3, 4] : [2, 3, 4]);
    assertLinked(low, high);
    expect(low.role).toBe("responder");
    expect(low.timeoutAt).toBe(Number.POSITIVE_INFINITY);
  });

  it("12 · begin anew when they drew the same tie-break", () => {
    const first = newRival(mode, MIDDLE, {}, 1);
    const second = newRival(mode, MIDDLE, {}, 2);
    const [fromFirst, fromSecond] = [started(first), started(second)];
    const redrawn = answer(first, fromSecond)!;
    expect(redrawn.subarray(AT.tieBreak, AT.body)).not.toEqual(fromFirst.subarray(AT.tieBreak, AT.body));
    expect(redrawn.subarray(AT.body)).not.toEqual(fromFirst.subarray(AT.body));
    const other = answer(second, fromFirst)!;
    carry(redrawn, second, first);
    carry(other, first, second);
    assertLinked(first, second);
  });

  it("12 · do not draw again once they have answered, or each would answer the other", () => {
    // Regression: a late copy of the equal first message made the answering side begin anew as well.
    const lowest = new Uint8Array(16);
    for (let seed = 2; seed < 12; seed++) {
      const first = newRival(mode, lowest, {}, 1);
      const second = newRival(mode, lowest, {}, seed);
      const [fromFirst, fromSecond] = [started(first), started(second)];
      const redrawn = answer(first, fromSecond)!;
      const reply = answer(second, redrawn);
      expect(second.handlePacket(0, fromFirst), "the late copy").toBe("ignored");
      carry(second.request, first, second);
      carry(reply, first, second);
      assertLinked(first, second);
      expect(first.role).toBe("initiator");
    }
  });

  it("11 · do not take their own message for a rival's", () => {
    const rival = newRival(mode, MIDDLE, {}, 1);
    const own = started(rival);
    expect(rival.handlePacket(0, own)).toBe("ignored");
    // Under another connection ID it looks like a tie, and is drawn again a few times at most.
    let redraws = 0;
    for (let last: Uint8Array | undefined = own; redraws < 100; redraws++) {
      last = answer(rival, edited(last, AT.sourceId, [redraws]));
      if (last === undefined) break;
    }
    expect(redraws).toBe(8);
    const responder = newResponder();
    carry(rival.request, responder, rival);
    assertLinked(rival, responder);
  });

  it("are not drawn away from an attempt that was answered", () => {
    if (!withPake) return;
    const rival = newRival(mode, MIDDLE, {}, 1);
    const responder = newResponder();
    const own = started(rival);
    const noise1 = answer(rival, answer(responder, own)!);
    expect(rival.handlePacket(0, edited(own, AT.sourceId, [9]))).toBe("ignored");
    carry(noise1, responder, rival);
    assertLinked(rival, responder);
  });

  it("hear nothing more of rivals once they are linked", () => {
    const initiator = newRival(mode, LOW, {}, 1);
    const responder = newResponder();
    complete(initiator, responder);
    const late = started(newRival(mode, HIGH, {}, 3));
    expect([initiator.handlePacket(0, late), responder.handlePacket(0, late)]).toEqual([
      "ignored",
      "ignored",
    ]);
  });

  it("do not let a stranger's first message end their own attempt", () => {
    const random = new Random(3, "strangers");
    for (const [mine, theirs] of [
      [LOW, MIDDLE],
      [MIDDLE, LOW],
    ] as const) {
      const first = newRival(mode, mine, {}, 1);
      const second = newRival(mode, theirs, {}, 2);
      const [fromFirst, fromSecond] = [started(first), started(second)];
      // Strangers who know neither secret nor code and whose tie-break beats both; they say no second word.
      const credentials = {
        key: true,
        secret: random.bytes(32),
        ticket: random.bytes(32),
        code: utf8Encode("no"),
        passphrase: utf8Encode("no"),
      } as const;
      for (let stranger = 0; stranger < 3; stranger++) {
        const call = started(newRival(mode, HIGH, { credentials }, 50 + stranger));
        for (const side of [first, second]) {
          expect(side.handlePacket(0, call), "no path is taken for proven").not.toBe("advanced");
          side.pollTransmit();
          expect(side.role).toBe("initiator");
        }
      }
      for (const [packet, to, from] of [
        [fromFirst, second, first],
        [fromSecond, first, second],
      ] as const) {
        carry(packet, to, from);
      }
      assertLinked(first, second);
    }
  });

  it("answer a few strangers at a time and forget the oldest", () => {
    const rival = newRival(mode, LOW, {}, 1);
    started(rival);
    const callers = Array.from({ length: 9 }, (_, index) => newRival(mode, HIGH, {}, 60 + index));
    const replies = callers.map((caller) => answer(rival, started(caller))!);
    const next = callers.map((caller, index) => answer(caller, replies[index]!)!);
    for (const packet of next.slice(0, 5)) {
      expect(rival.handlePacket(0, packet)).toBe("ignored");
      expect(rival.pollTransmit()).toBeUndefined();
    }
    const second = callers[5]!;
    carry(next[5], rival, second);
    assertLinked(rival, second);
  });

  it("name the versions that they speak when these do not meet", () => {
    const older = newRival(mode, HIGH, { versions: { lowest: 0, highest: 0 } }, 1);
    const newer = newRival(mode, LOW, { versions: { lowest: 1, highest: 2 } }, 2);
    runLine([older, newer], { fates: [], cleanAfterMs: 0 });
    expect([older.failure, older.peerVersions]).toEqual(["ERR_VERSION", { lowest: 1, highest: 2 }]);
    expect([newer.failure, newer.peerVersions]).toEqual(["ERR_VERSION", { lowest: 0, highest: 0 }]);
  });

  it("park while somebody is asked about the key", () => {
    for (const asker of [0, 1]) {
      const sides = [LOW, HIGH].map((tieBreak, index) =>
        newRival(mode, tieBreak, index === asker ? { verifyPeer: () => "ask" } : {}, index + 1),
      ) as [Handshake, Handshake];
      runLine(sides, { fates: [], cleanAfterMs: 0, untilMs: 3000 });
      expect([sides[asker]!.stage, sides[asker]!.keys]).toEqual(["asking", undefined]);
      sides[asker]!.answerPeer(3000, true);
      carry(sides[asker]!.pollTransmit(), sides[1 - asker]!, sides[asker]!, 3000);
      assertLinked(...sides);
    }
  });
});

describe("an initiator that may be called", () => {
  it("is not called by anybody when it may not respond", () => {
    for (const mode of MODES_UNDER_TEST) {
      const initiator = newInitiator(mode);
      started(initiator);
      expect(initiator.handlePacket(0, started(newRival(mode, HIGH, {}, 2)))).toBe("ignored");
      expect(initiator.pollTransmit()).toBeUndefined();
    }
  });

  it("puts up with three wrong guesses, and its own attempt goes on", () => {
    const rival = newRival("code", LOW, {}, 1);
    started(rival);
    const guess = (seed: number): Uint8Array[] => {
      const guesser = newRival("code", HIGH, { credentials: { code: utf8Encode(`guess ${seed}`) } }, seed);
      return carry(started(guesser), rival, guesser);
    };
    for (let guesses = 1; guesses <= 3; guesses++) {
      expect(guess(guesses + 10).map(({ length }) => length)).toEqual([1200, 1200, 1200, 28]);
      expect(rival.failedGuesses).toBe(guesses);
    }
    expect(
      guess(20).map(({ length }) => length),
      "refused at the door",
    ).toEqual([1200, 28]);
    expect(rival.failedGuesses).toBe(3);
    const responder = newResponder();
    carry(rival.request, responder, rival);
    assertLinked(rival, responder);
  });

  it("drops the runs of a PAKE that are open when the third guess fails", () => {
    const rival = newRival("code", LOW, {}, 1);
    started(rival);
    const guessers = [1, 2, 3, 4].map((seed) =>
      newRival("code", HIGH, { credentials: { code: utf8Encode(`guess ${seed}`) } }, seed + 10),
    );
    const confirmations = guessers.map((guesser) => answer(guesser, answer(rival, started(guesser))!)!);
    const replies = confirmations.map((confirmation) => answer(rival, confirmation)?.length);
    expect(replies).toEqual([28, 28, 28, 28]);
    expect(rival.failedGuesses, "the fourth was refused unread").toBe(3);
  });

  it("keeps a caller who knows the code when callers who do not want its place", () => {
    const rival = newRival("code", LOW, {}, 1);
    started(rival);
    const peer = newRival("code", HIGH, {}, 2);
    const noise2 = answer(rival, answer(peer, answer(rival, started(peer))!)!)!;
    const credentials = { code: utf8Encode("no") };
    for (let seed = 30; seed < 50; seed++)
      answer(rival, started(newRival("code", HIGH, { credentials }, seed)));
    carry(answer(peer, noise2), rival, peer);
    assertLinked(rival, peer);
  });

  it("does not take the path of a replayed first message for proven, though its tag is right", () => {
    for (const mode of MODES_UNDER_TEST) {
      const captured = started(newRival(mode, HIGH, {}, 7));
      const rival = newRival(mode, LOW, {}, 1);
      started(rival);
      expect(rival.handlePacket(0, captured)).toBe("repeat");
      const responder = newResponder();
      carry(rival.request, responder, rival);
      assertLinked(rival, responder);
    }
  });

  it("turns away a caller with a mode that it does not have, as a listener does", () => {
    const credentials = { secret: new Uint8Array(32).fill(1) };
    const rival = newRival("secret", LOW, { credentials }, 1);
    started(rival);
    expect(answer(rival, started(newRival("code", HIGH, {}, 2)))?.length).toBe(28);
    expect(rival.handlePacket(0, started(newRival("key", HIGH, {}, 3)))).toBe("ignored");
    expect(rival.stage).toBe("exchanging");
  });

  it("answers no last message of a handshake that it does not know", () => {
    const rival = newRival("secret", LOW, { credentials: { secret: new Uint8Array(32) } }, 1);
    started(rival);
    const last = complete(newInitiator("code", {}, 5), newResponder({}, 6)).at(-1)!;
    for (const packet of [last, edited(last, AT.lowest, [8, 9])]) {
      expect(rival.handlePacket(0, packet)).toBe("ignored");
      expect(rival.pollTransmit()).toBeUndefined();
    }
  });

  it("tells a caller whose key it refuses so under the keys", () => {
    const rival = newRival("key", LOW, { verifyPeer: () => "refuse" }, 1);
    started(rival);
    const caller = newRival("key", HIGH, { identity: keyPair(5) }, 2);
    carry(started(caller), rival, caller);
    assertLinked(rival, caller);
    expect([rival.role, rival.refusedPeer]).toEqual(["responder", true]);
  });
});

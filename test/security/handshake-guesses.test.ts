/** Wrong codes, forged PAKE answers, and the notices with which a peer is turned away. */
import { describe, expect, it } from "vitest";
import { utf8Encode } from "../../src/base/bytes.ts";
import { packetIntegrity } from "../../src/crypto/integrity.ts";
import { busyNotice, type Handshake, type Mode } from "../../src/engine/handshake/handshake.ts";
import { encodeNotice, type NoticeReason, WIRE_VERSION } from "../../src/wire/handshake-packet.ts";
import { Random } from "../sim/random.ts";
import {
  AT,
  answer,
  assertLinked,
  carry,
  complete,
  edited,
  MODES_UNDER_TEST,
  newInitiator,
  newResponder,
  started,
} from "../unit/engine/handshake-sides.ts";

const PAKE_MODES = [
  ["code", "ERR_WRONG_CODE"],
  ["passphrase", "ERR_WRONG_PASSPHRASE"],
] as const;
const WRONG = { code: utf8Encode("7-abandon-ability-able"), passphrase: utf8Encode("some other passphrase") };
const SPOKEN = { lowest: WIRE_VERSION, highest: WIRE_VERSION };

/** A notice that everybody who knows the initiator's connection ID can make. */
function noticeTo(first: Uint8Array, reason: NoticeReason, versions = SPOKEN): Uint8Array {
  return encodeNotice(
    { reason, destinationId: first.slice(AT.sourceId, AT.sourceId + 8), versions },
    packetIntegrity,
  );
}

/** Turns the initiator's timers up to `untilMs`; returns what it sent, with the times. */
function runTimers(initiator: Handshake, untilMs: number): { at: number; bytes: Uint8Array }[] {
  const sent: { at: number; bytes: Uint8Array }[] = [];
  while (initiator.timeoutAt <= untilMs) {
    const at = initiator.timeoutAt;
    initiator.handleTimeout(at);
    const bytes = initiator.pollTransmit();
    if (bytes !== undefined) sent.push({ at, bytes });
  }
  return sent;
}

describe.each(PAKE_MODES)("a wrong %s", (mode, failure) => {
  it("15 · is one guess at the responder, and the initiator fails a second after it was told", () => {
    const initiator = newInitiator(mode, { credentials: WRONG });
    const responder = newResponder();
    const packets = complete(initiator, responder, 500);
    expect(packets.map(({ length }) => length)).toEqual([1200, 1200, 1200, 28]);
    expect([responder.guessFailed, responder.failedGuesses, responder.keys]).toEqual([true, 1, undefined]);
    for (const { at, bytes } of runTimers(initiator, 1499)) {
      expect(answer(responder, bytes, at)?.length, "each repetition gets the notice again").toBe(28);
    }
    expect([initiator.failure, initiator.timeoutAt]).toEqual([undefined, 1500]);
    initiator.handleTimeout(1500);
    expect([initiator.failure, initiator.timeoutAt]).toEqual([failure, Number.POSITIVE_INFINITY]);
    expect(initiator.pollTransmit()).toBeUndefined();
    expect(responder.failedGuesses, "repetitions are no further guesses").toBe(1);
  });

  it("fails at the initiator even when the first notices are lost", () => {
    const initiator = newInitiator(mode, { credentials: WRONG });
    const responder = newResponder();
    const noise1 = answer(initiator, answer(responder, started(initiator))!)!;
    answer(responder, noise1);
    for (const { at, bytes } of runTimers(initiator, 3000)) {
      const notice = answer(responder, bytes, at);
      if (at > 1000) answer(initiator, notice!, at);
    }
    initiator.handleTimeout(3000);
    expect(initiator.failure).toBe(failure);
    expect(responder.failedGuesses).toBe(1);
  });

  it("after which the genuine confirmation still completes", () => {
    const initiator = newInitiator(mode);
    const responder = newResponder();
    const noise1 = answer(initiator, answer(responder, started(initiator))!)!;
    // Somebody on the way slips in confirmations of its own, and the responder complains to the initiator.
    for (let forged = 1; forged <= 5; forged++) {
      const complaint = answer(responder, edited(noise1, AT.body, [noise1[AT.body]! ^ forged]), 10)!;
      expect(complaint.length).toBe(28);
      answer(initiator, complaint, 20);
    }
    expect([responder.guessFailed, responder.failedGuesses]).toEqual([true, 1]);
    carry(noise1, responder, initiator, 900);
    runTimers(initiator, 5000);
    assertLinked(initiator, responder);
    expect(initiator.failure).toBeUndefined();
  });

  it("costs no more work after 32 wrong confirmations of one run", () => {
    const initiator = newInitiator(mode);
    const responder = newResponder();
    const noise1 = answer(initiator, answer(responder, started(initiator))!)!;
    for (let forged = 1; forged <= 100; forged++) {
      const wrong = edited(noise1, AT.body, [noise1[AT.body]! ^ forged]);
      expect(responder.handlePacket(10, wrong)).toBe(forged <= 32 ? "repeat" : "ignored");
    }
    expect(responder.failedGuesses).toBe(1);
  });

  it("is not counted when no confirmation comes, or one of the wrong length", () => {
    const responder = newResponder();
    const initiator = newInitiator(mode, { credentials: WRONG });
    const noise1 = answer(initiator, answer(responder, started(initiator))!)!;
    for (const length of [0, 31, 32, 47, 49]) {
      expect(responder.handlePacket(0, edited(noise1, 40, [0, length]))).toBe("ignored");
    }
    expect(responder.guessFailed).toBe(false);
  });
});

describe.each(PAKE_MODES)("PAKE answers that are forged, with a %s", (mode, failure) => {
  const forgedAnswers = (genuine: Uint8Array, connectionId?: Uint8Array): Uint8Array[] => {
    const random = new Random(4, "forger");
    return Array.from({ length: 50 }, () => {
      const withShare = edited(genuine, AT.body, random.bytes(32));
      return edited(withShare, AT.sourceId, connectionId ?? random.bytes(8));
    });
  };

  it("17 · do nothing behind the genuine one: one of fifty-one is processed", () => {
    const initiator = newInitiator(mode);
    const responder = newResponder();
    const genuine = answer(responder, started(initiator))!;
    const noise1 = answer(initiator, genuine);
    for (const forged of forgedAnswers(genuine)) {
      expect(initiator.handlePacket(0, forged)).toBe("ignored");
      expect(initiator.pollTransmit()).toBeUndefined();
    }
    carry(noise1, responder, initiator);
    assertLinked(initiator, responder);
    expect(responder.guessFailed).toBe(false);
  });

  it("17 · before the genuine one: the first is processed, none after it, and the link fails with a clear error", () => {
    const initiator = newInitiator(mode);
    const responder = newResponder();
    const genuine = answer(responder, started(initiator))!;
    const outcomes = [...forgedAnswers(genuine), genuine].map((bytes) => initiator.handlePacket(0, bytes));
    expect(outcomes).toEqual(["advanced", ...Array.from({ length: 50 }, () => "ignored")]);
    const noise1 = initiator.pollTransmit()!;
    expect(responder.handlePacket(0, noise1), "addressed to the forger").toBe("ignored");
    runTimers(initiator, 9999);
    expect(initiator.failure).toBeUndefined();
    runTimers(initiator, 10_000);
    expect([initiator.failure, initiator.keys, responder.guessFailed]).toEqual([failure, undefined, false]);
    expect(initiator.timeoutAt).toBe(Number.POSITIVE_INFINITY);
  });

  it("then silence is no wrong guess: it has a minute, and another name", () => {
    const initiator = newInitiator(mode);
    const noise1 = answer(initiator, answer(newResponder(), started(initiator))!)!;
    runTimers(initiator, 59_999);
    expect(initiator.failure).toBeUndefined();
    expect(initiator.request).toEqual(noise1);
    runTimers(initiator, 70_000);
    expect(initiator.failure).toBe("ERR_TIMEOUT");
  });

  it("survives an outage of half a minute", () => {
    const initiator = newInitiator(mode);
    const responder = newResponder();
    const noise1 = answer(initiator, answer(responder, started(initiator))!)!;
    runTimers(initiator, 30_000);
    carry(noise1, responder, initiator, 30_000);
    assertLinked(initiator, responder);
  });

  it("in the responder's name: its refusal ends the link after a second", () => {
    const initiator = newInitiator(mode);
    const responder = newResponder();
    const genuine = answer(responder, started(initiator))!;
    const [forged] = forgedAnswers(genuine, genuine.slice(AT.sourceId, AT.sourceId + 8));
    carry(answer(initiator, forged!), responder, initiator, 200);
    expect([responder.guessFailed, initiator.failure]).toEqual([true, undefined]);
    runTimers(initiator, 1200);
    expect(initiator.failure).toBe(failure);
  });

  it("from before the code was tried at all: a header that the responder did not send makes no link", () => {
    for (const at of [AT.lowest + 1, AT.features, AT.sourceId]) {
      const initiator = newInitiator(mode);
      const responder = newResponder();
      const genuine = answer(responder, started(initiator))!;
      carry(answer(initiator, edited(genuine, at, [genuine[at]! ^ 1])), responder, initiator);
      expect([initiator.keys, responder.keys], `byte ${at}`).toEqual([undefined, undefined]);
    }
  });
});

describe("a code that is gone", () => {
  it.each(PAKE_MODES)("is refused at once, and after a second believed (%s)", (mode, failure) => {
    const initiator = newInitiator(mode);
    const responder = newResponder({ credentials: { key: true } });
    const notice = answer(responder, started(initiator), 0)!;
    expect(notice.length).toBe(28);
    answer(initiator, notice, 40);
    expect(runTimers(initiator, 1039).length, "it goes on asking").toBe(2);
    initiator.handleTimeout(1040);
    expect(initiator.failure).toBe(failure);
    expect([responder.stage, responder.guessFailed]).toEqual(["waiting", false]);
  });

  it("is refused too when it was burnt between the PAKE and its confirmation", () => {
    const initiator = newInitiator("code");
    const noise1 = answer(initiator, answer(newResponder(), started(initiator))!)!;
    const notice = answer(newResponder({ credentials: {} }, 9), noise1)!;
    answer(initiator, notice, 40);
    runTimers(initiator, 1040);
    expect(initiator.failure).toBe("ERR_WRONG_CODE");
  });

  it("is met with silence by a responder that has the code and has forgotten the PAKE", () => {
    const initiator = newInitiator("code");
    const noise1 = answer(initiator, answer(newResponder(), started(initiator))!)!;
    expect(newResponder({}, 9).handlePacket(0, noise1)).toBe("ignored");
  });
});

describe("a notice", () => {
  it("is forgotten when a valid answer comes within the second", () => {
    for (const reason of ["refused", "busy"] as const) {
      for (const mode of MODES_UNDER_TEST) {
        const initiator = newInitiator(mode);
        const responder = newResponder();
        const first = started(initiator);
        answer(initiator, noticeTo(first, reason), 0);
        carry(first, responder, initiator, 999);
        runTimers(initiator, 3000);
        assertLinked(initiator, responder);
        expect(initiator.failure).toBeUndefined();
      }
    }
  });

  it("does not get more time by being repeated", () => {
    const initiator = newInitiator("code");
    const notice = noticeTo(started(initiator), "busy");
    for (let now = 0; now < 1000; now += 100) answer(initiator, notice, now);
    initiator.handleTimeout(1000);
    expect(initiator.failure).toBe("ERR_BUSY");
  });

  it("that nobody honest sends is ignored", () => {
    const refusedWhere: readonly [Mode, NoticeReason][] = [
      ["key", "refused"],
      ["secret", "refused"],
      ["code", "version"],
    ];
    for (const [mode, reason] of refusedWhere) {
      const initiator = newInitiator(mode);
      expect(initiator.handlePacket(0, noticeTo(started(initiator), reason))).toBe("ignored");
      expect(runTimers(initiator, 5000).length).toBeGreaterThan(4);
      expect(initiator.failure).toBeUndefined();
    }
  });

  it("with another connection ID is ignored", () => {
    const initiator = newInitiator("code");
    const notice = noticeTo(edited(started(initiator), AT.sourceId, [1]), "busy");
    expect(initiator.handlePacket(0, notice)).toBe("ignored");
    runTimers(initiator, 5000);
    expect(initiator.failure).toBeUndefined();
  });

  it("does nothing to a responder, and nothing to a link that stands", () => {
    const initiator = newInitiator("code");
    const responder = newResponder();
    const [first] = complete(initiator, responder);
    for (const side of [initiator, responder]) {
      expect(side.handlePacket(0, noticeTo(first!, "busy"))).toBe("ignored");
      side.handleTimeout(60_000);
      expect([side.failure, side.keys === undefined]).toEqual([undefined, false]);
    }
  });

  it("says busy to a first message only, with its connection ID, in fewer bytes", () => {
    for (const mode of MODES_UNDER_TEST) {
      const initiator = newInitiator(mode);
      const first = started(initiator);
      const notice = busyNotice(first)!;
      expect(notice.length).toBe(28);
      answer(initiator, notice, 10);
      runTimers(initiator, 1010);
      expect(initiator.failure).toBe("ERR_BUSY");
      expect(busyNotice(edited(first, AT.destinationId, [1]))).toBeUndefined();
      expect(busyNotice(first.subarray(1))).toBeUndefined();
    }
    const others = complete(newInitiator("code"), newResponder()).slice(1);
    for (const packet of others) expect(busyNotice(packet)).toBeUndefined();
  });
});

describe("versions that do not meet", () => {
  const pairs = [
    ["an older", { lowest: 0, highest: 1 }, { lowest: 2, highest: 3 }],
    ["a newer", { lowest: 5, highest: 5 }, { lowest: 0, highest: 4 }],
  ] as const;

  it.each(pairs)("are named on both sides (%s initiator)", (_name, mine, theirs) => {
    for (const mode of MODES_UNDER_TEST) {
      const initiator = newInitiator(mode, { versions: mine });
      const responder = newResponder({ versions: theirs });
      const first = started(initiator);
      const notice = answer(responder, first)!;
      expect(notice.length).toBe(28);
      expect([responder.failure, responder.peerVersions]).toEqual(["ERR_VERSION", mine]);
      expect(answer(responder, first), "as often as it is asked").toEqual(notice);
      answer(initiator, notice, 100);
      expect(initiator.peerVersions).toBeUndefined();
      runTimers(initiator, 1100);
      expect([initiator.failure, initiator.peerVersions]).toEqual(["ERR_VERSION", theirs]);
    }
  });

  it("are named even where the mode is unknown", () => {
    const first = started(newInitiator("key", { versions: { lowest: 9, highest: 9 } }));
    const responder = newResponder();
    expect(answer(responder, edited(first, AT.mode, [5]))?.length).toBe(28);
    expect(responder.failure).toBe("ERR_VERSION");
    expect(newResponder().handlePacket(0, edited(started(newInitiator("key")), AT.mode, [5]))).toBe(
      "ignored",
    );
  });

  it("leave a forged notice without effect when the peer speaks ours after all", () => {
    const initiator = newInitiator("key");
    const responder = newResponder();
    const first = started(initiator);
    answer(initiator, noticeTo(first, "version", { lowest: 7, highest: 9 }), 0);
    carry(first, responder, initiator, 500);
    runTimers(initiator, 5000);
    assertLinked(initiator, responder);
    expect(initiator.peerVersions).toBeUndefined();
  });

  it("is not what a PAKE answer can claim", () => {
    const initiator = newInitiator("code");
    const responder = newResponder();
    const genuine = answer(responder, started(initiator))!;
    expect(initiator.handlePacket(0, edited(genuine, AT.lowest, [7, 9]))).toBe("ignored");
    carry(answer(initiator, genuine), responder, initiator);
    assertLinked(initiator, responder);
  });
});

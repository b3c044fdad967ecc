/** One handshake and one transfer each way with an attacker on the path, and the verdict on it, by seed. */
import { equalBytes } from "../../src/base/bytes.ts";
import type { ErrorCode } from "../../src/base/errors.ts";
import type { Mode } from "../../src/engine/handshake/handshake.ts";
import { Random } from "../sim/random.ts";
import { INITIATOR_KEYS, RESPONDER_KEYS } from "../unit/engine/handshake-sides.ts";
import { Attacker, type Manipulation } from "./attacker.ts";
import { type End, STRANGER, TwoEnds } from "./two-ends.ts";

export const ATTACKED_MODES: readonly Mode[] = ["key", "secret", "ticket", "code", "passphrase"];

export interface AttackResult {
  readonly mode: Mode;
  readonly isLinked: boolean;
  readonly manipulations: number;
  readonly done: ReadonlyMap<Manipulation, number>;
  /** What must not happen and did; undefined when nothing did. */
  readonly breach: string | undefined;
}

const TEXT_BYTES = 30_000;
/** How an attempt may end: that no link is made is within an attacker's power, and is told as what it is. */
const HONEST_FAILURES: readonly (ErrorCode | undefined)[] = [
  "ERR_WRONG_CODE",
  "ERR_WRONG_PASSPHRASE",
  "ERR_PEER_KEY",
  "ERR_BUSY",
  "ERR_VERSION",
  "ERR_TIMEOUT",
];

/** Runs the attack of this seed. It never throws for what the attacked do wrong: that is its result. */
export function runAttack(seed: number): AttackResult {
  const random = new Random(seed, "attack");
  const mode = ATTACKED_MODES[seed % ATTACKED_MODES.length]!;
  const rates = { handshake: random.between(0.2, 0.9), data: random.between(0, 0.4) };
  const attacker = new Attacker({ random, mode, rates });
  const is = (expected: Uint8Array) => (key: Uint8Array) => (equalBytes(key, expected) ? "accept" : "refuse");
  // In key mode each side knows the other's key; elsewhere the shared secret is all that counts.
  const byKey = mode === "key";
  const two = new TwoEnds({
    mode,
    seed,
    changes: [
      byKey ? { verifyPeer: is(RESPONDER_KEYS.publicKey), peerKey: RESPONDER_KEYS.publicKey } : {},
      byKey ? { verifyPeer: is(INITIATOR_KEYS.publicKey) } : {},
    ],
  });
  const texts = [random.bytes(TEXT_BYTES), random.bytes(TEXT_BYTES)] as const;
  two.onWire = (parcel) =>
    attacker.handle(parcel.to, parcel.bytes).map(({ to, bytes, isForeign, delayMs }) => ({
      to,
      bytes,
      delayMs,
      ...(isForeign && { from: STRANGER }),
    }));
  const result = (breach: string | undefined): AttackResult => ({
    mode,
    isLinked: two.isLinked,
    manipulations: attacker.manipulations,
    done: attacker.done,
    breach,
  });
  try {
    two.run(20_000, () => two.isLinked || two.ends[0].isClosed);
    if (!two.isLinked) return result(judgeFailure(two));
    two.ends.forEach((end, side) => {
      end.say(texts[side]!);
    });
    two.drain();
    two.run(55_000, () => two.ends.every((end) => end.isFinished || end.isClosed));
    return result(judgeLink(two, texts));
  } catch (error) {
    return result(`it threw: ${(error as Error).stack}`);
  }
}

function judgeFailure(two: TwoEnds): string | undefined {
  const [initiator, responder] = two.ends;
  const { closeCause } = initiator.connection;
  if (closeCause !== undefined && !HONEST_FAILURES.includes(closeCause.code)) {
    return `the initiator gave up with ${initiator.outcome}`;
  }
  // Whoever believes in a link believes in the right peer, even when the other's last word was lost.
  return wrongPeer(initiator, RESPONDER_KEYS.publicKey) ?? wrongPeer(responder, INITIATOR_KEYS.publicKey);
}

function judgeLink(two: TwoEnds, texts: readonly [Uint8Array, Uint8Array]): string | undefined {
  const [initiator, responder] = two.ends;
  const mine = initiator.connection.peer!;
  const theirs = responder.connection.peer!;
  if (!equalBytes(mine.handshakeHash, theirs.handshakeHash)) return "two links where there should be one";
  if (!equalBytes(mine.sendKey, theirs.receiveKey)) return "the keys differ";
  for (const end of two.ends) {
    if (end.isClosed) return `the link of side ${end.side} was ended: ${end.outcome}`;
    if (!end.isFinished) return `side ${end.side} has ${end.text.length} of ${TEXT_BYTES} bytes`;
    if (!equalBytes(end.text, texts[1 - end.side]!)) return `side ${end.side} has other bytes than were sent`;
  }
  if (two.nonces.reuses.length > 0) return two.nonces.reuses[0];
  return wrongPeer(initiator, RESPONDER_KEYS.publicKey) ?? wrongPeer(responder, INITIATOR_KEYS.publicKey);
}

function wrongPeer({ side, connection, isEstablished }: End, expected: Uint8Array): string | undefined {
  const key = connection.peer?.peerStatic;
  if (!isEstablished || key === undefined || equalBytes(key, expected)) return undefined;
  return `side ${side} has a link to somebody else`;
}

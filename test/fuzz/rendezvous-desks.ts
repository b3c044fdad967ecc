/**
 * A rendezvous server without its sockets, under clients that mean well, lie, move and fall silent: it keeps to its
 * limits, sends to nobody that has not proved an address more than that one asked with, mixes no places up, and has
 * nothing left once everybody is gone. Its codecs, under damaged messages.
 */
import { toHex } from "../../src/base/bytes.ts";
import { digestOf } from "../../src/platform/blob-digest.ts";
import type { Client as ServerClient } from "../../src/server/client.ts";
import { USUAL_LIMITS } from "../../src/server/limits.ts";
import { RequestHandler } from "../../src/server/request-handler.ts";
import { decodeLanMessage, encodeLanMessage } from "../../src/wire/lan-message.ts";
import {
  decodeReply,
  decodeRequest,
  encodeReply,
  encodeRequest,
  isRelayed,
  type MailboxRequest,
  sessionOfRelayed,
  writeRelayHead,
} from "../../src/wire/mailbox-messages.ts";
import { broken, type FuzzTarget, same } from "./target.ts";
import type { Xorshift } from "./xorshift.ts";

const STEPS = 300;
const PLACES = 6;
const CLIENTS = 5;
const LIMITS = {
  ...USUAL_LIMITS,
  points: 4,
  entriesPerAddress: 3,
  relays: 2,
  relaysPerAddress: 2,
  relayQuotaBytes: 20_000,
};
const KINDS = ["hello", "meet", "leave", "relayOpen", "relayClose"] as const;
const NO_COOKIE = new Uint8Array(16);

/** Somebody at an address, with all that the server has told it. */
class Client implements ServerClient {
  readonly address: string;
  readonly port = 1;
  readonly isReliable: boolean;
  cookie: Uint8Array = NO_COOKIE;
  readonly sessions: Uint8Array[] = [];
  /** Blobs left by others for each place and side, by the digest. */
  readonly heard: { point: string; side: number; blob: Uint8Array }[] = [];
  sentBytes = 0;

  constructor(number: number, isReliable: boolean) {
    // Two of them behind one address.
    this.address = `192.0.2.${number >> 1}`;
    this.isReliable = isReliable;
  }

  send(bytes: Uint8Array): void {
    this.sentBytes += bytes.length;
    if (isRelayed(bytes)) {
      if (!this.sessions.some((one) => toHex(one) === toHex(sessionOfRelayed(bytes)))) {
        broken("a datagram was relayed to who has no such end");
      }
      return;
    }
    const reply = decodeReply(bytes);
    if (reply === undefined) broken("the server sent what cannot be read");
    if (reply.kind === "cookie") this.cookie = Uint8Array.from(reply.cookie);
    else if (reply.kind === "relayState") this.sessions.push(Uint8Array.from(reply.session));
    else if (reply.kind === "state" && reply.blob.length > 0) {
      same(toHex(reply.peerDigest), toHex(digestOf(reply.blob)), "the digest of a blob");
      this.heard.push({ point: toHex(reply.point), side: reply.side, blob: reply.blob });
    }
  }

  equals(other: ServerClient): boolean {
    return other === this;
  }
}

export const rendezvousDesks: FuzzTarget = {
  name: "rendezvous-desk",
  inputsPerRun: STEPS,
  weight: 1,
  run(random) {
    let nowMs = 0;
    const handler = new RequestHandler(nowMs, LIMITS);
    const clients = Array.from({ length: CLIENTS }, (_, number) => new Client(number, number === 4));
    /** All blobs that were ever left at a place and side. */
    const left = new Set<string>();
    for (let step = 0; step < STEPS; step++) {
      nowMs += random.oneIn(20) ? random.below(130_000) : random.below(300);
      const client = random.pick(clients);
      if (random.oneIn(12)) handler.sweep(nowMs);
      else if (random.oneIn(8)) handler.mailbox.pushDue(nowMs);
      else act(random, handler, nowMs, client, left);
      check(handler, clients, left);
    }
    nowMs += 1_000_000;
    handler.sweep(nowMs);
    same(handler.mailbox.pushDue(nowMs), Infinity, "what is to be told when nobody is left");
    const { points, waiting, relays } = handler.statistics;
    same(`${points} ${waiting} ${relays}`, "0 0 0", "what is left of places, entries and relays");
  },
};

function act(
  random: Xorshift,
  handler: RequestHandler,
  nowMs: number,
  client: Client,
  left: Set<string>,
): void {
  const bytes = messageOf(random, client, left);
  const isProved = client.isReliable || client.cookie !== NO_COOKIE;
  client.sentBytes = 0;
  if (client.isReliable) handler.handleMessage(nowMs, client, bytes);
  else handler.handleDatagram(nowMs, client, bytes);
  if (!isProved && client.sentBytes > bytes.length) {
    broken(`${client.sentBytes} bytes to an unproved address that sent ${bytes.length}`);
  }
}

function messageOf(random: Xorshift, client: Client, left: Set<string>): Uint8Array {
  const session = client.sessions.at(random.below(client.sessions.length + 1));
  if (session !== undefined && random.oneIn(3)) {
    const relayed = random.bytes(9 + random.below(1400));
    writeRelayHead(relayed, random.oneIn(8) ? random.bytes(8) : session);
    return relayed;
  }
  const point = new Uint8Array(32).fill(random.below(PLACES));
  const side = random.below(2) as 0 | 1;
  const fields = { transaction: random.bytes(8), cookie: random.oneIn(16) ? NO_COOKIE : client.cookie };
  const kind = random.oneIn(2) ? "meet" : random.pick(KINDS);
  let request: MailboxRequest;
  if (kind === "hello") request = { kind, transaction: fields.transaction };
  else if (kind === "meet") {
    const blob = random.bytes(random.oneIn(3) ? 0 : 1 + random.below(1024));
    left.add(`${toHex(point)} ${side} ${toHex(blob)}`);
    const localDigest = digestOf(blob);
    const known = client.heard.at(-1);
    const peerDigest = known !== undefined && random.oneIn(2) ? digestOf(known.blob) : new Uint8Array(8);
    request = { kind, ...fields, point, side, localDigest, peerDigest, blob };
  } else request = { kind, ...fields, point, side };
  const bytes = encodeRequest(request);
  if (!random.oneIn(10)) return bytes;
  // Damage makes another blob that nobody has written down: only what has none is damaged.
  if (request.kind === "meet" && request.blob.length > 0) return bytes;
  return bytes.subarray(0, random.mutate(bytes, bytes.length));
}

function check(handler: RequestHandler, clients: readonly Client[], left: ReadonlySet<string>): void {
  const { points, waiting, relays } = handler.statistics;
  if (points > LIMITS.points || waiting > 2 * points) broken(`${waiting} wait at ${points} places`);
  if (relays > LIMITS.relays) broken(`${relays} relayed connections`);
  for (const client of clients) {
    for (const { point, side, blob } of client.heard) {
      if (!left.has(`${point} ${1 - side} ${toHex(blob)}`)) broken("a blob came from another place or side");
    }
    client.heard.splice(0, client.heard.length - 1);
  }
}

export const mailboxMessages: FuzzTarget = {
  name: "mailbox-message",
  inputsPerRun: 600,
  weight: 2,
  run(random) {
    for (let input = 0; input < this.inputsPerRun; input += 3) {
      const fields = {
        transaction: random.bytes(8),
        point: random.bytes(32),
        side: random.below(2) as 0 | 1,
      };
      const blobs = {
        localDigest: random.bytes(8),
        peerDigest: random.bytes(8),
        blob: random.bytes(random.below(60)),
      };
      const request = encodeRequest({ kind: "meet", ...fields, cookie: random.bytes(16), ...blobs });
      readsBack(damaged(random, request), decodeRequest, encodeRequest);
      const reply = encodeReply({ kind: "state", ...fields, ...blobs });
      readsBack(damaged(random, reply), decodeReply, encodeReply);
      const said = encodeLanMessage({ ...fields, peerDigest: blobs.peerDigest, blob: blobs.blob });
      readsBack(damaged(random, said), decodeLanMessage, encodeLanMessage);
    }
  },
};

/** What is read of a message makes a message that reads the same. */
function readsBack<T>(
  bytes: Uint8Array,
  decode: (bytes: Uint8Array) => T | undefined,
  encode: (message: T) => Uint8Array,
): void {
  const message = decode(bytes);
  if (message === undefined) return;
  const again = encode(message);
  if (again.length > Math.max(bytes.length, 26)) broken("a message grew by being read");
  const second = decode(again);
  if (second === undefined) broken("what was read cannot be written");
  same(toHex(encode(second)), toHex(again), "the message written again");
}

function damaged(random: Xorshift, bytes: Uint8Array): Uint8Array {
  if (random.oneIn(4)) return bytes;
  return bytes.subarray(0, random.mutate(bytes, bytes.length));
}

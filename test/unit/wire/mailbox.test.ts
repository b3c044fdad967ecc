import { describe, expect, it } from "vitest";
import {
  BLOB_LIMIT_BYTES,
  decodeReply,
  decodeRequest,
  encodeReply,
  encodeRequest,
  isRelayed,
  type MailboxReply,
  type MailboxRequest,
  sessionOfRelayed,
  writeRelayHead,
} from "../../../src/wire/mailbox-messages.ts";
import { PACKET_RENDEZVOUS } from "../../../src/wire/packet.ts";

const filled = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);
const head = { transaction: filled(8, 1), cookie: filled(16, 2), point: filled(32, 3), side: 1 } as const;
const blobs = { localDigest: filled(8, 4), peerDigest: filled(8, 5), blob: filled(BLOB_LIMIT_BYTES, 6) };

const REQUESTS: readonly MailboxRequest[] = [
  { kind: "hello", transaction: filled(8, 1) },
  { kind: "meet", ...head, ...blobs },
  { kind: "meet", ...head, ...blobs, side: 0, blob: filled(0, 0) },
  { kind: "leave", ...head },
  { kind: "relayOpen", ...head },
  { kind: "relayClose", ...head },
];
const REPLIES: readonly MailboxReply[] = [
  { kind: "cookie", transaction: filled(8, 1), cookie: filled(16, 2) },
  { kind: "state", transaction: filled(8, 1), point: filled(32, 3), side: 0, ...blobs },
  { kind: "refused", transaction: filled(8, 1), point: filled(32, 3), side: 1, reason: 2 },
  {
    kind: "relayState",
    transaction: filled(8, 1),
    point: filled(32, 3),
    side: 1,
    session: filled(8, 7),
    isPeerPresent: true,
    rateBytes: 1_000_000,
  },
];

describe("mailbox messages", () => {
  it("survive their coding, and no truncation of them is taken for one", () => {
    for (const request of REQUESTS) {
      const bytes = encodeRequest(request);
      expect(decodeRequest(bytes)).toEqual(request);
      for (let end = 0; end < bytes.length; end++)
        expect(decodeRequest(bytes.subarray(0, end))).toBeUndefined();
      expect(decodeReply(bytes)).toBeUndefined();
    }
    for (const reply of REPLIES) {
      const bytes = encodeReply(reply);
      expect(decodeReply(bytes)).toEqual(reply);
      for (let end = 0; end < bytes.length; end++)
        expect(decodeReply(bytes.subarray(0, end))).toBeUndefined();
    }
  });

  it("carry the server's time to whoever asks for it, and mean the same without it", () => {
    const hello = { kind: "hello", transaction: filled(8, 1) } as const;
    const asking = encodeRequest({ ...hello, wantsTime: true });
    expect(decodeRequest(asking)).toEqual({ ...hello, wantsTime: true });
    const cookie = { kind: "cookie", transaction: filled(8, 1), cookie: filled(16, 2) } as const;
    const timed = encodeReply({ ...cookie, timeMs: 1_800_000_000_123 });
    expect(timed.length).toBe(asking.length);
    expect(decodeReply(timed)).toEqual({ ...cookie, timeMs: 1_800_000_000_123 });
    const plain = encodeRequest(hello).length;
    for (let end = plain; end < timed.length; end++) {
      expect(decodeRequest(asking.subarray(0, end))).toEqual(hello);
      expect(decodeReply(timed.subarray(0, end))).toEqual(cookie);
    }
  });

  it("are answered before the proof of an address with no more bytes than they have", () => {
    const answer = encodeReply(REPLIES[0]!).length;
    for (const request of REQUESTS) expect(encodeRequest(request).length).toBeGreaterThanOrEqual(answer);
  });

  it("are refused in another version, from a third side, and with a blob beyond the limit", () => {
    const bytes = encodeRequest(REQUESTS[1]!);
    expect(decodeRequest(Uint8Array.from(bytes, (byte, at) => (at === 1 ? 1 : byte)))).toBeUndefined();
    expect(decodeRequest(Uint8Array.from(bytes, (byte, at) => (at === 58 ? 2 : byte)))).toBeUndefined();
    const longer = encodeRequest({ kind: "meet", ...head, ...blobs, blob: filled(BLOB_LIMIT_BYTES + 1, 6) });
    expect(decodeRequest(longer)).toBeUndefined();
  });
});

describe("a relayed datagram", () => {
  it("names its session in front of the payload", () => {
    const bytes = filled(20, 9);
    expect(isRelayed(bytes)).toBe(false);
    writeRelayHead(bytes, filled(8, 7));
    expect(isRelayed(bytes)).toBe(true);
    expect(sessionOfRelayed(bytes)).toEqual(filled(8, 7));
    expect(bytes.subarray(9)).toEqual(filled(11, 9));
    expect(bytes[0]! & 0xf0).toBe(PACKET_RENDEZVOUS);
  });
});

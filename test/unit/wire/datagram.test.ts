/** Received buffers that hold several datagrams are taken apart where they were joined. */

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { concatBytes } from "../../../src/base/bytes.ts";
import { CHECK_BYTES } from "../../../src/wire/check.ts";
import { strideOf } from "../../../src/wire/datagram.ts";
import { CHECK_REQUEST, HEADER_BYTES, PACKET_OVERHEAD_BYTES, writeHeader } from "../../../src/wire/packet.ts";

const ID = Uint8Array.from({ length: 8 }, (_, i) => 0x11 * i);

function packet(bytes: number, filling = 0xab): Uint8Array {
  const packet = new Uint8Array(bytes).fill(filling);
  writeHeader(packet, 0, 0, ID, 77, bytes - HEADER_BYTES);
  return packet;
}

describe("a received buffer", () => {
  it("of one packet is one datagram", () => {
    expect(strideOf(packet(1452))).toBe(1452);
  });

  it("of equal packets with a shorter one behind is taken apart at their length", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: PACKET_OVERHEAD_BYTES, max: 1472 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: PACKET_OVERHEAD_BYTES, max: 1472 }),
        (length, count, last) => {
          const parts = Array.from({ length: count }, () => packet(length));
          if (last < length) parts.push(packet(last));
          expect(strideOf(concatBytes(...parts))).toBe(length);
        },
      ),
    );
  });

  it("is taken apart rightly when a stranger's datagram of equal length got in anywhere", () => {
    for (let point = 0; point < 6; point++) {
      for (const claimed of [undefined, 100, 900, 4000]) {
        const parts = Array.from({ length: 6 }, () => packet(1200));
        const junk = new Uint8Array(1200).fill(0x55);
        // Of our shape, with a length that is not true.
        if (claimed !== undefined) writeHeader(junk, 0, 0, ID, 1, claimed);
        parts[point] = junk;
        expect(strideOf(concatBytes(...parts))).toBe(1200);
      }
    }
  });

  it("of two connectivity checks is two, and so are a packet and the check behind it", () => {
    const check = new Uint8Array(CHECK_BYTES).fill(CHECK_REQUEST, 0, 1);
    expect(strideOf(concatBytes(check, check))).toBe(CHECK_BYTES);
    expect(strideOf(concatBytes(packet(1200), check))).toBe(1200);
  });

  it("of two STUN messages is two", () => {
    const request = new Uint8Array(28);
    request.set([0, 1, 0, 8]);
    expect(strideOf(concatBytes(request, request))).toBe(28);
  });

  it("of junk is one datagram, whatever the junk says", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 3000 }), (bytes) => {
        const stride = strideOf(bytes);
        expect(stride).toBeGreaterThan(0);
        expect(stride).toBeLessThanOrEqual(bytes.length);
      }),
    );
    expect(strideOf(new Uint8Array(1500).fill(0xc0))).toBe(1500);
  });
});

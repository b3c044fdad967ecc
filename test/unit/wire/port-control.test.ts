import fc from "fast-check";
import { expect, it } from "vitest";
import { fromHex, toHex } from "../../../src/base/bytes.ts";
import {
  type MappingRequest,
  natPmpAddressRequest,
  natPmpMapRequest,
  parsePortControl,
  pcpMapRequest,
} from "../../../src/wire/port-control.ts";

const REQUEST: MappingRequest = {
  address: "192.168.1.2",
  internalPort: 0x1234,
  externalPort: 0x5678,
  lifetimeS: 7200,
  nonce: fromHex("000102030405060708090a0b"),
};
const hex = (text: string): string => text.replace(/\s/g, "");

it("writes PCP's request as RFC 6887 figures 2 and 9 draw it", () => {
  expect(toHex(pcpMapRequest(REQUEST))).toBe(
    hex(`02 01 0000 00001c20 00000000000000000000ffffc0a80102
      000102030405060708090a0b 11 000000 1234 5678 00000000000000000000ffff00000000`),
  );
  const v6 = toHex(pcpMapRequest({ ...REQUEST, address: "2001:db8::2" }));
  expect(v6.slice(16, 48)).toBe("20010db8000000000000000000000002");
  expect(v6.slice(88)).toBe("0".repeat(32));
});

it("writes NAT-PMP's requests as RFC 6886 draws them", () => {
  expect(toHex(natPmpMapRequest(REQUEST))).toBe("000100001234567800001c20");
  expect(toHex(natPmpMapRequest({ ...REQUEST, lifetimeS: 0 }))).toBe("000100001234000000000000");
  expect(toHex(natPmpAddressRequest())).toBe("0000");
});

it("reads the answers of either", () => {
  const pcp = hex(`02 81 00 00 00000e10 00000001 000000000000000000000000
    000102030405060708090a0b 11 000000 1234 9999 00000000000000000000ffffcb007105`);
  expect(parsePortControl(fromHex(pcp))).toEqual({
    kind: "mapped",
    internalPort: 0x1234,
    externalPort: 0x9999,
    externalAddress: "203.0.113.5",
    lifetimeS: 3600,
    nonce: REQUEST.nonce,
  });
  expect(parsePortControl(fromHex("008100000000000112349999 00000e10".replace(" ", "")))).toMatchObject({
    kind: "mapped",
    internalPort: 0x1234,
    externalPort: 0x9999,
    externalAddress: undefined,
    lifetimeS: 3600,
  });
  expect(parsePortControl(fromHex("0080000000000001cb007105"))).toEqual({
    kind: "address",
    externalAddress: "203.0.113.5",
  });
  expect(parsePortControl(fromHex("0081000100000001"))).toEqual({ kind: "version" });
  expect(parsePortControl(fromHex(`${pcp.slice(0, 6)}08${pcp.slice(8)}`))).toEqual({
    kind: "refused",
    code: 8,
  });
});

it("takes nothing for an answer that is none", () => {
  // Requests are no answers: a router that echoes has granted nothing.
  expect(parsePortControl(pcpMapRequest(REQUEST))).toBeUndefined();
  expect(parsePortControl(natPmpMapRequest(REQUEST))).toBeUndefined();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
      const answer = parsePortControl(bytes);
      if (answer?.kind === "mapped") expect(bytes.length).toBeGreaterThanOrEqual(16);
    }),
  );
});

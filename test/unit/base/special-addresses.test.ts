/** The table of special addresses: the boundaries of each range, and what its users make of them. */
import { describe, expect, it } from "vitest";
import { isOpenTo } from "../../../src/app/forward/permissions/special-ranges.ts";
import { type AddressRange, SPECIAL_IPV4, SPECIAL_IPV6 } from "../../../src/base/special-addresses.ts";
import { localAddresses } from "../../../src/cli/reports/local-addresses.ts";
import { type AddressScope, addressScope } from "../../../src/punch/address-scope.ts";
import { ipFromBytes, ipToBytes, isInRange } from "../../../src/wire/ip-address.ts";

interface Row {
  readonly range: AddressRange;
  readonly last: string;
  /** The neighbours just outside; undefined where the address space ends. */
  readonly before: string | undefined;
  readonly after: string | undefined;
  /** Where a check may go. */
  readonly scope: AddressScope;
}

const row = (
  range: AddressRange,
  last: string,
  before: string | undefined,
  after: string | undefined,
  scope: AddressScope,
): Row => ({ range, last, before, after, scope });

const V4 = SPECIAL_IPV4;
const V6 = SPECIAL_IPV6;
const ONES = "ffff:ffff";
const ROWS: readonly Row[] = [
  row(V4.thisNetwork, "0.255.255.255", undefined, "1.0.0.0", "unusable"),
  row(V4.private10, "10.255.255.255", "9.255.255.255", "11.0.0.0", "private"),
  row(V4.shared, "100.127.255.255", "100.63.255.255", "100.128.0.0", "shared"),
  row(V4.loopback, "127.255.255.255", "126.255.255.255", "128.0.0.0", "loopback"),
  row(V4.azureMetadata, "168.63.129.16", "168.63.129.15", "168.63.129.17", "global"),
  row(V4.linkLocal, "169.254.255.255", "169.253.255.255", "169.255.0.0", "linkLocal"),
  row(V4.private172, "172.31.255.255", "172.15.255.255", "172.32.0.0", "private"),
  row(V4.protocolAssignments, "192.0.0.255", "191.255.255.255", "192.0.1.0", "global"),
  row(V4.private192, "192.168.255.255", "192.167.255.255", "192.169.0.0", "private"),
  row(V4.benchmarking, "198.19.255.255", "198.17.255.255", "198.20.0.0", "global"),
  row(V4.multicast, "239.255.255.255", "223.255.255.255", "240.0.0.0", "unusable"),
  row(V4.reserved, "255.255.255.255", "239.255.255.255", undefined, "unusable"),
  row(V6.loopback, "::1", "::", "::2", "loopback"),
  row(V6.ipv4Compatible, `::${ONES}`, undefined, "::1:0:0", "unusable"),
  row(V6.zeroPrefix, `::ffff:${ONES}`, undefined, "::1:0:0:0", "unusable"),
  row(V6.ipv4Translated, `::ffff:0:${ONES}`, `::fffe:ffff:${ONES}`, "::ffff:1:0:0", "global"),
  row(V6.nat64, `64:ff9b::${ONES}`, `64:ff9a:ffff:ffff:${ONES}:${ONES}`, "64:ff9b::1:0:0", "global"),
  row(
    V6.localNat64,
    `64:ff9b:1:ffff:${ONES}:${ONES}`,
    `64:ff9b:0:ffff:${ONES}:${ONES}`,
    "64:ff9b:2::",
    "global",
  ),
  row(V6.teredo, `2001:0:${ONES}:${ONES}:${ONES}`, `2000:ffff:${ONES}:${ONES}:${ONES}`, "2001:1::", "global"),
  row(
    V6.sixToFour,
    `2002:ffff:${ONES}:${ONES}:${ONES}`,
    `2001:ffff:${ONES}:${ONES}:${ONES}`,
    "2003::",
    "global",
  ),
  row(
    V6.uniqueLocal,
    `fdff:ffff:${ONES}:${ONES}:${ONES}`,
    `fbff:ffff:${ONES}:${ONES}:${ONES}`,
    "fe00::",
    "private",
  ),
  row(
    V6.linkLocal,
    `febf:ffff:${ONES}:${ONES}:${ONES}`,
    `fe7f:ffff:${ONES}:${ONES}:${ONES}`,
    "fec0::",
    "linkLocal",
  ),
  row(
    V6.siteLocal,
    `feff:ffff:${ONES}:${ONES}:${ONES}`,
    `febf:ffff:${ONES}:${ONES}:${ONES}`,
    "ff00::",
    "global",
  ),
  row(
    V6.multicast,
    `ffff:ffff:${ONES}:${ONES}:${ONES}`,
    `feff:ffff:${ONES}:${ONES}:${ONES}`,
    undefined,
    "unusable",
  ),
];

const named = ROWS.map((one) => ({ name: `${one.range.address}/${one.range.prefixBits}`, ...one }));

describe("the table of special addresses", () => {
  it("has a row in this test for each range", () => {
    const all = [...Object.values(SPECIAL_IPV4), ...Object.values(SPECIAL_IPV6)];
    expect(ROWS.map(({ range }) => range)).toEqual(all);
  });

  it.each(named)("spells $name canonically, with no bit behind the prefix", ({ range }) => {
    const bytes = ipToBytes(range.address)!;
    expect(ipFromBytes(bytes)).toBe(range.address);
    const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
    expect(bits.slice(range.prefixBits)).not.toContain("1");
  });

  it.each(named)("$name contains its first and its last address, and not their neighbours", (one) => {
    const { range, last, before, after } = one;
    expect([range.address, last].map((address) => isInRange(address, range))).toEqual([true, true]);
    const outside = [before, after].filter((address) => address !== undefined);
    expect(outside.map((address) => isInRange(address, range))).toEqual(outside.map(() => false));
  });

  it("has no IPv4 address in an IPv6 range, and no IPv6 address in an IPv4 range", () => {
    expect(isInRange("0.0.0.0", SPECIAL_IPV6.zeroPrefix)).toBe(false);
    expect(isInRange("::", SPECIAL_IPV4.thisNetwork)).toBe(false);
    expect(isInRange("localhost", SPECIAL_IPV4.loopback)).toBe(false);
  });
});

describe("the users of the table", () => {
  it.each(named)("take the last address of $name for $scope", ({ last, scope }) => {
    expect(addressScope(last)).toBe(scope);
  });

  // `::ffff:…` is an IPv4 address to permissions before they look at ranges.
  it.each(named.filter(({ range }) => range !== SPECIAL_IPV6.zeroPrefix))(
    "cover the last address of $name by no pattern for every address",
    ({ last }) => expect(isOpenTo(last, undefined)).toBe(false),
  );

  it("cover ordinary addresses just outside the ranges", () => {
    for (const address of ["1.0.0.0", "9.255.255.255", "128.0.0.0", "2001:1::", "2003::", "64:ff9b:2::"]) {
      expect(isOpenTo(address, undefined)).toBe(true);
      expect(addressScope(address)).toBe("global");
    }
  });

  it("show no link-local address, with or without a zone", () => {
    const shown = (address: string): string[] => {
      const family = address.includes(":") ? "IPv6" : "IPv4";
      return localAddresses(undefined, { eth0: [{ address, family, internal: false }] } as never);
    };
    for (const address of ["169.254.0.0", "169.254.255.255", "fe80::1", "FEBF::1", "fe80::1%eth0"])
      expect(shown(address)).toEqual([]);
    for (const address of ["169.253.255.255", "169.255.0.0", "fe7f::1", "fec0::1", "fd00::1"])
      expect(shown(address)).toEqual([address]);
  });
});

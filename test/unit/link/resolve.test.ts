import { describe, expect, it } from "vitest";
import { alternateFamilies, resolveHost } from "../../../src/link/resolve.ts";
import { addressesInHosts } from "../../../src/platform/name-lookup.ts";
import { formatAddress, parseAddress } from "../../../src/platform/udp/address.ts";

describe("an address", () => {
  it.each([
    ["192.0.2.7", { address: "192.0.2.7", family: 4 }],
    ["2001:DB8:0:0:0:0:0:1", { address: "2001:db8::1", family: 6 }],
    ["fe80::0001%eth0", { address: "fe80::1%eth0", family: 6 }],
    ["::ffff:192.0.2.7", { address: "192.0.2.7", family: 4 }],
    ["0.0.0.0", { address: "127.0.0.1", family: 4 }],
    ["::", { address: "::1", family: 6 }],
  ])("%s is spelt as a received datagram spells it", (text, parsed) => {
    expect(parseAddress(text)).toEqual(parsed);
  });

  it.each(["localhost", "", "1.2.3", "[::1]", "2130706433"])("is not what %j is", (text) => {
    expect(parseAddress(text)).toBeUndefined();
  });

  it("with a port has brackets when it is IPv6", () => {
    expect(formatAddress({ address: "::1", port: 42, family: 6 })).toBe("[::1]:42");
    expect(formatAddress({ address: "192.0.2.7", port: 42, family: 4 })).toBe("192.0.2.7:42");
  });
});

describe("a host", () => {
  it("that is an address needs no look-up", async () => {
    expect(await resolveHost("::1", { names: false })).toEqual([{ address: "::1", family: 6 }]);
  });

  it("that is a name has addresses on this machine", async () => {
    const found = await resolveHost("localhost");
    expect(found.length).toBeGreaterThan(0);
    for (const { address } of found) expect(["127.0.0.1", "::1"]).toContain(address);
  });

  it.each([
    ["a name where no names are looked up", "localhost", { names: false }],
    ["an address of the other family", "127.0.0.1", { family: 6 }],
    ["a name that nobody has", "no-such-host.invalid", {}],
  ] as const)("is unknown when it is %s", async (_, host, options) => {
    await expect(resolveHost(host, options)).rejects.toMatchObject({ code: "ERR_HOST_UNKNOWN" });
  });

  it("has its families take turns, the preferred one first, without doubles", () => {
    const found = ["2001:db8::1", "2001:db8::2", "2001:db8::1", "192.0.2.1", "2001:db8::3"];
    const order = alternateFamilies(found.map((address) => ({ address }))).map(({ address }) => address);
    expect(order).toEqual(["2001:db8::1", "192.0.2.1", "2001:db8::2", "2001:db8::3"]);
  });
});

describe("a hosts file", () => {
  const text = [
    "# addresses of this network",
    "127.0.0.1\tlocalhost",
    "192.0.2.7  Office.example office # the server",
    "  2001:db8::7 office.example",
    "192.0.2.7 office.example",
    "not-an-address office.example",
    "fe80::1%eth0 router",
  ].join("\n");

  it.each([
    ["office.example", ["192.0.2.7", "2001:db8::7"]],
    ["OFFICE.EXAMPLE.", ["192.0.2.7", "2001:db8::7"]],
    ["office", ["192.0.2.7"]],
    ["router", ["fe80::1%eth0"]],
    ["server", []],
    ["192.0.2.7", []],
  ])("names %s as it says", (name, addresses) => {
    expect(addressesInHosts(text, name)).toEqual(addresses);
  });
});

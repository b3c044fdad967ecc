import { describe, expect, it } from "vitest";
import { addressScope, isOnSameSite, isPlausible } from "../../../src/punch/address-scope.ts";

const HOSTS = [{ address: "192.168.1.2" }, { address: "2001:db8:1:2::3" }, { address: "fd00:1:2:3::4" }];

describe("the scope of an address", () => {
  it.each([
    ["192.0.2.1", "global"],
    ["172.15.255.255", "global"],
    ["172.16.0.1", "private"],
    ["172.31.255.255", "private"],
    ["172.32.0.1", "global"],
    ["10.0.0.1", "private"],
    ["192.168.0.1", "private"],
    ["100.63.0.1", "global"],
    ["100.64.0.1", "shared"],
    ["100.127.255.254", "shared"],
    ["169.254.169.254", "linkLocal"],
    ["127.0.0.1", "loopback"],
    ["0.0.0.0", "unusable"],
    ["224.0.0.251", "unusable"],
    ["239.255.255.250", "unusable"],
    ["255.255.255.255", "unusable"],
    ["2001:db8::1", "global"],
    ["fe80::1", "linkLocal"],
    ["fe80::1%eth0", "linkLocal"],
    ["fd00::1", "private"],
    ["::1", "loopback"],
    ["::", "unusable"],
    ["ff02::fb", "unusable"],
    ["::ffff:10.0.0.1", "unusable"],
    ["::10.0.0.1", "unusable"],
    ["relay", "unusable"],
    ["", "unusable"],
  ])("%s is %s", (address, scope) => expect(addressScope(address)).toBe(scope));
});

describe("a candidate of somebody else", () => {
  it.each(["192.0.2.1", "2001:db8::1", "192.168.1.77", "192.168.44.1".replace("44", "1"), "fd00:1:2:9::1"])(
    "may be %s",
    (address) => expect(isPlausible(address, 4242, HOSTS, "site")).toBe(true),
  );

  it.each([
    ["another private network", "10.0.0.1"],
    ["a carrier's own network", "100.64.0.1"],
    ["the cloud's metadata", "169.254.169.254"],
    ["this machine", "127.0.0.1"],
    ["this machine by IPv6", "::1"],
    ["multicast", "224.0.0.251"],
    ["broadcast", "255.255.255.255"],
    ["another unique local network", "fd00:9::1"],
    ["IPv4 in IPv6 clothes", "::ffff:192.168.1.3"],
  ])("may not be %s", (_, address) => {
    expect(isPlausible(address, 4242, HOSTS, "site")).toBe(false);
  });

  it("needs a port", () => {
    for (const port of [0, -1, 65536, 1.5, Number.NaN])
      expect(isPlausible("192.0.2.1", port, HOSTS, "site")).toBe(false);
  });

  it("is on this machine only where the own candidates are too", () => {
    expect(isPlausible("127.0.0.1", 1, [{ address: "127.0.0.1" }], "site")).toBe(true);
  });
});

describe("one site", () => {
  it("is one network where that matters, and what is routed around it elsewhere", () => {
    expect(isOnSameSite("192.168.1.2", "192.168.9.2")).toBe(true);
    expect(isOnSameSite("192.168.1.2", "192.168.9.2", "network")).toBe(false);
    expect(isOnSameSite("192.168.1.2", "192.168.1.9", "network")).toBe(true);
    expect(isOnSameSite("192.168.1.2", "192.169.1.2")).toBe(false);
  });

  it("says nothing of public IPv4 addresses, which neighbours need not share", () => {
    expect(isOnSameSite("192.0.2.1", "192.0.2.2")).toBe(false);
    expect(isOnSameSite("192.0.2.1", "192.0.2.1")).toBe(true);
    expect(isOnSameSite("2001:db8:1:2::3", "2001:db8:1:2::9")).toBe(true);
    expect(isOnSameSite("2001:db8:1:2::3", "2001:db8:1:3::9")).toBe(false);
  });
});

import { describe, expect, it } from "vitest";
import { isLocalAddress } from "../../../src/platform/udp/local-address.ts";

const entry = { netmask: "", mac: "", internal: false, cidr: null } as const;
const INTERFACES: Parameters<typeof isLocalAddress>[1] = {
  eth0: [
    { ...entry, address: "192.0.2.7", family: "IPv4" },
    { ...entry, address: "fe80::1", family: "IPv6", scopeid: 2 },
  ],
};

describe("a local address", () => {
  it.each(["127.0.0.1", "127.3.2.1", "::1", "192.0.2.7", "fe80::1", "fe80::1%eth0"])("is %s", (address) => {
    expect(isLocalAddress(address, INTERFACES)).toBe(true);
  });

  it.each(["192.0.2.8", "2001:db8::7", "fe80::2%eth0"])("is not %s", (address) => {
    expect(isLocalAddress(address, INTERFACES)).toBe(false);
  });
});

import { describe, expect, it } from "vitest";
import { localAddresses } from "../../../src/cli/reports/local-addresses.ts";

const entry = (address: string, internal = false) => ({
  address,
  internal,
  family: (address.includes(":") ? "IPv6" : "IPv4") as "IPv4" & "IPv6",
  netmask: "",
  mac: "",
  cidr: null,
  scopeid: 0,
});

describe("this machine's addresses", () => {
  const interfaces = {
    lo: [entry("127.0.0.1", true), entry("::1", true)],
    eth0: [entry("fe80::1"), entry("2001:db8::7"), entry("192.0.2.7"), entry("169.254.3.4")],
    eth0_again: [entry("192.0.2.7")],
  };

  it("leave out loopback and link-local ones and doubles, and begin with IPv4", () => {
    expect(localAddresses(undefined, interfaces)).toEqual(["192.0.2.7", "2001:db8::7"]);
  });

  it("are of one family where only that is wanted", () => {
    expect(localAddresses(4, interfaces)).toEqual(["192.0.2.7"]);
    expect(localAddresses(6, interfaces)).toEqual(["2001:db8::7"]);
  });

  it("are loopback where there is nothing else", () => {
    expect(localAddresses(undefined, { lo: interfaces.lo })).toEqual(["127.0.0.1", "::1"]);
    expect(localAddresses(4, { lo: interfaces.lo })).toEqual(["127.0.0.1"]);
    expect(localAddresses(4, {})).toEqual([]);
  });
});

import type { NetworkInterfaceInfo } from "node:os";
import { expect, it } from "vitest";
import { InterfaceWatch } from "../../../src/traversal/gather/gatherer.ts";
import { hostCandidates, isOwnAddress } from "../../../src/traversal/gather/host-candidates.ts";

function entry(address: string): NetworkInterfaceInfo {
  const isV6 = address.includes(":");
  const common = { address, netmask: "", mac: "", internal: address.startsWith("127."), cidr: null };
  return isV6 ? { ...common, family: "IPv6", scopeid: 0 } : { ...common, family: "IPv4" };
}

const INTERFACES = {
  tailscale0: [entry("100.101.102.103"), entry("fd7a:115c:a1e0::1")],
  docker0: [entry("172.17.0.1")],
  lo: [entry("127.0.0.1"), entry("::1")],
  wg0: [entry("10.66.0.2")],
  eth0: [entry("192.168.1.2"), entry("2001:db8::2"), entry("fe80::2"), entry("fd00::2")],
  eth1: [entry("198.51.100.2"), entry("169.254.3.4")],
};

const texts = (address: string, family: 4 | 6) =>
  hostCandidates({ address, port: 9, family }, INTERFACES).map(
    (candidate) => candidate.address + (candidate.isTunnel ? " tunnel" : ""),
  );

it("ranks networks before bridges, tunnels last, and leaves loopback and link-local out", () => {
  expect(texts("0.0.0.0", 4)).toEqual([
    "192.168.1.2",
    "198.51.100.2",
    "172.17.0.1",
    "100.101.102.103 tunnel",
    "10.66.0.2 tunnel",
  ]);
  expect(texts("::", 6)).toEqual(["fd00::2", "2001:db8::2", "fd7a:115c:a1e0::1 tunnel"]);
});

it("keeps to the address that the socket is bound to", () => {
  expect(texts("192.168.1.2", 4)).toEqual(["192.168.1.2"]);
  expect(texts("127.0.0.1", 4)).toEqual(["127.0.0.1"]);
});

it("offers loopback where there is nothing else", () => {
  const found = hostCandidates({ address: "0.0.0.0", port: 9, family: 4 }, { lo: INTERFACES.lo });
  expect(found).toEqual([{ kind: "host", address: "127.0.0.1", port: 9, family: 4 }]);
});

it("knows which addresses are this machine's", () => {
  expect(isOwnAddress("198.51.100.2", INTERFACES)).toBe(true);
  expect(isOwnAddress("198.51.100.3", INTERFACES)).toBe(false);
});

it("notices a changed address, and only that", async () => {
  let interfaces: Record<string, NetworkInterfaceInfo[]> = { eth0: INTERFACES.eth0, lo: INTERFACES.lo };
  let looks = 0;
  await new Promise<void>((resolve) => {
    const watch = new InterfaceWatch(
      () => {
        watch.close();
        resolve();
      },
      () => {
        looks++;
        // The same addresses in another order are no change; after three looks one is another.
        if (looks === 2) interfaces = { lo: INTERFACES.lo, eth0: [...INTERFACES.eth0].reverse() };
        if (looks === 4) interfaces = { ...interfaces, eth0: [entry("192.168.7.2")] };
        return interfaces;
      },
      1,
    );
  });
  expect(looks).toBe(4);
});

/** This machine's addresses as candidates, likeliest first. */
import { networkInterfaces } from "node:os";
import type { RemoteAddress } from "../../platform/udp/address.ts";
import { addressScope } from "../../punch/address-scope.ts";
import type { Candidate } from "../../wire/candidate-codec.ts";

/** The result of `os.networkInterfaces`, injected by tests. */
export type Interfaces = ReturnType<typeof networkInterfaces>;

/** Interfaces of other tunnels: WireGuard, OpenVPN, Tailscale, ZeroTier and similar. */
const TUNNEL_NAME = /^(?:tun|tap|wg|utun|ipsec|tailscale|zt|nordlynx|proton|warp|CloudflareWARP)/i;
/** Bridges to containers and virtual machines on this host: other machines rarely reach them. */
const BRIDGE_NAME = /^(?:docker|br-|veth|virbr|vmnet|vboxnet|lxc|lxd|cni|podman|flannel|cali)/i;
/** More would fill the signal without adding a path. */
const LIMIT = 16;

/**
 * Where a socket bound to `local` can be reached from the local networks. A socket bound to one
 * address has only that one; loopback counts where there is no other.
 */
export function hostCandidates(
  local: RemoteAddress,
  interfaces: Interfaces = networkInterfaces(),
): Candidate[] {
  const { family, port } = local;
  const isAny = local.address === "0.0.0.0" || local.address === "::";
  const found: { candidate: Candidate; rank: number }[] = [];
  for (const [name, entries] of Object.entries(interfaces)) {
    for (const { address, family: entryFamily } of entries ?? []) {
      if (entryFamily !== `IPv${family}` || (!isAny && address !== plain(local.address))) continue;
      const rank = rankOf(name, address, isAny);
      if (rank === undefined) continue;
      const candidate: Candidate = { kind: "host", address, port, family };
      const isTunnel = rank === RANK.tunnel;
      found.push({ candidate: isTunnel ? { ...candidate, isTunnel } : candidate, rank });
    }
  }
  found.sort((a, b) => a.rank - b.rank);
  const outside = found.filter(({ rank }) => rank !== RANK.loopback);
  return (outside.length > 0 ? outside : found).slice(0, LIMIT).map(({ candidate }) => candidate);
}

/** Whether this machine has the address itself, so that no NAT translated it. */
export function isOwnAddress(address: string, interfaces: Interfaces = networkInterfaces()): boolean {
  return Object.values(interfaces).some((entries) => entries?.some((entry) => entry.address === address));
}

const RANK = { near: 0, global: 1, bridge: 2, tunnel: 3, loopback: 4 } as const;

function rankOf(name: string, address: string, isAny: boolean): number | undefined {
  const scope = addressScope(address);
  switch (scope) {
    case "unusable":
      return undefined;
    // Valid on one link only; an IPv6 link-local address also needs the interface's name.
    case "linkLocal":
      return isAny ? undefined : RANK.near;
    case "loopback":
      return RANK.loopback;
    default:
      if (TUNNEL_NAME.test(name) || scope === "shared") return RANK.tunnel;
      if (BRIDGE_NAME.test(name)) return RANK.bridge;
      return scope === "private" ? RANK.near : RANK.global;
  }
}

function plain(address: string): string {
  return address.split("%")[0]!;
}

/** Finds the local routers that can be asked for public ports. */
import { readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { addressScope } from "../../../punch/address-scope.ts";
import type { Interfaces } from "../host-candidates.ts";

const ROUTES_FILE = "/proc/net/route";
/** Flags of a route that is up and has a gateway. */
const UP_GATEWAY = 0x3;

/**
 * Likely IPv4 routers, the most likely first: the default routes where the system lists them
 * (Linux), elsewhere the first address of each private network.
 */
export async function gateways(): Promise<string[]> {
  try {
    const found = parseRoutes(await readFile(ROUTES_FILE, "latin1"));
    if (found.length > 0) return found;
  } catch {
    // Another system, or one without /proc.
  }
  return guessGateways(networkInterfaces());
}

/** The gateways of the default routes in the text of /proc/net/route, lowest metric first. */
export function parseRoutes(text: string): string[] {
  const routes: { gateway: string; metric: number }[] = [];
  for (const line of text.split("\n").slice(1)) {
    const [, destination, gateway, flags, , , metric] = line.trim().split(/\s+/);
    if (destination !== "00000000" || gateway === undefined || !/^[0-9A-F]{8}$/.test(gateway)) continue;
    if ((Number.parseInt(flags ?? "0", 16) & UP_GATEWAY) !== UP_GATEWAY) continue;
    routes.push({ gateway: littleEndianAddress(gateway), metric: Number(metric) });
  }
  routes.sort((a, b) => a.metric - b.metric);
  return [...new Set(routes.map((route) => route.gateway))];
}

export function guessGateways(interfaces: Interfaces): string[] {
  const found = new Set<string>();
  for (const entry of Object.values(interfaces).flatMap((entries) => entries ?? [])) {
    if (entry.family !== "IPv4" || addressScope(entry.address) !== "private") continue;
    found.add(entry.address.replace(/\d+$/, "1"));
  }
  return [...found];
}

/** The kernel prints the number in host byte order, which is little-endian here. */
function littleEndianAddress(hex: string): string {
  return Array.from({ length: 4 }, (_, i) => Number.parseInt(hex.slice(6 - 2 * i, 8 - 2 * i), 16)).join(".");
}

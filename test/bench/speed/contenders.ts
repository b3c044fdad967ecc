/** Who is measured, by name. The environment chooses the cipher and the offload of ours. */
import type { Contender } from "./contender.ts";
import { Holepunch } from "./holepunch.ts";
import { Ours } from "./ours.ts";
import { Pump } from "./pump.ts";
import { Tcp, Tls } from "./sockets.ts";

/** What ours sends on a 1500-byte path with don't-fragment, and without. */
const PACKET_BYTES = 1472;
const PLAIN_PACKET_BYTES = 1452;

export const CONTENDERS: Readonly<Record<string, () => Contender>> = {
  srudp: () => new Ours(),
  "srudp-10-streams": () => new Ours(10),
  "srudp-1000-streams": () => new Ours(1000),
  "srudp-10-links": () => new Ours(1, 10),
  "srudp-100-links": () => new Ours(1, 100),
  pump: () => new Pump(PACKET_BYTES),
  "pump-plain": () => new Pump(PLAIN_PACKET_BYTES),
  hyperdht: () => new Holepunch(true),
  udx: () => new Holepunch(false),
  tcp: () => new Tcp(),
  tls: () => new Tls(),
};

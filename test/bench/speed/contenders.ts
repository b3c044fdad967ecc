/** Who is measured, by name. The environment chooses the cipher and the offload of ours. */
import { carrierOver, type SignallingChannel, type Transport } from "./channel.ts";
import { Holepunch } from "./holepunch.ts";
import { Ours } from "./ours.ts";
import { Pump } from "./pump.ts";
import { Tcp, Tls } from "./sockets.ts";

/** What ours sends on a 1500-byte path with don't-fragment, and without. */
const PACKET_BYTES = 1472;
const PLAIN_PACKET_BYTES = 1452;

const TRANSPORTS: Readonly<Record<string, () => Transport>> = {
  srudp: () => new Ours(),
  "srudp-by-code": () => new Ours({ isByCode: true }),
  "srudp-10-streams": () => new Ours({ streams: 10 }),
  "srudp-100-streams": () => new Ours({ streams: 100 }),
  "srudp-1000-streams": () => new Ours({ streams: 1000 }),
  "srudp-10-links": () => new Ours({ links: 10 }),
  "srudp-100-links": () => new Ours({ links: 100 }),
  hyperdht: () => new Holepunch(true),
  udx: () => new Holepunch(false),
  tcp: () => new Tcp(),
  tls: () => new Tls(),
};

const PUMPS: Readonly<Record<string, () => SignallingChannel>> = {
  pump: () => new Pump(PACKET_BYTES),
  "pump-plain": () => new Pump(PLAIN_PACKET_BYTES),
};

/** @throws where there is no such transport */
export function transportNamed(name: string): Transport {
  const make = TRANSPORTS[name];
  if (make === undefined) throw new Error(`no transport "${name}"`);
  return make();
}

/** A transport by its name, or a pump. @throws where there is none */
export function carrierNamed(name: string): SignallingChannel {
  return PUMPS[name]?.() ?? carrierOver(transportNamed(name));
}

/**
 * The ceiling: the same sockets, the same cipher, packets of the same size, and no protocol at all. Nothing is
 * acknowledged, repeated or put in order; what the receiver opens counts.
 */
import type { AddressInfo } from "node:net";
import { primitives } from "../../../src/platform/crypto/provider.ts";
import { UdpSocket } from "../../../src/platform/udp/udp-socket.ts";
import { HEADER_BYTES, PACKET_OVERHEAD_BYTES, TAG_BYTES } from "../../../src/wire/packet.ts";
import type { SignallingChannel } from "./channel.ts";

const KEY: Uint8Array = new Uint8Array(32).fill(7);
const SLAB_BYTES = 65_536;
/** Bursts between two looks at the clock. */
const BURSTS = 8;

export class Pump implements SignallingChannel {
  readonly #packetBytes: number;

  /** @param packetBytes UDP payload of each packet */
  constructor(packetBytes: number) {
    this.#packetBytes = packetBytes;
  }

  async receive(address: string, onBytes: (byteLength: number) => void): Promise<number> {
    const socket = await UdpSocket.bind({ family: 4, address, port: 0 });
    const key = primitives().aead.key(KEY);
    const size = this.#packetBytes;
    socket.onDatagram = (_socket, _address, _port, bytes) => {
      for (let at = 0; at + size <= bytes.length; at += size) {
        // All under one number: only the receiver's work is to be measured.
        if (key.open(bytes, at, at + HEADER_BYTES, at + size - TAG_BYTES, 1))
          onBytes(size - PACKET_OVERHEAD_BYTES);
      }
    };
    return (socket.local satisfies Omit<AddressInfo, "family"> & { family: 4 | 6 }).port;
  }

  async send(address: string, port: number, forMs: number): Promise<void> {
    const socket = await UdpSocket.bind({ family: 4, port: 0 });
    const key = primitives().aead.key(KEY);
    const size = this.#packetBytes;
    const packets = Math.max(1, Math.min(64, Math.floor(65_507 / size)));
    const slab = new Uint8Array(SLAB_BYTES);
    const text = new Uint8Array(SLAB_BYTES).fill(0x5a);
    const segments = Array.from({ length: packets }, (_, i) => slab.subarray(i * size, (i + 1) * size));
    const endsAtMs = performance.now() + forMs;
    while (performance.now() < endsAtMs) {
      for (let burst = 0; burst < BURSTS; burst++) {
        slab.set(text);
        for (let i = 0; i < packets; i++) {
          const at = i * size;
          key.seal(slab, at, at + HEADER_BYTES, at + size - TAG_BYTES, 1);
        }
        if (socket.sendBurst(slab, packets * size, size, address, port) > 0) continue;
        for (const segment of segments) socket.send(segment, address, port);
        if (socket.queuedDatagrams > 0) break;
      }
      await new Promise(setImmediate);
    }
    socket.close();
  }
}

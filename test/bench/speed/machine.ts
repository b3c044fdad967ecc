/** What a figure is worth nothing without: the machine, its load, and what of ours it lets us use. */
import { cpus, loadavg, release, totalmem } from "node:os";
import { primitives } from "../../../src/platform/crypto/provider.ts";
import { UdpSocket } from "../../../src/platform/udp/udp-socket.ts";

export interface Machine {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGigabytes: number;
  readonly kernel: string;
  readonly node: string;
  /** Which implementation of the cipher, and what the kernel does for a socket. */
  readonly cipher: string;
  readonly offload: string;
}

export async function describeMachine(): Promise<Machine> {
  const socket = await UdpSocket.bind({ family: 4, address: "127.0.0.1", port: 0 });
  const { offloads: offload } = socket;
  socket.close();
  return {
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model ?? "unknown",
    cores: cpus().length,
    memoryGigabytes: Math.round(totalmem() / 1e9),
    kernel: `${process.platform} ${release()}`,
    node: process.version,
    cipher: primitives().name,
    offload,
  };
}

/** The system's load over the last minute. */
export function load(): number {
  return loadavg()[0]!;
}

export function machineText(machine: Machine): string {
  const { cpu, cores, memoryGigabytes, kernel, node, date, cipher, offload } = machine;
  return `${cpu}, ${cores} cores, ${memoryGigabytes} GB, ${kernel}, node ${node}, ${date.slice(0, 10)}; cipher ${cipher}, offload ${offload}`;
}

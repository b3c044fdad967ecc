/** Where contenders meet: loopback, or two network namespaces joined by a pair of interfaces of 1500 bytes. */
import { execFileSync } from "node:child_process";

export interface BenchPath {
  readonly name: string;
  readonly isLoopback: boolean;
  /** Address of the receiver. */
  readonly address: string;
  /** Words to put before a command that is to run at one end. */
  readonly receiver: readonly string[];
  readonly sender: readonly string[];
  close(): void;
}

const ADDRESSES = { receiver: "10.210.77.2", sender: "10.210.77.1" } as const;

export const LOOPBACK: BenchPath = {
  name: "loopback",
  isLoopback: true,
  address: "127.0.0.1",
  receiver: [],
  sender: [],
  close: () => undefined,
};

/** @throws where this process may not make namespaces */
export function path1500(): BenchPath {
  const names = { receiver: `sbr${process.pid}`, sender: `sbs${process.pid}` } as const;
  const ip = (words: string): void =>
    void execFileSync("ip", words.split(" "), { stdio: ["ignore", "ignore", "pipe"] });
  const close = (): void => {
    for (const name of Object.values(names)) {
      try {
        ip(`netns delete ${name}`);
      } catch {
        // It was never made.
      }
    }
  };
  try {
    for (const name of Object.values(names)) ip(`netns add ${name}`);
    ip(`link add bench0 netns ${names.sender} type veth peer name bench0 netns ${names.receiver}`);
    for (const end of ["receiver", "sender"] as const) {
      ip(`-n ${names[end]} address add ${ADDRESSES[end]}/24 dev bench0`);
      for (const device of ["bench0", "lo"]) ip(`-n ${names[end]} link set ${device} up`);
    }
  } catch (error) {
    close();
    throw error;
  }
  const inside = (name: string): string[] => ["ip", "netns", "exec", name];
  return {
    name: "1500-byte path",
    isLoopback: false,
    address: ADDRESSES.receiver,
    receiver: inside(names.receiver),
    sender: inside(names.sender),
    close,
  };
}

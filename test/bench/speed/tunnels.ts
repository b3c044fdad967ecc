/**
 * What carries a TCP connection from one end of a path to a port at the other: ours, and the tools that people
 * use for it, each as fast as its own options make it without giving encryption up.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startDaemon } from "../../lib/daemon.ts";
import { pause, within } from "../../lib/deadline.ts";
import { freePort, secretWords } from "../../lib/forwarding.ts";
import { SrudpProcess, temporaryFolder } from "../../lib/srudp-process.ts";
import { startSshd } from "../../lib/sshd.ts";
import type { BenchPath } from "./path.ts";

/** A tunnel that stands. Its processes' files are deleted by `endAll`. */
export interface Tunnel {
  /** Where the sender's end is to connect. */
  readonly address: string;
  readonly port: number;
  /** Process ids at either end. */
  readonly senders: readonly number[];
  readonly receivers: readonly number[];
  close(): Promise<void>;
}

export interface TunnelKind {
  /** Programs that it cannot do without. */
  readonly needs: readonly string[];
  /** Makes a tunnel to `port` of the receiver's end; throws where that fails. */
  open(path: BenchPath, port: number): Promise<Tunnel>;
}

const AT_THE_RECEIVER = "127.0.0.1";

/** No tunnel: the path as it is. */
export const DIRECT: TunnelKind = {
  needs: [],
  open: async ({ address }, port) => ({
    address,
    port,
    senders: [],
    receivers: [],
    close: async () => undefined,
  }),
};

/** `srudp forward -L`. */
export const FORWARD: TunnelKind = {
  needs: [],
  open: async (path, port) => {
    const trust = secretWords();
    const target = `${AT_THE_RECEIVER}:${port}`;
    const listener = SrudpProcess.start(["listen", "0", "-k", ...trust, "--expose", target], {
      stdin: "nothing",
      launcher: path.receiver,
    });
    const listening = await listener.event("listening");
    const peer = `${path.address}:${listening.port}`;
    const forwarder = SrudpProcess.start(["forward", peer, ...trust, "-L", `0:${target}`], {
      stdin: "nothing",
      launcher: path.sender,
    });
    const { bind } = await forwarder.event("forwarding");
    await forwarder.event("connected");
    return {
      address: "127.0.0.1",
      port: Number(/:(\d+)$/.exec(bind)![1]),
      senders: [forwarder.pid],
      receivers: [listener.pid],
      close: async () => {
        for (const one of [forwarder, listener]) one.kill("SIGKILL");
        await Promise.all([forwarder.ended, listener.ended]);
      },
    };
  },
};

/** `ssh -L` with the cipher that it takes by itself. */
export const SSH: TunnelKind = {
  needs: ["ssh", "sshd", "ssh-keygen"],
  open: (path, port) =>
    tunnelOf(async (senders, receivers) => {
      const server = await startSshd(path.address, path.receiver);
      receivers.push(server.process);
      const own = await freePort();
      const words = [
        ...server.words,
        ...["-N", "-p", String(server.port), "-L", `127.0.0.1:${own}:${AT_THE_RECEIVER}:${port}`],
        path.address,
      ];
      senders.push(await startDaemon("ssh", words, own, { launcher: path.sender }));
      return { address: "127.0.0.1", port: own };
    }),
};

/**
 * kcptun without error correction and compression, with the profile of the shortest delays, packets and windows
 * for a fast path, and AES, which the processor helps with.
 */
export const KCPTUN: TunnelKind = {
  needs: ["kcptun-client", "kcptun-server"],
  open: (path, port) =>
    tunnelOf(async (senders, receivers) => {
      const [udp, own] = [await freePort(), await freePort()];
      const words = [
        ...["--key", "bench", "--crypt", "aes-128", "--mode", "fast3", "--nocomp", "--quiet"],
        ...[
          "--datashard",
          "0",
          "--parityshard",
          "0",
          "--mtu",
          "1472",
          "--sndwnd",
          "2048",
          "--rcvwnd",
          "2048",
        ],
        ...["--smuxver", "2", "--sockbuf", "16777216", "--smuxbuf", "16777216", "--streambuf", "16777216"],
      ];
      const there = `${path.address}:${udp}`;
      receivers.push(
        await startDaemon("kcptun-server", ["-l", there, "-t", `${AT_THE_RECEIVER}:${port}`, ...words], udp, {
          protocol: "udp",
          launcher: path.receiver,
        }),
      );
      const here = `127.0.0.1:${own}`;
      senders.push(
        await startDaemon("kcptun-client", ["-l", here, "-r", there, ...words], own, {
          launcher: path.sender,
        }),
      );
      return { address: "127.0.0.1", port: own };
    }),
};

const WIREGUARD_NET = "10.210.78";
const WIREGUARD_SOCKETS = "/var/run/wireguard";
/** 80 bytes are its headers over IPv6, as its own set-up script reckons. */
const WIREGUARD_MTU_BYTES = 1420;
const TIMEOUT_MS = 10_000;
const LOOK_AGAIN_MS = 20;

interface WireguardEnd {
  readonly launcher: readonly string[];
  readonly device: string;
  readonly address: string;
  readonly keyFile: string;
  readonly publicKey: string;
}

/** WireGuard in user space, a network interface at each end: only where these have namespaces of their own. */
export const WIREGUARD: TunnelKind = {
  needs: ["wireguard-go", "wg"],
  open: (path, port) =>
    tunnelOf(async (senders, receivers) => {
      const udp = await freePort();
      const folder = temporaryFolder();
      const ends = (["sender", "receiver"] as const).map((end, i): WireguardEnd => {
        const privateKey = execFileSync("wg", ["genkey"], { encoding: "utf8" });
        const keyFile = join(folder, end);
        writeFileSync(keyFile, privateKey, { mode: 0o600 });
        return {
          launcher: path[end],
          // Namespaces share the folder of the daemons' sockets, so the names differ.
          device: `sb${end[0]}${process.pid}`,
          address: `${WIREGUARD_NET}.${i + 1}`,
          keyFile,
          publicKey: execFileSync("wg", ["pubkey"], { input: privateKey, encoding: "utf8" }).trim(),
        };
      });
      const [sender, receiver] = ends as [WireguardEnd, WireguardEnd];
      senders.push(await startWireguard(sender, receiver, `endpoint ${path.address}:${udp}`));
      receivers.push(await startWireguard(receiver, sender, "", `listen-port ${udp}`));
      return { address: receiver.address, port };
    }),
};

async function startWireguard(
  { launcher, device, address, keyFile }: WireguardEnd,
  peer: WireguardEnd,
  peerWords: string,
  ownWords = "",
): Promise<ChildProcess> {
  const run = (line: string): void => {
    const [command, ...words] = [...launcher, ...line.split(" ").filter((word) => word !== "")];
    execFileSync(command!, words, { stdio: "pipe" });
  };
  const line = [...launcher, "wireguard-go", "--foreground", device];
  const daemon = spawn(line[0]!, line.slice(1), { stdio: "ignore" });
  const isUp = async (): Promise<void> => {
    while (!existsSync(`${WIREGUARD_SOCKETS}/${device}.sock`)) await pause(LOOK_AGAIN_MS);
  };
  try {
    await within(isUp(), TIMEOUT_MS, () => `wireguard-go makes no ${device}`);
    const allowed = `peer ${peer.publicKey} allowed-ips ${peer.address}/32`;
    run(`wg set ${device} private-key ${keyFile} ${ownWords} ${allowed} ${peerWords}`);
    run(`ip address add ${address}/24 dev ${device}`);
    run(`ip link set ${device} mtu ${WIREGUARD_MTU_BYTES} up`);
  } catch (error) {
    daemon.kill("SIGTERM");
    throw error;
  }
  return daemon;
}

/** @param start fills both lists with what it starts, which is ended by the tunnel's `close`, or at once where it throws */
async function tunnelOf(
  start: (senders: ChildProcess[], receivers: ChildProcess[]) => Promise<Pick<Tunnel, "address" | "port">>,
): Promise<Tunnel> {
  const senders: ChildProcess[] = [];
  const receivers: ChildProcess[] = [];
  const close = async (): Promise<void> => {
    const running = [...senders, ...receivers].filter(
      ({ exitCode, signalCode }) => exitCode === null && signalCode === null,
    );
    // Not killed outright: sshd ends the processes of its connections, wireguard-go takes its interface down.
    for (const child of running) child.kill("SIGTERM");
    await Promise.all(running.map((child) => once(child, "exit")));
  };
  try {
    const where = await start(senders, receivers);
    const ids = (children: readonly ChildProcess[]): number[] => children.map(({ pid }) => pid!);
    return { ...where, senders: ids(senders), receivers: ids(receivers), close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A UDP port whose senders each get a flow of their own to what the port leads to. */
import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import type { Address, Target } from "../../net/forward-wire.ts";
import type { FlowChannel } from "./flow-channel.ts";
import { bindError, hostsOf, type OpenPort } from "./stream-port.ts";
import type { Via } from "./via.ts";

/** A flow that was quiet for so long is over.  // RFC 4787 §4.3: not before two minutes */
export const FLOW_IDLE_MS = 120_000;
const SWEEP_INTERVAL_MS = 10_000;
/** Senders at the same time; the one that was quiet longest makes room. */
const FLOWS_LIMIT = 512;
/** Datagrams that wait for a flow to come about. */
const WAITING_LIMIT = 32;

interface Sender {
  lastAtMs: number;
  channel: FlowChannel | undefined;
  waiting: Uint8Array[];
}

export interface UdpPort extends OpenPort {
  readonly flowCount: number;
}

/**
 * Opens `bind`, whose flows go `via` the peer to `target`.
 *
 * @throws SrudpError ERR_FORWARD_BIND
 */
export async function openUdpPort(
  bind: Exclude<Address, { kind: "unix" }>,
  target: Target,
  via: Via,
): Promise<UdpPort> {
  const senders = new Map<string, Sender>();
  const sockets: Socket[] = [];

  const receive = (socket: Socket, bytes: Uint8Array, from: RemoteInfo): void => {
    const key = `${from.address} ${from.port}`;
    let sender = senders.get(key);
    if (sender === undefined) {
      sender = { lastAtMs: 0, channel: undefined, waiting: [] };
      makeRoom(senders);
      senders.set(key, sender);
      startFlow(
        sender,
        () => senders.delete(key),
        (answer) => socket.send(answer, from.port, from.address),
      );
    }
    sender.lastAtMs = performance.now();
    if (sender.channel !== undefined) sender.channel.send(bytes);
    else if (sender.waiting.length < WAITING_LIMIT) sender.waiting.push(bytes);
  };
  const startFlow = (sender: Sender, forget: () => void, deliver: (bytes: Uint8Array) => void): void => {
    via
      .reachFlow(target, deliver, (channel) => {
        sender.channel = channel;
        for (const bytes of sender.waiting.splice(0)) channel.send(bytes);
      })
      // The reason was told by whoever reaches.
      .catch(() => undefined)
      .finally(forget);
  };

  const sweep = setInterval(() => {
    const now = performance.now();
    for (const [key, sender] of senders) {
      const lastAtMs = Math.max(sender.lastAtMs, sender.channel?.lastAtMs ?? 0);
      if (now - lastAtMs < FLOW_IDLE_MS) continue;
      senders.delete(key);
      sender.channel?.close();
    }
  }, SWEEP_INTERVAL_MS);
  sweep.unref();
  const close = (): void => {
    clearInterval(sweep);
    for (const { channel } of senders.values()) channel?.close();
    for (const socket of sockets) socket.close();
  };

  let { port } = bind;
  for (const [index, host] of hostsOf(bind.host).entries()) {
    const isSix = host.includes(":");
    const socket = createSocket({ type: isSix ? "udp6" : "udp4", ipv6Only: isSix });
    try {
      socket.bind({ address: host, port });
      await once(socket, "listening");
    } catch (error) {
      const isTaken = (error as NodeJS.ErrnoException).code === "EADDRINUSE";
      if (index > 0 && !(isTaken && bind.port !== 0)) continue;
      close();
      throw bindError(bind, error as NodeJS.ErrnoException);
    }
    socket.on("error", () => undefined);
    socket.on("message", (bytes, from) => receive(socket, bytes, from));
    sockets.push(socket);
    ({ port } = socket.address());
  }
  return {
    address: { ...bind, port },
    close,
    get flowCount(): number {
      return senders.size;
    },
  };
}

function makeRoom(senders: Map<string, Sender>): void {
  if (senders.size < FLOWS_LIMIT) return;
  let [oldest] = senders;
  for (const entry of senders) if (entry[1].lastAtMs < oldest![1].lastAtMs) oldest = entry;
  senders.delete(oldest![0]);
  oldest![1].channel?.close();
}

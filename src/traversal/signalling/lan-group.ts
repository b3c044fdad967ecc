/**
 * A multicast group on every network that this machine is in. It is joined on each interface, with
 * a sending socket for each, so that no default route is needed. Interfaces may come and go.
 */
import { createSocket, type Socket } from "node:dgram";
import { networkInterfaces } from "node:os";
import { addressScope } from "../../punch/address-scope.ts";

/** In the block for organisation-local use.  // RFC 2365 §6.2 */
const GROUP_V4 = "239.255.83.82";
/** Link-local and unassigned.  // RFC 4291 §2.7 */
const GROUP_V6 = "ff02::5352:4450";
export const LAN_PORT = 34_784;
/** Messages stay on the local network. */
const TTL = 1;
const CHECK_INTERVAL_MS = 5000;
/** Interfaces in use at most. */
const INTERFACES_LIMIT = 32;

/** An interface in one family. */
export interface LanInterface {
  readonly family: 4 | 6;
  /** Its address (IPv4), or its name as a zone (IPv6). */
  readonly by: string;
}

export interface LanGroupOptions {
  readonly port?: number | undefined;
  /** Which interfaces to use; by default all that are up, or loopback where there is no other. */
  readonly interfaces?: (() => readonly LanInterface[]) | undefined;
}

export class LanGroup {
  /** Called with each datagram and its source address, which may be forged. */
  onMessage: ((bytes: Uint8Array, source: string) => void) | undefined;
  /** Called with 0 when no network is left to send on, and again when there is one. */
  onNetworks: ((count: number) => void) | undefined;
  readonly #port: number;
  readonly #interfaces: () => readonly LanInterface[];
  readonly #receivers: Map<4 | 6, Socket> = new Map();
  readonly #senders: Map<string, Socket> = new Map();
  readonly #checkTimer: NodeJS.Timeout;
  #count = -1;
  #open = true;

  constructor(options: LanGroupOptions = {}) {
    this.#port = options.port ?? LAN_PORT;
    this.#interfaces = options.interfaces ?? lanInterfaces;
    this.#checkTimer = setInterval(() => void this.#look(), CHECK_INTERVAL_MS);
    // Deferred: the caller has yet to set its callbacks.
    setImmediate(() => void this.#look());
  }

  /** Sends a message on every network. */
  send(bytes: Uint8Array): void {
    for (const [key, socket] of this.#senders) {
      const [family, by] = splitKey(key);
      socket.send(bytes, this.#port, groupAt(family, by), (error) => {
        // The interface is gone or never worked; the next check finds out.
        if (error !== null) this.#drop(key);
      });
    }
  }

  close(): void {
    this.#open = false;
    clearInterval(this.#checkTimer);
    for (const socket of [...this.#receivers.values(), ...this.#senders.values()]) socket.close();
    this.#receivers.clear();
    this.#senders.clear();
  }

  async #look(): Promise<void> {
    const found = new Set(
      this.#interfaces()
        .slice(0, INTERFACES_LIMIT)
        .map(({ family, by }) => `${family} ${by}`),
    );
    for (const key of this.#senders.keys()) if (!found.has(key)) this.#drop(key);
    for (const key of found) if (!this.#senders.has(key)) await this.#add(key);
    if (!this.#open || this.#senders.size === this.#count) return;
    this.#count = this.#senders.size;
    this.onNetworks?.(this.#count);
  }

  async #add(key: string): Promise<void> {
    const [family, by] = splitKey(key);
    try {
      const receiver = this.#receivers.get(family) ?? (await this.#listen(family));
      if (!this.#open) return;
      const joined = family === 4 ? by : `::%${by}`;
      try {
        receiver.addMembership(family === 4 ? GROUP_V4 : GROUP_V6, joined);
      } catch (error) {
        // It stayed open while the interface was down for a moment.
        if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
      }
      const sender = await bound(family, { port: 0, ...(family === 4 ? { address: by } : {}) });
      if (!this.#open || this.#senders.has(key)) {
        sender.close();
        return;
      }
      sender.setMulticastInterface(joined);
      sender.setMulticastTTL(TTL);
      sender.setMulticastLoopback(true);
      this.#senders.set(key, sender);
    } catch {
      // No multicast on this interface (a tunnel), or another process holds the port exclusively;
      // other interfaces may work.
    }
  }

  async #listen(family: 4 | 6): Promise<Socket> {
    // Shared: every process on this machine that looks for a peer has to receive.
    const socket = await bound(family, { port: this.#port, reuse: true });
    const known = this.#receivers.get(family);
    if (known !== undefined || !this.#open) {
      socket.close();
      return known ?? socket;
    }
    socket.on("message", (bytes: Uint8Array, from) => this.onMessage?.(bytes, from.address));
    this.#receivers.set(family, socket);
    return socket;
  }

  #drop(key: string): void {
    const socket = this.#senders.get(key);
    if (socket === undefined) return;
    this.#senders.delete(key);
    const [family, by] = splitKey(key);
    try {
      const joined = family === 4 ? by : `::%${by}`;
      this.#receivers.get(family)?.dropMembership(family === 4 ? GROUP_V4 : GROUP_V6, joined);
    } catch {
      // It closed with the interface.
    }
    socket.close();
  }
}

/** The interfaces that are up: each IPv4 address, and each link with an IPv6 address. */
function lanInterfaces(): LanInterface[] {
  const all = Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
    (addresses ?? []).map(({ address, family, internal }) => ({ name, address, family, internal })),
  );
  const external = all.filter(({ internal }) => !internal);
  const found: LanInterface[] = [];
  for (const { name, address, family } of external.length > 0 ? external : all) {
    if (family === "IPv4") found.push({ family: 4, by: address });
    else if (addressScope(address) === "linkLocal" && !found.some((one) => one.by === name))
      found.push({ family: 6, by: name });
  }
  return found;
}

function groupAt(family: 4 | 6, by: string): string {
  return family === 4 ? GROUP_V4 : `${GROUP_V6}%${by}`;
}

function splitKey(key: string): [4 | 6, string] {
  return [key.startsWith("6") ? 6 : 4, key.slice(2)];
}

function bound(
  family: 4 | 6,
  { port, address, reuse = false }: { port: number; address?: string; reuse?: boolean },
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({
      type: family === 6 ? "udp6" : "udp4",
      ipv6Only: family === 6,
      reuseAddr: reuse,
    });
    const refused = (error: Error): void => {
      socket.close();
      reject(error);
    };
    socket.once("error", refused);
    socket.bind({ port, ...(address === undefined ? {} : { address }) }, () => {
      socket.off("error", refused);
      // A failed send is a lost datagram.
      socket.on("error", () => undefined);
      resolve(socket);
    });
  });
}

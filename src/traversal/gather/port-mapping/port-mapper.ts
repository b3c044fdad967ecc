/**
 * Keeps a public port on the router for a local port: by PCP or NAT-PMP, which routers answer in
 * milliseconds, or else by UPnP. Renewed at half its lifetime, released at the end.
 */
import { PORT_CONTROL_PORT } from "../../../wire/port-control.ts";
import { gateways } from "./gateway.ts";
import { PortControlClient } from "./port-control-client.ts";
import type { PortMapping, PortMappingProtocol } from "./port-mapping.ts";
import { UpnpRouter } from "./upnp.ts";

/** Long enough to survive a night of missed renewals; a mapping left by a crash expires after it. */
const LIFETIME_S = 7200;
const RENEW_AT = 0.5;
/** When a router that refused renewal is asked again: it may have been restarting. */
const RETRY_MS = 60_000;
const MIN_RENEWAL_MS = 1000;
/** Some routers grant 2^32 − 1 seconds. A timer cannot wait so long, and routers restart. */
const MAX_RENEWAL_MS = 86_400_000;
/** Mappings without an expiry are renewed too: routers forget them when they restart. */
const PERMANENT_RENEWAL_MS = 600_000;
const ROUTERS_LIMIT = 2;

/** Addresses of routers, injected by tests. */
export interface RouterLocations {
  readonly gateways?: () => Promise<string[]>;
  readonly controlPort?: number;
  readonly ssdp?: { readonly group: string; readonly port: number; readonly dialer?: string };
}

export class PortMapper {
  /** Called with a public port that leads to the internal one, and again when it changes. */
  onMapped: ((mapping: PortMapping, by: string) => void) | undefined;
  readonly internalPort: number;
  readonly #points: RouterLocations;
  #protocol: PortMappingProtocol | undefined;
  #mapping: PortMapping | undefined;
  #renewal: NodeJS.Timeout | undefined;
  #isOpen = true;
  /** Work in progress; closing waits for it, so that no mapping is left on the router. */
  #work: Promise<void> = Promise.resolve();

  constructor(internalPort: number, points: RouterLocations = {}) {
    this.internalPort = internalPort;
    this.#points = points;
  }

  /** Asks all routers at once; resolves when there is a mapping, or none can be had (about 3 s). */
  async start(): Promise<void> {
    this.#work = this.#seek();
    await this.#work;
  }

  /** Asks again now: after a network change the router may be another, or have forgotten. */
  async refresh(): Promise<void> {
    this.#work = this.#work.then(() => this.#renew());
    await this.#work;
  }

  /** The current mapping. */
  get mapping(): PortMapping | undefined {
    return this.#mapping;
  }

  /** Releases the mapping; resolves when the router has confirmed it or timed out. */
  async close(): Promise<void> {
    this.#isOpen = false;
    clearTimeout(this.#renewal);
    await this.#work;
    await this.#protocol?.unmap(this.internalPort);
    this.#protocol = undefined;
  }

  async #seek(): Promise<void> {
    const { gateways: look = gateways, controlPort = PORT_CONTROL_PORT, ssdp } = this.#points;
    const found = UpnpRouter.find(ssdp ?? {});
    const routers = (await look()).slice(0, ROUTERS_LIMIT);
    const asked = routers.map((router) => this.#try(new PortControlClient(router, controlPort)));
    if (!(await someTrue(asked)) && this.#isOpen) {
      const upnp = await found;
      if (upnp !== undefined && this.#isOpen) await this.#try(upnp);
    }
    if (this.#mapping === undefined) this.#renewIn(RETRY_MS);
  }

  /** Whether this protocol granted a mapping, and was the first to. */
  async #try(protocol: PortMappingProtocol): Promise<boolean> {
    const mapping = await protocol.map(this.internalPort, this.internalPort, LIFETIME_S);
    if (mapping === undefined) return false;
    if (this.#protocol !== undefined) {
      await protocol.unmap(this.internalPort);
      return false;
    }
    this.#protocol = protocol;
    this.#take(mapping);
    return true;
  }

  async #renew(): Promise<void> {
    const protocol = this.#protocol;
    if (!this.#isOpen) return;
    if (protocol === undefined) return await this.#seek();
    const mapping = await protocol.map(
      this.internalPort,
      this.#mapping?.port ?? this.internalPort,
      LIFETIME_S,
    );
    if (!this.#isOpen) return;
    if (mapping !== undefined) return this.#take(mapping);
    this.#protocol = undefined;
    this.#mapping = undefined;
    await this.#seek();
  }

  #take(mapping: PortMapping): void {
    const before = this.#mapping;
    this.#mapping = mapping;
    const { lifetimeS } = mapping;
    const renewalMs = Math.max(MIN_RENEWAL_MS, lifetimeS * 1000 * RENEW_AT);
    this.#renewIn(lifetimeS === 0 ? PERMANENT_RENEWAL_MS : Math.min(renewalMs, MAX_RENEWAL_MS));
    const isNews = before?.port !== mapping.port || before.address !== mapping.address;
    if (isNews && this.#isOpen) this.onMapped?.(mapping, this.#protocol?.name ?? "");
  }

  #renewIn(delayMs: number): void {
    if (!this.#isOpen) return;
    clearTimeout(this.#renewal);
    this.#renewal = setTimeout(() => {
      void this.refresh();
    }, delayMs);
    this.#renewal.unref();
  }
}

/** Whether any of the promises is true, as soon as that is known. */
async function someTrue(promises: readonly Promise<boolean>[]): Promise<boolean> {
  const trueOnes = promises.map(async (one) => {
    if (!(await one)) throw new Error("not this one");
    return true;
  });
  return await Promise.any(trueOnes).catch(() => false);
}

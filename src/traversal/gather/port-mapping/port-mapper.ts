/**
 * Keeps a public port on the router for one of the link's own: by PCP or NAT-PMP, which routers answer in
 * milliseconds, or by UPnP where they do not. Asked for again at half its time, taken away at the end.
 */
import { PORT_CONTROL_PORT } from "../../../wire/port-control.ts";
import { gateways } from "./gateway.ts";
import { PortControlClient } from "./port-control-client.ts";
import type { PortMapping, PortMappingProtocol } from "./port-mapping.ts";
import { UpnpRouter } from "./upnp.ts";

/** Long enough to survive a night of missed renewals; what a crash leaves behind is gone after it. */
const LIFETIME_S = 7200;
const RENEW_AT = 0.5;
/** A router that gave no more is asked again after so long: it may have been restarting. */
const RETRY_MS = 60_000;
const MIN_RENEWAL_MS = 1000;
/** Some routers grant 2^32 − 1 seconds, "for ever". A timer cannot wait so long, and routers restart. */
const MAX_RENEWAL_MS = 86_400_000;
/** Mappings without an end are looked after all the same: routers forget them when they restart. */
const PERMANENT_RENEWAL_MS = 600_000;
const ROUTERS_LIMIT = 2;

/** Where to look for routers; for tests, since nobody else knows better than the system. */
export interface RouterLocations {
  readonly gateways?: () => Promise<string[]>;
  readonly controlPort?: number;
  readonly ssdp?: { readonly group: string; readonly port: number; readonly dialer?: string };
}

export class PortMapper {
  /** Told of a public port that leads to the internal one; again when it has become another. */
  onMapped: ((mapping: PortMapping, by: string) => void) | undefined;
  readonly internalPort: number;
  readonly #points: RouterLocations;
  #protocol: PortMappingProtocol | undefined;
  #mapping: PortMapping | undefined;
  #renewal: NodeJS.Timeout | undefined;
  #isOpen = true;
  /** What is under way; the end waits for it, so that nothing is left on the router. */
  #work: Promise<void> = Promise.resolve();

  constructor(internalPort: number, points: RouterLocations = {}) {
    this.internalPort = internalPort;
    this.#points = points;
  }

  /** Asks every router at once; resolves when there is a mapping, or when there is none to be had (about 3 s). */
  async start(): Promise<void> {
    this.#work = this.#seek();
    await this.#work;
  }

  /** Asks again now: after a change of network the router may be another, or have forgotten. */
  async refresh(): Promise<void> {
    this.#work = this.#work.then(() => this.#renew());
    await this.#work;
  }

  /** The mapping as it is now. */
  get mapping(): PortMapping | undefined {
    return this.#mapping;
  }

  /** Takes the mapping away; resolves when the router has said so or has had its time. */
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

  /** Whether this way gave a mapping, and was the first to. */
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

/** Whether one of them is true, as soon as that is known. */
async function someTrue(promises: readonly Promise<boolean>[]): Promise<boolean> {
  const trueOnes = promises.map(async (one) => {
    if (!(await one)) throw new Error("not this one");
    return true;
  });
  return await Promise.any(trueOnes).catch(() => false);
}

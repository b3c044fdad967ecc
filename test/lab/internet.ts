/**
 * The lab's public Internet: a chain of routers long enough that a time-to-live means something, places for
 * sites to be connected at, a public host for servers, and somebody who has nothing to do with it.
 *
 *     site 1 – r1 – r2 – r3 – core – r3 – r2 – r1 – site 2
 *                              │  └─ bystander 11.0.250.66
 *                              └─ server 11.0.0.10, 11.0.0.11, 2001:db8::10
 *
 * Seven routers lie between two sites, so that packets sent with a time-to-live of 4 or 7 die before the other
 * side's NAT. Site n has the public network 11.0.n.0/24 and 2001:db8:n::/48. Everything runs at the speed
 * of the machine unless `limit` says otherwise.
 */
import { Namespace, wire } from "./namespaces.ts";

export interface InternetOptions {
  /** Places for sites; 2 by default. */
  readonly sides?: number;
  /** From a site to the core, 1 to 3; 3 by default. */
  readonly routersASide?: number;
}

export const SERVER_ADDRESS = "11.0.0.10";
export const SERVER_SECOND_ADDRESS = "11.0.0.11";
export const SERVER_ADDRESS_6 = "2001:db8::10";
export const BYSTANDER_ADDRESS = "11.0.250.66";

export class Internet {
  readonly server: Namespace;
  readonly bystander: Namespace;
  readonly #core: Namespace;
  /** Of each side, from the site to the core. */
  readonly #routers: readonly (readonly Namespace[])[];

  constructor({ sides = 2, routersASide = 3 }: InternetOptions = {}) {
    this.#core = new Namespace("core");
    this.#core.route();
    this.server = new Namespace("server");
    wire(
      { namespace: this.#core, device: "server", addresses: ["11.0.0.1/24", "2001:db8::1/64"] },
      {
        namespace: this.server,
        device: "eth0",
        addresses: [`${SERVER_ADDRESS}/24`, `${SERVER_SECOND_ADDRESS}/24`, `${SERVER_ADDRESS_6}/64`],
      },
    );
    this.server.ip("route add default via 11.0.0.1", "route add ::/0 via 2001:db8::1");
    this.bystander = new Namespace("bystander");
    wire(
      { namespace: this.#core, device: "bystander", addresses: ["11.0.250.1/24"] },
      { namespace: this.bystander, device: "eth0", addresses: [`${BYSTANDER_ADDRESS}/24`] },
    );
    this.bystander.ip("route add default via 11.0.250.1");
    this.#routers = Array.from({ length: sides }, (_, at) => this.#chain(at + 1, routersASide));
    this.#core.nft(`
table inet cuts {
 chain through {
  type filter hook forward priority filter;
 }
}
`);
  }

  /** The router that a site's own one is connected to. @param side from 1 on */
  edge(side: number): Namespace {
    return this.#routers[side - 1]![0]!;
  }

  /** Nothing gets from one site to the other any more, while the server is reached from both. */
  blockBetweenSites(): void {
    this.#cut('iifname "side*" oifname "side*" drop');
  }

  /** Nothing gets through at all. */
  cutEverything(): void {
    this.#cut("drop");
  }

  /** One site gets nothing any more and nothing out. */
  cutSide(side: number): void {
    this.#cut(`iifname "side${side}" drop`, `oifname "side${side}" drop`);
  }

  /** Each packet that crosses the core is lost with this probability. */
  lose(percent: number): void {
    this.#cut(`numgen random mod 100 < ${percent} drop`);
  }

  /** Undoes the four above. */
  restore(): void {
    this.#core.nft("flush chain inet cuts through");
  }

  /** What a site may send and receive, in Mbit/s each, with a queue of 50 ms. */
  limit(side: number, mbit: number): void {
    const shape = `tbf rate ${mbit}mbit burst 32kb latency 50ms`.split(" ");
    this.edge(side).run(["tc", "qdisc", "replace", "dev", "site", "root", ...shape]);
    this.edge(side).run(["tc", "qdisc", "replace", "dev", "upper", "root", ...shape]);
  }

  unlimit(side: number): void {
    for (const device of ["site", "upper"])
      this.edge(side).attempt(["tc", "qdisc", "del", "dev", device, "root"]);
  }

  /** Counts from now on the UDP packets to the bystander: those that leave a site, and those that reach him. */
  watchBystander(side: number): { left(): number; arrived(): number } {
    return {
      left: countUdpTo(BYSTANDER_ADDRESS, this.edge(side), "site"),
      arrived: countUdpTo(BYSTANDER_ADDRESS, this.bystander, "eth0"),
    };
  }

  remove(): void {
    for (const one of [...this.#routers.flat(), this.#core, this.server, this.bystander]) one.remove();
  }

  #cut(...rules: readonly string[]): void {
    this.#core.nft(rules.map((rule) => `add rule inet cuts through ${rule}\n`).join(""));
  }

  #chain(side: number, length: number): readonly Namespace[] {
    const routers: Namespace[] = [];
    const site4 = `11.0.${side}.0/24`;
    const site6 = `2001:db8:${side}::/48`;
    let upper = this.#core;
    let upperDevice = `side${side}`;
    for (let hop = length; hop >= 1; hop--) {
      const router = new Namespace(`r${side}-${hop}`);
      router.route();
      const net4 = `10.9.${side * 4 + hop}`;
      const net6 = `fd09:${side}:${hop}`;
      wire(
        { namespace: upper, device: upperDevice, addresses: [`${net4}.1/30`, `${net6}::1/64`] },
        { namespace: router, device: "upper", addresses: [`${net4}.2/30`, `${net6}::2/64`] },
      );
      upper.ip(`route add ${site4} via ${net4}.2`, `route add ${site6} via ${net6}::2`);
      router.ip(`route add default via ${net4}.1`, `route add ::/0 via ${net6}::1`);
      routers.unshift(router);
      upper = router;
      upperDevice = "lower";
    }
    return routers;
  }
}

/** Counts what comes in by a device. */
function countUdpTo(address: string, namespace: Namespace, device: string): () => number {
  namespace.nft(`
table inet watch
delete table inet watch
table inet watch {
 counter strays {
 }
 chain in {
  type filter hook prerouting priority raw;
  iifname "${device}" ip daddr ${address} meta l4proto udp counter name strays
 }
}
`);
  return () => {
    const listed = namespace.run(["nft", "list", "counter", "inet", "watch", "strays"]);
    const count = /packets (\d+)/.exec(listed)?.[1];
    if (count === undefined) throw new Error(`no counter in: ${listed}`);
    return Number(count);
  };
}

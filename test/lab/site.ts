/**
 * A home or an office of the lab: one or two hosts, the NAT (or two in a row) that they stand behind, and what
 * may befall them: a NAT that forgets its mappings, a host that gets another address.
 *
 * Both sites use 192.168.1.0/24 inside, as half of the world's homes do: an address there says nothing about who
 * answers at it. The hosts have different ones, so that a mix-up shows.
 */
import type { Internet } from "./internet.ts";
import { addressLine, Namespace, wire } from "./namespaces.ts";
import { IPV6_FIREWALL_RULES, NAT_TYPES, type NatType, type NatTypeName, natRules } from "./nat-types.ts";

export interface SiteOptions {
  /** The place of the Internet that it is connected at. */
  readonly side: number;
  readonly nat: NatTypeName;
  /** `shared`: two hosts on one LAN; `separate`: two that reach each other by the NAT alone. */
  readonly second?: "shared" | "separate";
  /** Hosts get global IPv6 addresses too, behind a stateful firewall. */
  readonly ipv6?: true;
  /** A mapping that is not used is gone after so many seconds (120 without, as the kernel has it). */
  readonly mappingTimeoutS?: number;
}

const LAN = "192.168.1";
const SECOND_LAN = "192.168.7";
const CARRIER_NET = "100.64.0";

export class Site {
  /** The public address that the site is seen at. */
  readonly publicAddress: string;
  readonly hosts: readonly Namespace[];
  readonly #type: NatType;
  /** From the hosts outwards. */
  readonly #nats: readonly Namespace[] = [];
  readonly #side: number;
  readonly #edge: Namespace;
  /** Network and last byte of the first host's address. */
  readonly #net: string;
  #hostNumber: number;

  constructor(internet: Internet, options: SiteOptions) {
    const { side } = options;
    this.#side = side;
    this.#type = NAT_TYPES[options.nat];
    this.#edge = internet.edge(side);
    this.publicAddress = `11.0.${side}.100`;
    const isPublic = options.nat === "none";
    this.#net = isPublic ? `11.0.${side}` : LAN;
    // 2 on the first side, as in most homes, and others elsewhere.
    this.#hostNumber = isPublic ? 100 : side + 1;
    const edgeEnd = {
      namespace: this.#edge,
      device: "site",
      addresses: [`11.0.${side}.1/24`, `2001:db8:${side}::1/64`],
    };
    if (isPublic) {
      const host = new Namespace(`h${side}a`);
      wire(edgeEnd, { namespace: host, device: "eth0", addresses: [`${this.publicAddress}/24`] });
      host.ip(`route add default via 11.0.${side}.1`);
      this.hosts = [host];
      return;
    }
    const outer = this.#makeNat("n", options);
    wire(edgeEnd, {
      namespace: outer,
      device: "wan",
      addresses: [`${this.publicAddress}/24`, ...(options.ipv6 ? [`2001:db8:${side}::2/64`] : [])],
    });
    outer.ip(`route add default via 11.0.${side}.1`);
    outer.nft(natRules(this.#type, this.publicAddress));
    if (options.ipv6) {
      outer.ip(`route add ::/0 via 2001:db8:${side}::1`);
      outer.nft(IPV6_FIREWALL_RULES);
      this.#edge.ip(`route add 2001:db8:${side}:1::/64 via 2001:db8:${side}::2`);
    }
    const inner = this.#type.isDouble ? this.#putBefore(outer, options) : outer;
    this.#nats = inner === outer ? [outer] : [inner, outer];
    this.hosts = this.#makeHosts(inner, options);
  }

  get host(): Namespace {
    return this.hosts[0]!;
  }

  /** Every mapping is forgotten: what comes next is a first packet again. */
  forget(): void {
    for (const nat of this.#nats) {
      nat.attempt(["conntrack", "-F"]);
      nat.nft("flush map ip nat mapped\nflush set ip nat contacted\n");
    }
  }

  /**
   * The NAT forgets its mappings and gives others from now on, as after a restart: one other port for each
   * socket, or (`symmetric`) a random one for each flow.
   */
  rebind(kind: "port-changing" | "symmetric" = "port-changing"): void {
    for (const [at, nat] of this.#nats.entries()) {
      const address = at === this.#nats.length - 1 ? this.publicAddress : `${CARRIER_NET}.2`;
      const rules = NAT_TYPES[kind].postrouting(address);
      nat.nft(`flush chain ip nat post\n${rules.map((rule) => `add rule ip nat post ${rule}\n`).join("")}`);
      nat.attempt(["conntrack", "-D", "-p", "udp"]);
    }
  }

  /** The first host loses its address and gets another of the same network, as when it is given a new lease. */
  changeHostAddress(): void {
    const old = `${this.#net}.${this.#hostNumber}/24`;
    this.#hostNumber += 40;
    this.host.ip(
      `addr del ${old} dev eth0`,
      `addr add ${this.#net}.${this.#hostNumber}/24 dev eth0`,
      `route replace default via ${this.#net}.1`,
    );
  }

  remove(): void {
    // A namespace dies a little later than it is removed; what stands in another one's is taken away by hand.
    this.#edge.attempt(["ip", "link", "del", "site"]);
    for (const one of [...this.hosts, ...this.#nats]) one.remove();
  }

  #makeNat(label: string, { mappingTimeoutS }: SiteOptions): Namespace {
    const nat = new Namespace(`${label}${this.#side}`);
    nat.route();
    if (mappingTimeoutS !== undefined) {
      // The kernel has these settings once conntrack is in use, which the first rule sees to.
      nat.nft(
        "table ip warm {\n chain c {\n  type filter hook forward priority 0; ct state new accept\n }\n}\n",
      );
      nat.sysctl(
        `net.netfilter.nf_conntrack_udp_timeout=${mappingTimeoutS}`,
        `net.netfilter.nf_conntrack_udp_timeout_stream=${mappingTimeoutS}`,
      );
    }
    return nat;
  }

  /** The home router behind a carrier's NAT. */
  #putBefore(outer: Namespace, options: SiteOptions): Namespace {
    const inner = this.#makeNat("i", options);
    wire(
      { namespace: outer, device: "lan", addresses: [`${CARRIER_NET}.1/24`] },
      { namespace: inner, device: "wan", addresses: [`${CARRIER_NET}.2/24`] },
    );
    inner.ip(`route add default via ${CARRIER_NET}.1`);
    inner.nft(natRules(this.#type, `${CARRIER_NET}.2`));
    return inner;
  }

  #makeHosts(nat: Namespace, options: SiteOptions): readonly Namespace[] {
    const side = this.#side;
    const names = options.second === undefined ? ["a"] : ["a", "b"];
    const hosts = names.map((name) => new Namespace(`h${side}${name}`));
    // One LAN is a bridge in the NAT; separate ones are two devices that pass nothing between each other.
    if (options.second === "shared") {
      // What crosses the bridge is not the router's business: without this its rules would see it.
      nat.attempt([
        "sysctl",
        "-qw",
        "net.bridge.bridge-nf-call-iptables=0",
        "net.bridge.bridge-nf-call-ip6tables=0",
      ]);
      nat.ip("link add lan type bridge", addressLine(`${LAN}.1/24`, "lan"), "link set dev lan up");
      if (options.ipv6) nat.ip(addressLine(`2001:db8:${side}:1::1/64`, "lan"));
    }
    for (const [at, host] of hosts.entries()) {
      const net = options.second === "separate" && at === 1 ? SECOND_LAN : LAN;
      const number = this.#hostNumber + at * 10;
      const isBridged = options.second === "shared";
      const device = isBridged ? `port${at}` : at === 0 ? "lan" : "lan2";
      wire(
        {
          namespace: nat,
          device,
          addresses: isBridged ? [] : [`${net}.1/24`, ...(options.ipv6 ? [`2001:db8:${side}:1::1/64`] : [])],
        },
        {
          namespace: host,
          device: "eth0",
          addresses: [`${net}.${number}/24`, ...(options.ipv6 ? [`2001:db8:${side}:1::${number}/64`] : [])],
        },
      );
      if (isBridged) nat.ip(`link set dev ${device} master lan`);
      host.ip(`route add default via ${net}.1`);
      if (options.ipv6) host.ip(`route add ::/0 via 2001:db8:${side}:1::1`);
    }
    if (options.second === "separate") {
      nat.nft(`add rule ip fw through iifname "lan" oifname "lan2" ct status & dnat == 0 drop
add rule ip fw through iifname "lan2" oifname "lan" ct status & dnat == 0 drop
`);
    }
    return hosts;
  }
}

/**
 * One NAT as the punching simulation needs it: mapping, filtering and port assignment of every kind of RFC 4787, and
 * the habit of Linux that poisons pairs. Time-outs are long beside an attempt, but for what an early packet leaves.
 */
import type { Dependence } from "../../../src/wire/nat-behaviour-codec.ts";
import type { Random } from "../random.ts";

export interface Address {
  readonly address: string;
  readonly port: number;
}

export interface NatKind {
  readonly mapping: Exclude<Dependence, "unknown">;
  readonly filtering: Exclude<Dependence, "unknown">;
  readonly ports: "preserved" | "shifted" | "sequential" | "random" | "block";
  /** An inbound packet that fits nothing is taken for its own and confirms a conntrack entry. */
  readonly isPoisonProne?: boolean;
  readonly hasHairpin?: boolean;
  readonly isBlocked?: boolean;
}

interface Mapping {
  readonly inner: Address;
  readonly port: number;
  readonly contacts: Set<string>;
  usedAtMs: number;
  /** Something came back in: it lives longer. */
  isAnswered: boolean;
}

/** Ports of the carrier-grade kind. */
export const BLOCK: { readonly low: number; readonly high: number } = { low: 40_000, high: 41_023 };
/** How long a mapping lives once it was answered, and before that: as in Linux. */
const ANSWERED_MS = 120_000;
const UNANSWERED_MS = 30_000;

export class NatBox {
  readonly address: string;
  readonly kind: NatKind;
  /** Flows that got another port because an early packet had taken theirs. */
  poisoned = 0;
  private readonly random: Random;
  private readonly byKey = new Map<string, Mapping>();
  private readonly byPort = new Map<number, Mapping>();
  private readonly early = new Map<string, number>();
  private nextPort: number;

  constructor(address: string, kind: NatKind, random: Random) {
    this.address = address;
    this.kind = kind;
    this.random = random;
    this.nextPort = 20_000 + random.below(20_000);
  }

  /** The public source of a packet that goes out. @param isAnswered it is known to be */
  outbound(nowMs: number, inner: Address, remote: Address, isAnswered = false): Address {
    const { mapping } = this.kind;
    const remoteKey = `${remote.address}:${remote.port}`;
    const innerKey = `${inner.address}:${inner.port}`;
    const shared =
      mapping === "endpointIndependent"
        ? innerKey
        : mapping === "addressDependent"
          ? `${innerKey} ${remote.address}`
          : `${innerKey} ${remoteKey}`;
    const flow = `${innerKey} flow ${remoteKey}`;
    let found = this.alive(nowMs, flow) ?? this.alive(nowMs, shared);
    // Linux gives ports to flows: one whose reply would look like an entry that is there gets another port.
    if (found === undefined || !found.contacts.has(remoteKey)) {
      const wanted = found?.port ?? this.choosePort(inner.port);
      const isTaken =
        nowMs - (this.early.get(`${wanted} ${remoteKey}`) ?? Number.NEGATIVE_INFINITY) < UNANSWERED_MS;
      if (isTaken) this.poisoned++;
      if (isTaken) found = this.open(nowMs, flow, inner, this.randomPort());
      else found ??= this.open(nowMs, shared, inner, wanted);
    }
    found.usedAtMs = nowMs;
    found.isAnswered ||= isAnswered;
    found.contacts.add(remoteKey).add(remote.address);
    return { address: this.address, port: found.port };
  }

  /** The inner destination of a packet that comes in; undefined when it ends here. */
  inbound(nowMs: number, port: number, from: Address): Address | undefined {
    const mapping = this.byPort.get(port);
    const remoteKey = `${from.address}:${from.port}`;
    if (mapping !== undefined && isAlive(nowMs, mapping) && this.letsIn(mapping, from.address, remoteKey)) {
      mapping.isAnswered = true;
      return mapping.inner;
    }
    if (this.kind.isPoisonProne === true) this.early.set(`${port} ${remoteKey}`, nowMs);
    return undefined;
  }

  private letsIn(mapping: Mapping, address: string, remoteKey: string): boolean {
    const { filtering } = this.kind;
    if (filtering === "endpointIndependent") return true;
    return mapping.contacts.has(filtering === "addressDependent" ? address : remoteKey);
  }

  private alive(nowMs: number, key: string): Mapping | undefined {
    const mapping = this.byKey.get(key);
    return mapping !== undefined && isAlive(nowMs, mapping) ? mapping : undefined;
  }

  private open(nowMs: number, key: string, inner: Address, port: number): Mapping {
    const mapping: Mapping = { inner, port, contacts: new Set(), usedAtMs: nowMs, isAnswered: false };
    this.byKey.set(key, mapping);
    this.byPort.set(port, mapping);
    return mapping;
  }

  private choosePort(innerPort: number): number {
    switch (this.kind.ports) {
      case "preserved":
        return this.byPort.has(innerPort) ? this.randomPort() : innerPort;
      case "shifted":
        return 2000 + ((innerPort * 7919) % 60_000);
      case "sequential":
        return this.nextPort++;
      default:
        return this.randomPort();
    }
  }

  private randomPort(): number {
    const { low, high } = this.kind.ports === "block" ? BLOCK : { low: 1024, high: 65_535 };
    let port = 0;
    do port = this.random.integer(low, high);
    while (this.byPort.has(port));
    return port;
  }
}

function isAlive(nowMs: number, mapping: Mapping): boolean {
  return nowMs - mapping.usedAtMs < (mapping.isAnswered ? ANSWERED_MS : UNANSWERED_MS);
}

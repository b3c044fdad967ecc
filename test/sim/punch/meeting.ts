/** One meeting of two hosts behind NATs, from a seed. */
import { Random } from "../random.ts";
import { World } from "../world.ts";
import { type CoreOptions, Internet, Site } from "./internet.ts";
import { KINDS, type KindName } from "./kinds.ts";
import { NatBox, type NatKind } from "./nat-box.ts";
import { PunchHost, type PunchHostOptions } from "./punch-host.ts";

export interface MeetingOptions {
  readonly core?: Partial<CoreOptions>;
  readonly initiator?: Partial<PunchHostOptions>;
  readonly responder?: Partial<PunchHostOptions>;
  /** Both hosts behind the initiator's NATs, on one network. */
  readonly isSameSite?: boolean;
}

export interface Subscription {
  readonly world: World;
  readonly internet: Internet;
  readonly initiator: PunchHost;
  readonly responder: PunchHost;
}

const START_MS = 1_000_000;

export function meet(
  a: KindName | readonly NatKind[],
  b: KindName | readonly NatKind[],
  seed: number,
  options: MeetingOptions = {},
): Subscription {
  const world = new World(START_MS);
  const random = (label: string): Random => new Random(seed, label);
  const chance = random("core");
  const core: CoreOptions = {
    delayMs: chance.logarithmic(2, 120),
    jitterMs: chance.logarithmic(0.1, 20),
    lossRate: 0,
    duplicateRate: 0,
    hops: chance.integer(1, 8),
    ...options.core,
  };
  const internet = new Internet(world, random("routes"), core);
  const site = (name: string, kinds: readonly NatKind[], net: number): Site => {
    const publicAddress = `11.0.${net}.100`;
    const nats = kinds.map((kind, i) => {
      const isOutermost = i === kinds.length - 1;
      return new NatBox(isOutermost ? publicAddress : `100.64.${net}.2`, kind, random(`${name} nat ${i}`));
    });
    return new Site(internet, nats.length === 0 ? publicAddress : `192.168.${net}.2`, nats);
  };
  const host = (role: "initiator" | "responder", kinds: readonly NatKind[], net: number): PunchHost => {
    const own = options[role] ?? {};
    const point =
      role === "responder" && options.isSameSite === true
        ? new Site(internet, "192.168.1.3", initiator.site.nats)
        : site(role, kinds, net);
    return new PunchHost(world, random(role), point, {
      signalMs: chance.logarithmic(5, 400),
      ...own,
      role,
    });
  };
  const initiator: PunchHost = host("initiator", typeof a === "string" ? KINDS[a] : a, 1);
  const responder = host("responder", typeof b === "string" ? KINDS[b] : b, 2);
  initiator.peer = responder;
  responder.peer = initiator;
  world.at(START_MS, () => initiator.start());
  world.at(START_MS, () => responder.start());
  return { world, internet, initiator, responder };
}

/** Runs until both have settled; gives up after `limitMs`. Says when both knew a direct pair, from the start. */
export function run(subscription: Subscription, limitMs = 40_000): number {
  const { world, initiator, responder } = subscription;
  const startMs = world.now;
  world.run(startMs + limitMs, () => initiator.agent.isSettled && responder.agent.isSettled);
  return Math.max(initiator.directAtMs, responder.directAtMs) - startMs;
}

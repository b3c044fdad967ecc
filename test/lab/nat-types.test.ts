/**
 * The lab itself on trial: each kind of NAT does what its name says, first by coturn's word, then by what bare
 * UDP sockets get through. A lab that is kinder or harsher than the world would prove nothing.
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Internet } from "./internet.ts";
import { removeAllNamespaces, whyNoLab } from "./namespaces.ts";
import { COTURN_TOOLS, discover, startCoturn } from "./nat-discovery.ts";
import { NAT_TYPES, type NatTypeName } from "./nat-types.ts";
import { punchRaw, type RawWay, startEchoes } from "./raw-peer.ts";
import { Site } from "./site.ts";

const obstacle = whyNoLab(COTURN_TOOLS);
if (obstacle !== undefined) console.log(`skipped: ${obstacle}`);

const names = Object.keys(NAT_TYPES) as NatTypeName[];

describe.skipIf(obstacle !== undefined)("what coturn says of each NAT", () => {
  afterAll(removeAllNamespaces);

  it("is its type's mapping and filtering", async () => {
    const internet = new Internet({ sides: names.length, routersASide: 1 });
    const coturn = await startCoturn(internet);
    const sites = names.map((nat, at) => new Site(internet, { side: at + 1, nat }));
    const verdicts = await Promise.all(sites.map(({ host }) => discover(host)));
    await coturn.stop();
    const expected = names.map((name) => {
      const { mapping, filtering, dropsUdp } = NAT_TYPES[name];
      return [name, dropsUdp ? undefined : { mapping, filtering }];
    });
    expect(names.map((name, at) => [name, verdicts[at]])).toEqual(expected);
  });
});

describe.skipIf(obstacle !== undefined)("bare sockets", () => {
  let internet: Internet;
  let echoes: Awaited<ReturnType<typeof startEchoes>>;
  let sites: readonly Site[] = [];

  beforeAll(async () => {
    internet = new Internet();
    echoes = await startEchoes(internet.server);
  });
  afterEach(() => {
    for (const site of sites) site.remove();
  });
  afterAll(async () => {
    await echoes.stop();
    removeAllNamespaces();
  });

  const rows: readonly (readonly [NatTypeName, NatTypeName, RawWay, boolean])[] = [
    ["none", "none", "oneSided", true],
    ["full-cone", "full-cone", "oneSided", true],
    ["port-restricted", "port-restricted", "together", true],
    ["port-restricted", "port-restricted", "early", true],
    ["none", "port-restricted", "oneSided", false],
    ["none", "address-restricted", "oneSided", false],
    ["port-changing", "port-restricted", "together", true],
    ["double", "double", "together", true],
    ["symmetric", "none", "together", true],
    ["symmetric", "full-cone", "together", true],
    ["symmetric", "address-restricted", "together", true],
    ["symmetric", "port-restricted", "together", false],
    ["symmetric", "symmetric", "predicted", false],
    ["sequential", "port-restricted", "together", false],
    ["sequential", "port-restricted", "predicted", true],
    ["port-block", "port-restricted", "predicted", false],
    ["port-block", "full-cone", "together", true],
    ["udp-blocked", "none", "together", false],
    ["poison-prone", "poison-prone", "early", false],
    ["poison-prone", "poison-prone", "lowTtlFirst", true],
    ["port-restricted", "poison-prone", "early", false],
    ["poison-prone", "port-restricted", "early", true],
  ];

  it.each(rows)("%s – %s, %s: %s", async (first, second, way, isLinked) => {
    sites = [new Site(internet, { side: 1, nat: first }), new Site(internet, { side: 2, nat: second })];
    expect(await punchRaw([sites[0]!.host, sites[1]!.host], way)).toBe(isLinked);
  });

  it.each([
    ["hairpin", true],
    ["port-restricted", false],
  ] as const)(
    "two hosts behind one NAT reach each other by its public address: %s, %s",
    async (nat, isLinked) => {
      const site = new Site(internet, { side: 1, nat, second: "separate" });
      sites = [site];
      expect(await punchRaw([site.host, site.hosts[1]!], "together")).toBe(isLinked);
    },
  );

  it.each([
    ["together", true],
    ["oneSided", false],
  ] as const)("two hosts behind stateful IPv6 firewalls, %s: %s", async (way, isLinked) => {
    sites = ([1, 2] as const).map((side) => new Site(internet, { side, nat: "symmetric", ipv6: true }));
    expect(await punchRaw([sites[0]!.host, sites[1]!.host], way, 6)).toBe(isLinked);
  });
});

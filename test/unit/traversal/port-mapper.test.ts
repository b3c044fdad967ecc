import { afterEach, describe, expect, it } from "vitest";
import { Endpoint } from "../../../src/link/endpoint.ts";
import { UdpSocket } from "../../../src/platform/udp/udp-socket.ts";
import { Gatherer } from "../../../src/traversal/gather/gatherer.ts";
import { guessGateways, parseRoutes } from "../../../src/traversal/gather/port-mapping/gateway.ts";
import { PortMapper } from "../../../src/traversal/gather/port-mapping/port-mapper.ts";
import { pause, within } from "../../lib/deadline.ts";
import { HomeRouter, type HomeRouterOptions, PUBLIC_ADDRESS } from "../../lib/home-router.ts";

const INTERNAL = 40_404;
const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end();
});

async function start(
  options: HomeRouterOptions,
): Promise<{ router: HomeRouter; mapper: PortMapper; by: string[] }> {
  const router = await HomeRouter.start(options);
  const mapper = new PortMapper(INTERNAL, router.points);
  const by: string[] = [];
  mapper.onMapped = (_mapping, name) => by.push(name);
  ends.push(
    () => router.close(),
    () => mapper.close(),
  );
  await mapper.start();
  return { router, mapper, by };
}

describe("a public port", () => {
  const routers = [
    { name: "PCP", options: { pcp: "grants", natPmp: true, upnp: true } },
    { name: "NAT-PMP where PCP is too new", wanted: "NAT-PMP", options: { pcp: "tooNew", natPmp: true } },
    { name: "NAT-PMP where PCP meets silence", wanted: "NAT-PMP", options: { natPmp: true, upnp: true } },
    { name: "UPnP where the others meet silence", wanted: "UPnP", options: { upnp: true } },
    { name: "UPnP where PCP is refused", wanted: "UPnP", options: { pcp: "refuses", upnp: true } },
  ] as const;
  for (const { name, options, ...rest } of routers) {
    it(`comes by ${name}, and goes at the end`, async () => {
      const { router, mapper, by } = await start(options);
      expect(by).toEqual(["wanted" in rest ? rest.wanted : name]);
      expect(mapper.mapping).toMatchObject({ address: PUBLIC_ADDRESS, port: router.mapped.get(INTERNAL) });
      expect([...router.mapped.keys()]).toEqual([INTERNAL]);
      expect(router.asked.at(-1)).toMatchObject({ lifetimeS: 7200 });
      await mapper.close();
      expect(router.mapped.size).toBe(0);
    });
  }

  it("is absent when no router answers", async () => {
    const { mapper, by } = await start({});
    expect(mapper.mapping).toBeUndefined();
    expect(by).toEqual([]);
  });

  it("is not asked for again and again when it is granted for ever", async () => {
    // 2^32 - 1 seconds are more than a timer of Node's can wait: it would fire at once.
    const { router } = await start({ pcp: "grants", forEver: true });
    await pause(100);
    expect(router.asked).toHaveLength(1);
  });

  it("is asked for again at half its time", async () => {
    const { router } = await start({ pcp: "grants", lifetimeS: 2 });
    expect(router.asked).toHaveLength(1);
    const startMs = performance.now();
    await expect
      .poll(() => router.asked.length, { timeout: 15_000, message: "requests to the router" })
      .toBeGreaterThanOrEqual(3);
    expect(performance.now() - startMs).toBeGreaterThan(1500);
    // The port that was got is asked for, so that candidates stay true.
    expect(router.asked.at(-1)!.externalPort).toBe(router.mapped.get(INTERNAL));
  });

  it("is another one by UPnP when somebody has it, and for ever when the router knows nothing else", async () => {
    const { router, mapper } = await start({ upnp: true, upnpErrors: [718, 725] });
    expect(router.asked.map(({ lifetimeS }) => lifetimeS).slice(-3)).toEqual([7200, 7200, 0]);
    expect(mapper.mapping?.port).not.toBe(INTERNAL);
    expect(router.mapped.get(INTERNAL)).toBe(mapper.mapping?.port);
  });

  it("is not sought at an address that somebody else names", async () => {
    const other = await HomeRouter.start({ upnp: true });
    ends.push(() => other.close());
    const port = other.points.ssdp!.port;
    const elsewhere = [`http://127.0.0.2:${port}/`, `https://127.0.0.1:${port}/`, "file:///etc/passwd", "x"];
    const sought = elsewhere.map(async (location) => {
      const { router, mapper } = await start({ upnp: true, location });
      expect(mapper.mapping).toBeUndefined();
      return router.webRequests;
    });
    expect(await Promise.all(sought)).toEqual([0, 0, 0, 0]);
    expect(other.webRequests).toBe(0);
  });
});

it("becomes a candidate of the socket that has it", async () => {
  const router = await HomeRouter.start({ pcp: "grants" });
  const socket = await UdpSocket.bind({ family: 4, port: 0 });
  const endpoint = new Endpoint([socket]);
  const gatherer = new Gatherer(endpoint, { stunServers: [], portMapping: true, routers: router.points });
  ends.push(
    () => router.close(),
    () => endpoint.close(),
    () => gatherer.close(),
  );
  const mapped = new Promise<unknown>((resolve) => {
    gatherer.onCandidate = ({ candidate }) => {
      if (candidate.kind === "portMapped") resolve(candidate);
    };
  });
  gatherer.start([socket]);
  expect(await within(mapped, 5000, () => "no candidate")).toMatchObject({
    address: PUBLIC_ADDRESS,
    family: 4,
  });
  // A new round tells it again, without another port.
  gatherer.start([socket]);
  expect(gatherer.candidates.some(({ candidate }) => candidate.kind === "portMapped")).toBe(true);
  await gatherer.close();
  expect(router.mapped.size).toBe(0);
});

it("finds the default route in the kernel's table", () => {
  const table = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0
eth0\t00000000\t0109A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t0009A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
tun0\t00000000\t00000000\t0001\t0\t0\t50\t00000000\t0\t0\t0
`;
  expect(parseRoutes(table)).toEqual(["192.168.9.1", "192.168.1.1"]);
  expect(parseRoutes("")).toEqual([]);
  const entry = { netmask: "", mac: "", internal: false, cidr: null, family: "IPv4" } as const;
  expect(
    guessGateways({
      en0: [
        { ...entry, address: "10.1.2.3" },
        { ...entry, address: "8.8.4.4" },
      ],
    }),
  ).toEqual(["10.1.2.1"]);
});

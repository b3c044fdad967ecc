/** Pairs of NATs that meet at a rendezvous server: the short form of `npm run lab -- matrix`, a pair of each technique. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { endAll } from "../lib/srudp-process.ts";
import { Internet, SERVER_ADDRESS_6 } from "./internet.ts";
import { linkTrial } from "./link-trial.ts";
import { freshCodeFile, MEETING_WORDS, meetingTries, startMeetingPlace } from "./matrix.ts";
import { removeAllNamespaces, whyNoLab } from "./namespaces.ts";
import { Site } from "./site.ts";

const obstacle = whyNoLab();
if (obstacle !== undefined) console.log(`skipped: ${obstacle}`);

/** Two seconds with the machine to itself (`npm run lab`); tests share it with whatever else runs. */
const RELAY_WITHIN_MS = 8000;

describe.skipIf(obstacle !== undefined)("two behind NAT with a code", () => {
  let internet: Internet;
  beforeAll(async () => {
    internet = new Internet();
    await startMeetingPlace(internet);
  });
  afterAll(async () => {
    await endAll();
    removeAllNamespaces();
  });

  it.each([
    ["none", "port-restricted"],
    ["port-restricted", "double"],
    ["poison-prone", "poison-prone"],
    ["symmetric", "full-cone"],
    ["sequential", "port-restricted"],
    ["symmetric", "port-restricted"],
    ["symmetric", "symmetric"],
    ["udp-blocked", "port-restricted"],
  ] as const)("%s – %s are linked as they can be", async (one, other) => {
    const { isRight, tries, expected } = await meetingTries(internet, [one, other], 1, RELAY_WITHIN_MS);
    const [only] = tries;
    expect(isRight, only?.trouble ?? `${only?.firstPath}→${only?.path}, expected ${expected}`).toBe(true);
  });

  it.each([
    ["with a rendezvous server", "port-restricted", MEETING_WORDS],
    ["without any server", "udp-blocked", ["--no-dht"]],
  ] as const)("two on one LAN find the LAN's path, %s", async (_, nat, ways) => {
    const site = new Site(internet, { side: 1, nat, second: "shared" });
    const words = ["--code-file", freshCodeFile(), ...ways];
    const result = await linkTrial({
      ends: [
        { host: site.host, words: ["listen", ...words] },
        { host: site.hosts[1]!, words: ["connect", ...words] },
      ],
      bytes: 1_000_000,
    });
    site.remove();
    expect(result.trouble ?? result.path).toBe("lan");
  });

  it("two with IPv6 behind stateful firewalls go direct by it, where IPv4 could not", async () => {
    const sites = [1, 2].map((side) => new Site(internet, { side, nat: "symmetric", ipv6: true })) as [
      Site,
      Site,
    ];
    const points = ["--rendezvous", `udp://[${SERVER_ADDRESS_6}]:3478`, ...MEETING_WORDS];
    const words = ["--code-file", freshCodeFile(), ...points];
    const result = await linkTrial({
      ends: [
        { host: sites[0].host, words: ["listen", ...words] },
        { host: sites[1].host, words: ["connect", ...words] },
      ],
      bytes: 1_000_000,
      patienceForDirectMs: 15_000,
    });
    for (const site of sites) site.remove();
    expect(result.trouble ?? result.path).toBe("direct");
    expect(result.remote).toMatch(/^\[2001:db8:/);
  });
});

/** Pairs that no packet gets through between, linked by a TURN server; and what the doctor says of such networks. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { endAll, SrudpProcess } from "../lib/srudp-process.ts";
import { Internet, SERVER_ADDRESS, SERVER_SECOND_ADDRESS } from "./internet.ts";
import { linkTrial } from "./link-trial.ts";
import { freshCodeFile } from "./matrix.ts";
import { removeAllNamespaces, whyNoLab } from "./namespaces.ts";
import { COTURN_TOOLS, type Coturn, startCoturn, TURN_PASSWORD, TURN_USER } from "./nat-discovery.ts";
import type { NatTypeName } from "./nat-types.ts";
import { Site } from "./site.ts";

const obstacle = whyNoLab(COTURN_TOOLS);
if (obstacle !== undefined) console.log(`skipped: ${obstacle}`);

/** coturn has 3478 and, on its second address, 3479. */
const MEETING_PORT = 4478;
const MEETING_WORDS = [
  ...["--rendezvous", `udp://${SERVER_ADDRESS}:${MEETING_PORT}`, "--no-dht", "--no-lan"],
  ...["--stun", `${SERVER_ADDRESS}:3478`, "--stun", `${SERVER_SECOND_ADDRESS}:3478`],
];
const RELAY = `turn:${TURN_USER}:${TURN_PASSWORD}@${SERVER_ADDRESS}:3478`;

describe.skipIf(obstacle !== undefined)("a TURN server on the Internet", () => {
  let internet: Internet;
  let coturn: Coturn;
  beforeAll(async () => {
    internet = new Internet();
    coturn = await startCoturn(internet);
    const words = ["rendezvous", "--port", String(MEETING_PORT), "--no-relay"];
    const point = SrudpProcess.start(words, { launcher: internet.server.launcher, stdin: "nothing" });
    await point.event("rendezvous");
  });
  afterAll(async () => {
    await endAll();
    await coturn?.stop();
    removeAllNamespaces();
  });

  it.each([
    { nats: ["symmetric", "symmetric"], relays: [RELAY, RELAY], what: "both have a relay" },
    { nats: ["symmetric", "symmetric"], relays: [RELAY, undefined], what: "the listener has one" },
    {
      nats: ["symmetric", "symmetric"],
      relays: [undefined, `${RELAY}?transport=tcp`],
      what: "the connector has one by TCP",
    },
  ] as const)("carries $nats where $what", async ({ nats, relays }) => {
    const sites = nats.map((nat, at) => new Site(internet, { side: at + 1, nat }));
    const code = ["--code-file", freshCodeFile(), ...MEETING_WORDS];
    const envOf = (at: 0 | 1): Record<string, string> =>
      relays[at] === undefined ? {} : { SRUDP_TURN: relays[at] };
    const result = await linkTrial({
      ends: [
        { host: sites[0]!.host, words: ["listen", ...code], env: envOf(0) },
        { host: sites[1]!.host, words: ["connect", ...code], env: envOf(1) },
      ],
      bytes: 2_000_000,
    });
    for (const site of sites) site.remove();
    expect(result.trouble ?? result.path).toBe("relay");
    // The direct paths get 1.5 s first. With both cores free it is 1.9 s from the start of the processes.
    expect(result.connectedMs).toBeLessThan(4000);
    console.log(`${nats.join("–")}: relayed after ${Math.round(result.connectedMs!)} ms`);
  });

  const reports: readonly (readonly [NatTypeName, object, object])[] = [
    [
      "port-restricted",
      { standing: "easyNat", remedy: "none" },
      { mapping: "endpointIndependent", filtering: "addressAndPortDependent", portPattern: "preserved" },
    ],
    [
      "full-cone",
      { standing: "easyNat", remedy: "none" },
      { mapping: "endpointIndependent", filtering: "endpointIndependent", isHard: false },
    ],
    [
      "symmetric",
      { standing: "hardNat", remedy: "openPortHere" },
      { mapping: "addressAndPortDependent", portPattern: "random", isHard: true },
    ],
    [
      "sequential",
      { standing: "countingNat", remedy: "openPortHere" },
      { mapping: "addressAndPortDependent", portPattern: "sequential", portStep: 1, isHard: false },
    ],
    ["udp-blocked", { standing: "udpBlocked", remedy: "relayByTcp" }, { mapping: "unknown" }],
  ];
  it.each(reports)("and %s: the doctor knows it", async (nat, verdict, behaviour) => {
    const site = new Site(internet, { side: 1, nat });
    const doctor = SrudpProcess.start(["doctor", ...MEETING_WORDS], {
      launcher: site.host.launcher,
      env: { SRUDP_TURN: `${RELAY}?transport=tcp` },
    });
    const report = JSON.parse(String(await doctor.output.rest())) as {
      readonly ipv4: { readonly behaviour: object };
      readonly [field: string]: unknown;
    };
    site.remove();
    expect(report.ipv4.behaviour).toMatchObject(behaviour);
    expect(report.verdict).toEqual(verdict);
    expect(report.relays).toEqual([expect.objectContaining({ works: true })]);
    expect(report.mappedPort).toBeNull();
    expect(JSON.stringify(report)).not.toContain(TURN_PASSWORD);
  });

  it.each([
    [
      ["symmetric", "symmetric"],
      { path: "relay", reason: "relay", outcome: "unlikely", remedy: "openPortHere" },
      ["relay"],
    ],
    [["port-restricted", "sequential"], { path: "direct", outcome: "likely", remedy: "none" }, ["direct"]],
  ] as const)(
    "and %s: the doctor foretells the link, tries it, and leaves the code good",
    async (nats, prediction, paths) => {
      const sites = nats.map((nat, at) => new Site(internet, { side: at + 1, nat }));
      const code = ["--code-file", freshCodeFile(), ...MEETING_WORDS];
      const env = { SRUDP_TURN: RELAY };
      const listener = SrudpProcess.start(["listen", ...code], { launcher: sites[0]!.host.launcher, env });
      await listener.event("listening");
      const doctor = SrudpProcess.start(["doctor", ...code], { launcher: sites[1]!.host.launcher, env });
      const report = JSON.parse(String(await doctor.output.rest())) as {
        prediction: object;
        paths: { path: string }[];
      };
      expect(report.prediction).toMatchObject(prediction);
      expect(report.paths.map(({ path }) => path)).toEqual(expect.arrayContaining([...paths]));
      const connector = SrudpProcess.start(["connect", ...code], { launcher: sites[1]!.host.launcher, env });
      await connector.event("connected");
      for (const site of sites) site.remove();
    },
  );
});

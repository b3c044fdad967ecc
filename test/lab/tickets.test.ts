/** Tickets through real NATs: nothing passes between the two but what is pasted, and that takes its time. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pause } from "../lib/deadline.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";
import { Internet, SERVER_ADDRESS } from "./internet.ts";
import { startMeetingPlace } from "./matrix.ts";
import { removeAllNamespaces, whyNoLab } from "./namespaces.ts";
import type { NatTypeName } from "./nat-types.ts";
import { Site } from "./site.ts";

const obstacle = whyNoLab();
if (obstacle !== undefined) console.log(`skipped: ${obstacle}`);

const WAYS = ["--stun", `${SERVER_ADDRESS}:3478`, "--no-dht", "--no-lan", "--no-port-mapping"];
/** Longer than a NAT remembers a packet that nobody answered (30 s in Linux). */
const PASTING_MS = 40_000;

describe.skipIf(obstacle !== undefined)("a ticket through NATs", () => {
  let internet: Internet;
  beforeAll(async () => {
    internet = new Internet();
    await startMeetingPlace(internet);
  });
  afterAll(async () => {
    await endAll();
    removeAllNamespaces();
  });

  it.each<[NatTypeName, NatTypeName, number]>([
    ["port-restricted", "port-restricted", PASTING_MS],
    ["poison-prone", "poison-prone", 0],
    ["double", "port-changing", 0],
  ])("%s and %s meet directly, the answer pasted after %i ms", async (one, other, pastingMs) => {
    const sites = [new Site(internet, { side: 1, nat: one }), new Site(internet, { side: 2, nat: other })];
    const answerFile = join(temporaryFolder(), "answer");
    const listener = SrudpProcess.start(["listen", "--ticket", "--answer-file", answerFile, ...WAYS], {
      launcher: sites[0]!.host.launcher,
    });
    const { ticket } = await listener.event("ticket");
    const connector = SrudpProcess.start(["connect", ticket, ...WAYS], {
      launcher: sites[1]!.host.launcher,
    });
    const answer = await connector.event("answer");
    await pause(pastingMs);
    writeFileSync(answerFile, `${answer.ticket}\n`);
    expect(await connector.event("connected")).toMatchObject({ auth: "ticket", path: "direct" });
    await connector.input.write("through");
    connector.input.end();
    listener.input.end();
    expect((await listener.output.rest()).toString()).toBe("through");
    expect(await Promise.all([connector.exit(), listener.exit()])).toEqual([0, 0]);
    for (const site of sites) site.remove();
  });
});

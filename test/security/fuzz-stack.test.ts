/** A short form of `npm run fuzz:stack`: malicious peers and clients against each command, all invariants held. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { builtFile } from "../lib/paths.ts";

const INTERACTIONS = 6000;
const TARGETS = "forwards,forwarder,programs,rendezvous";
const TIMEOUT_MS = 240_000;

it(
  "malicious peers and clients end no command, harm no other link and leave nothing behind",
  async () => {
    const words = [
      "--interactions",
      String(INTERACTIONS),
      "--only",
      TARGETS,
      "--seed",
      "1",
      "--failures",
      "3",
    ];
    const campaign = spawn(process.execPath, [
      fileURLToPath(builtFile("test/fuzz/stack/campaign.js")),
      ...words,
    ]);
    let said = "";
    for (const stream of [campaign.stdout, campaign.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => {
        said += text;
      });
    const [status] = await once(campaign, "close");
    expect(said).toContain(" 0 failed");
    expect(status).toBe(0);
    expect(Number(/(\d+) interactions in/.exec(said)?.[1])).toBeGreaterThan(INTERACTIONS * 0.9);
  },
  TIMEOUT_MS,
);

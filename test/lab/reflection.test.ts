/** What somebody who has nothing to do with it gets when a made-up ticket names his address: next to nothing. */
import { randomBytes } from "node:crypto";
import { afterAll, describe, expect, it } from "vitest";
import type { Candidate } from "../../src/wire/candidate-codec.ts";
import { SESSION_NONCE_BYTES, SIGNAL_CANDIDATES_LIMIT } from "../../src/wire/signal.ts";
import { encodeTicket, TICKET_PSK_BYTES } from "../../src/wire/ticket.ts";
import { endAll, SrudpProcess } from "../lib/srudp-process.ts";
import { BYSTANDER_ADDRESS, Internet } from "./internet.ts";
import { removeAllNamespaces, whyNoLab } from "./namespaces.ts";
import { Site } from "./site.ts";

const obstacle = whyNoLab();
if (obstacle !== undefined) console.log(`skipped: ${obstacle}`);

/** docs/nat-traversal.md: checks and openings to an address that a ticket named and that never answered. */
const MAX_PACKETS = 60;
const PATIENCE_S = 25;

describe.skipIf(obstacle !== undefined)(
  "a ticket that names a bystander's address at every port it has room for",
  () => {
    afterAll(async () => {
      await endAll();
      removeAllNamespaces();
    });

    it("gets him a handful of packets from whoever believes it", async () => {
      const internet = new Internet();
      const site = new Site(internet, { side: 1, nat: "port-restricted" });
      const bystander = internet.watchBystander(1);
      const nowS = Math.floor(Date.now() / 1000);
      const candidates = Array.from(
        { length: SIGNAL_CANDIDATES_LIMIT },
        (_, at): Candidate => ({
          kind: "serverReflexive",
          address: BYSTANDER_ADDRESS,
          port: 5000 + at,
          family: 4,
        }),
      );
      const ticket = encodeTicket({
        kind: "offer",
        expiresAtS: nowS + 600,
        psk: new Uint8Array(randomBytes(TICKET_PSK_BYTES)),
        signal: {
          role: "responder",
          attempt: 1,
          generation: 1,
          sessionNonce: new Uint8Array(randomBytes(SESSION_NONCE_BYTES)),
          sentAtS: nowS,
          nat: {
            mapping: "endpointIndependent",
            filtering: "endpointIndependent",
            portPattern: "preserved",
            isHard: false,
          },
          candidates,
          hasOpened: true,
        },
      });
      const words = ["connect", ticket, "--no-dht", "--no-lan", "-w", String(PATIENCE_S)];
      const failure = await SrudpProcess.start(words, { launcher: site.host.launcher }).failure(60_000);
      expect(failure).toMatchObject({ status: 75 });
      const [left, arrived] = [bystander.left(), bystander.arrived()];
      console.log(
        `in ${PATIENCE_S} s ${left} packets left the site for the bystander, ${arrived} reached him`,
      );
      expect(left).toBeGreaterThan(0);
      expect(left).toBeLessThanOrEqual(MAX_PACKETS);
      expect(arrived).toBeLessThanOrEqual(left);
    });
  },
);

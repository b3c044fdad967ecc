/** Wrong codes and keys, killed peers, and what leaks, with real commands. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { sentenceOf } from "../../src/cli/failures.ts";
import { BytePattern } from "../lib/byte-pattern.ts";
import { pause } from "../lib/deadline.ts";
import { newIdentity, talk } from "../lib/identities.ts";
import { CODE, loopback, startListener, startPair } from "../lib/pair.ts";
import { connectTo, failure } from "../lib/refusal.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";
import { openUdp, unusedPort } from "../lib/udp.ts";

afterEach(endAll);

const WRONG_CODE = "42-ocean-lizard-abandon";
const pattern = new BytePattern(9);

describe("a wrong code", () => {
  it("15 · ends the connector with 77 within 5 s, and the listener stays for the right one", async () => {
    const { listener, port } = await startListener([], { env: { SRUDP_CODE: CODE } });
    for (let guess = 1; guess <= 2; guess++) {
      const startedMs = performance.now();
      await failure(connectTo(loopback(port), [], { SRUDP_CODE: WRONG_CODE }), "ERR_WRONG_CODE");
      expect(performance.now() - startedMs).toBeLessThan(5000);
      expect(await listener.event("guess")).toMatchObject({ failures: guess });
    }
    const right = connectTo(loopback(port));
    await Promise.all([right.event("connected"), listener.event("connected")]);
    right.input.end();
    listener.input.end();
    expect(await right.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
  });

  it("14 · ends the listener with 77 after the third", async () => {
    const { listener, port } = await startListener([], { env: { SRUDP_CODE: CODE } });
    for (let guess = 1; guess <= 3; guess++) {
      await failure(connectTo(loopback(port), [], { SRUDP_CODE: WRONG_CODE }), "ERR_WRONG_CODE");
    }
    const failed = await listener.failure();
    expect(failed.status).toBe(77);
    expect(listener.events.filter(({ event }) => event === "guess")).toHaveLength(3);
  });

  it("32 · is never repeated in what is said", async () => {
    const { listener, port } = await startListener([], { env: { SRUDP_CODE: CODE } });
    const connector = connectTo(loopback(port), [], { SRUDP_CODE: WRONG_CODE });
    await failure(connector, "ERR_WRONG_CODE");
    expect(connector.said).not.toContain("lizard");
    expect(listener.said).not.toContain("lizard");
  });
});

describe("a malformed code", () => {
  const codes = [
    "7",
    "7-",
    "",
    "100-ocean-lizard-maple",
    "42-ocean-lizard",
    "42-ocean-lizard-mapl3",
    "42-осean-lizard-maple",
  ];

  it.each(codes)("16 · %j ends with 65 before anything is sent", async (code) => {
    const stranger = await openUdp();
    const file = join(temporaryFolder(), "code");
    writeFileSync(file, code);
    let heard = 0;
    stranger.on("message", () => heard++);
    await failure(connectTo(loopback(stranger.address().port), ["--code-file", file], {}), "ERR_CODE_FORMAT");
    expect(heard).toBe(0);
    stranger.close();
  });

  it("16 · of a megabyte ends with 65", async () => {
    const file = join(temporaryFolder(), "code");
    writeFileSync(file, "42-ocean-".repeat(120_000));
    await failure(connectTo(loopback(9), ["--code-file", file], {}), "ERR_CODE_FORMAT");
  });

  it("16 · in the environment ends with 65", async () => {
    await failure(connectTo(loopback(9), [], { SRUDP_CODE: "7-" }), "ERR_CODE_FORMAT");
  });
});

describe("keys", () => {
  it("18 · other than the pinned one end the connector with 77", async () => {
    const [a, b, c] = [await newIdentity(), await newIdentity(), await newIdentity()];
    const { port } = await startListener(["--allow", b.key], { configHome: a.configHome });
    const connector = SrudpProcess.start(["connect", loopback(port), "--peer", c.key], {
      configHome: b.configHome,
    });
    expect(await connector.failure()).toMatchObject({ status: 77, code: "ERR_PEER_KEY" });
  });

  it("20 · unknown keys are refused with 77 when there is no person to ask", async () => {
    const [a, b] = [await newIdentity(), await newIdentity()];
    const { port } = await startListener(["--allow", b.key], { configHome: a.configHome });
    const identity = join(b.configHome, "srudp", "identity");
    const connector = SrudpProcess.start(["connect", loopback(port), "--identity", identity], {
      configHome: b.configHome,
    });
    expect(await connector.failure()).toMatchObject({ status: 77, code: "ERR_PEER_UNKNOWN" });
  });

  it("19 · accepted once are known from then on, and a changed one is fatal", async () => {
    const [a, b, c] = [await newIdentity(), await newIdentity(), await newIdentity()];
    const port = await unusedPort();
    const meet = async (words: readonly string[]): Promise<void> => {
      const listener = SrudpProcess.start(["listen", String(port), "--allow", b.key], {
        configHome: a.configHome,
      });
      await listener.event("listening");
      const connector = SrudpProcess.start(["connect", loopback(port), ...words], {
        configHome: b.configHome,
      });
      await Promise.all([connector.event("connected"), listener.event("connected")]);
      await talk({ listener, connector, port });
    };
    await meet(["--accept-new"]);
    // Now the key is in known_peers: no option, no question.
    await meet([]);

    const impostor = SrudpProcess.start(["listen", String(port), "--allow", b.key], {
      configHome: c.configHome,
    });
    await impostor.event("listening");
    for (const words of [[], ["--accept-new"]]) {
      const connector = SrudpProcess.start(["connect", loopback(port), ...words], {
        configHome: b.configHome,
      });
      const failed = await connector.failure();
      expect(failed).toMatchObject({ status: 77, code: "ERR_PEER_KEY" });
      expect(failed.message).toContain(sentenceOf("ERR_PEER_KEY"));
    }
  });
});

describe("a peer killed with SIGKILL", () => {
  it.each(["listener", "connector"] as const)(
    "26 · (the %s) ends the other with 74 within its idle timeout and 2 s",
    async (victim) => {
      const idle = ["--idle-timeout", "2"];
      const pair = await startPair({ listenWords: idle, connectWords: idle });
      const killed = pair[victim];
      const left = victim === "listener" ? pair.connector : pair.listener;
      await killed.input.write(pattern.slice(0, 300_000));
      // Time to arrive, though nobody reads stdout yet: pipe, windows and buffers hold it.
      await left.output.take(1);
      await pause(300);
      killed.kill("SIGKILL");
      const killedMs = performance.now();
      const [failed, rest] = await Promise.all([left.failure(), left.output.rest()]);
      expect(failed).toMatchObject({ status: 74, code: "ERR_LINK_LOST" });
      expect(performance.now() - killedMs).toBeLessThan(4000);
      expect(rest.length).toBe(299_999);
      pattern.check(1, rest);
    },
  );
});

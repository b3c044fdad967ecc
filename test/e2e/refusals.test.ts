/** Everything that can go wrong before there is a link: the documented status and one clear sentence. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { ERRORS, type ErrorCode } from "../../src/base/errors.ts";
import { CODE, loopback, startListener, startPair } from "../lib/pair.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";
import { openUdp, unusedPort } from "../lib/udp.ts";

afterEach(endAll);

const WRONG_CODE = "42-ocean-lizard-abandon";

/** Ends a command that is expected to fail, and checks what every failure has in common. */
async function failure(process: SrudpProcess, code: ErrorCode): Promise<string> {
  const failed = await process.failure();
  expect(failed.code).toBe(code);
  expect(failed.status).toBe(ERRORS[code].exit);
  expect(failed.message).toContain(ERRORS[code].sentence);
  expect(failed.message).not.toContain("\n");
  expect(process.events.filter(({ event }) => event === "error")).toHaveLength(1);
  return failed.message;
}

function connectTo(
  peer: string,
  words: readonly string[] = [],
  env: Record<string, string> = { SRUDP_CODE: CODE },
) {
  return SrudpProcess.start(["connect", peer, ...words], { env });
}

describe("a wrong code", () => {
  it("ends the connector with 77 within 5 s, and the listener stays for the right one", async () => {
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

  it("ends the listener with 77 after the third", async () => {
    const { listener, port } = await startListener([], { env: { SRUDP_CODE: CODE } });
    for (let guess = 1; guess <= 3; guess++) {
      await failure(connectTo(loopback(port), [], { SRUDP_CODE: WRONG_CODE }), "ERR_WRONG_CODE");
    }
    const failed = await listener.failure();
    expect(failed.status).toBe(77);
    expect(listener.events.filter(({ event }) => event === "guess")).toHaveLength(3);
  });

  it("is never repeated in what is said", async () => {
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

  it.each(codes)("%j ends with 65 before anything is sent", async (code) => {
    const stranger = await openUdp();
    const file = join(temporaryFolder(), "code");
    writeFileSync(file, code);
    let heard = 0;
    stranger.on("message", () => heard++);
    await failure(connectTo(loopback(stranger.address().port), ["--code-file", file], {}), "ERR_CODE_FORMAT");
    expect(heard).toBe(0);
    stranger.close();
  });

  it("of a megabyte ends with 65", async () => {
    const file = join(temporaryFolder(), "code");
    writeFileSync(file, "42-ocean-".repeat(120_000));
    await failure(connectTo(loopback(9), ["--code-file", file], {}), "ERR_CODE_FORMAT");
  });

  it("in the environment ends with 65", async () => {
    await failure(connectTo(loopback(9), [], { SRUDP_CODE: "7-" }), "ERR_CODE_FORMAT");
  });
});

describe("without a way to ask for a code", () => {
  it("connect ends with 64", async () => {
    await failure(connectTo(loopback(9), [], {}), "ERR_CODE_NEEDED");
  });

  it("connect to nobody ends with 64", async () => {
    await failure(SrudpProcess.start(["connect"]), "ERR_CODE_NEEDED");
  });
});

describe("a code without an address", () => {
  it("ends with 69, where every way to meet is switched off", async () => {
    const words = ["connect", CODE, "--no-dht", "--no-lan"];
    await failure(SrudpProcess.start(words), "ERR_NO_MEETING_PLACE");
  });
});

describe("a file that cannot be read", () => {
  it.each(["--code-file", "--secret-file", "--passphrase-file"])(
    "given with %s ends with 66",
    async (option) => {
      await failure(connectTo(loopback(9), [option, "/nonexistent/file"], {}), "ERR_FILE_UNREADABLE");
    },
  );

  it("because it is a folder ends with 66", async () => {
    await failure(connectTo(loopback(9), ["--code-file", temporaryFolder()], {}), "ERR_FILE_UNREADABLE");
  });
});

describe("a port that is taken", () => {
  it("ends listen with 71", async () => {
    const taken = await openUdp("0.0.0.0");
    await failure(
      SrudpProcess.start(["listen", String(taken.address().port)], { env: { SRUDP_CODE: CODE } }),
      "ERR_BIND",
    );
    taken.close();
  });

  it("ends connect -p with 71", async () => {
    const taken = await openUdp("0.0.0.0");
    await failure(connectTo(loopback(9), ["-p", String(taken.address().port)]), "ERR_BIND");
    taken.close();
  });

  it("is no trouble to connect, which takes another", async () => {
    const { connector, listener } = await startPair();
    connector.input.end();
    listener.input.end();
    expect(await connector.exit()).toBe(0);
  });
});

describe("a host without an address", () => {
  it("ends with 68", async () => {
    await failure(connectTo("nowhere.invalid:4242"), "ERR_HOST_UNKNOWN");
  });

  it("ends with 68 where look-ups are off", async () => {
    await failure(connectTo("localhost:4242", ["-n"]), "ERR_HOST_UNKNOWN");
  });
});

describe("nobody there", () => {
  it("ends connect with 75 after -w", async () => {
    const silent = await openUdp();
    const startedMs = performance.now();
    await failure(connectTo(loopback(silent.address().port), ["-w", "1"]), "ERR_TIMEOUT");
    expect(performance.now() - startedMs).toBeGreaterThan(1000);
    expect(performance.now() - startedMs).toBeLessThan(4000);
    silent.close();
  });

  it("is the same where the port is closed", async () => {
    await failure(connectTo(loopback(await unusedPort()), ["-w", "1"]), "ERR_TIMEOUT");
  });

  it("is told after 3 s of silence", async () => {
    const silent = await openUdp();
    const connector = connectTo(loopback(silent.address().port), ["-w", "10"]);
    expect(await connector.event("silence")).toMatchObject({ remote: loopback(silent.address().port) });
    silent.close();
  });

  it("ends listen -w with 75", async () => {
    await failure(
      SrudpProcess.start(["listen", "0", "-w", "1"], { env: { SRUDP_CODE: CODE } }),
      "ERR_TIMEOUT",
    );
  });
});

describe("usage", () => {
  it.each([
    [["connect", "127.0.0.1"]],
    [["connect", "127.0.0.1:70000"]],
    [["listen", "x"]],
    [["listen", "0", "--no-such-option"]],
    [["connect", "127.0.0.1:9", "-4", "-6"]],
    [["connect", "127.0.0.1:9", "-w", "soon"]],
    [["connect", "127.0.0.1:9", "--send-only", "--recv-only"]],
    [["no-such-command"]],
  ])("%j ends with 64", async (words) => {
    expect(await SrudpProcess.start(words, { prose: true, env: { SRUDP_CODE: CODE } }).exit()).toBe(64);
  });

  it("--version and --help end with 0", async () => {
    expect(await SrudpProcess.start(["--version"], { prose: true }).exit()).toBe(0);
    expect(await SrudpProcess.start(["--help"], { prose: true }).exit()).toBe(0);
  });
});

describe("for people", () => {
  it("a failure is one line on stderr, and the status the same", async () => {
    const connector = SrudpProcess.start(["connect", loopback(9), "--code-file", "/nonexistent/file"], {
      prose: true,
    });
    expect(await connector.exit()).toBe(66);
    expect(connector.said.trimEnd().split("\n")).toHaveLength(1);
    expect(connector.said).toContain(ERRORS.ERR_FILE_UNREADABLE.sentence);
  });
});

import { closeSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, it } from "vitest";
import { sentenceOf } from "../../src/cli/failures.ts";
import { CODE, loopback, startPair } from "../lib/pair.ts";
import { connectTo, failure } from "../lib/refusal.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";
import { openUdp, unusedPort } from "../lib/udp.ts";

afterEach(endAll);

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

describe("standard input that cannot be read", () => {
  const DIRECTORY = openSync("/", "r");
  const WRITE_ONLY = openSync(join(tmpdir(), `srudp-write-only-${process.pid}`), "w");

  afterAll(() => {
    closeSync(DIRECTORY);
    closeSync(WRITE_ONLY);
    rmSync(join(tmpdir(), `srudp-write-only-${process.pid}`));
  });

  it.each([
    ["listen", "a directory", DIRECTORY, ["listen"]],
    ["listen", "a file that is open for writing", WRITE_ONLY, ["listen", "0"]],
    ["connect", "a directory", DIRECTORY, ["connect", loopback(9)]],
  ] as const)("ends %s with 66 before a code is made or used: %s", async (_command, _what, stdin, words) => {
    const command = SrudpProcess.start(words, { stdin, env: { SRUDP_CODE: CODE } });
    expect(await failure(command, "ERR_FILE_UNREADABLE")).toContain("Standard input");
    expect(command.events.map(({ event }) => event)).toEqual(["error"]);
  });

  it("is not looked at with -d", async () => {
    const { listener, connector } = await startPair({ listenWords: ["-d"], listen: { stdin: DIRECTORY } });
    connector.input.end();
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
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
    expect(connector.said).toContain(sentenceOf("ERR_FILE_UNREADABLE"));
  });
});

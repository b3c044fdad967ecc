/** Limits of the operating system: refused or explained before anything is done, by the real command. */
import { afterEach, describe, expect, it } from "vitest";
import { secretWords } from "../lib/forwarding.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";

afterEach(endAll);

describe.skipIf(process.platform !== "linux")("with too few descriptors", () => {
  it.each([
    [32, ["listen", "0"]],
    [48, ["connect", "127.0.0.1:9"]],
    [64, ["forward", "127.0.0.1:9", "-D", "1080"]],
    [64, ["rendezvous", "--port", "0"]],
  ] as const)("%d allowed, the command says what it needs: %j", async (allowed, words) => {
    const launcher = ["sh", "-c", `ulimit -n ${allowed}; exec "$0" "$@"`];
    const failed = await SrudpProcess.start(words, { launcher }).failure();
    expect(failed).toMatchObject({ status: 71, code: "ERR_DESCRIPTORS" });
    expect(failed.message).toContain(`${allowed} open files are allowed, and srudp needs at least 80`);
  });

  it("a listener starts with what it says that it needs", async () => {
    const launcher = ["sh", "-c", `ulimit -n 80; exec "$0" "$@"`];
    await SrudpProcess.start(["listen", "0"], { launcher }).event("listening");
  });
});

describe("a number out of range", () => {
  it.each([
    ["connect", "127.0.0.1:0"],
    ["connect", "127.0.0.1:65536"],
    ["connect", "127.0.0.1", "99999"],
    ["connect", "127.0.0.1:9", "-p", "65536"],
    ["connect", "127.0.0.1:9", "-w", "99999999"],
    ["connect", "127.0.0.1:9", "-w", "-1"],
    ["connect", "127.0.0.1:9", "-w", "1e9"],
    ["connect", "127.0.0.1:9", "-q", "99999999"],
    ["connect", "127.0.0.1:9", "--idle-timeout", "99999999"],
    ["listen", "65536"],
    ["rendezvous", "--port", "65535"],
  ])("ends with 64: %s %s %s %s", async (...words) => {
    const given = words.filter((word) => word !== undefined);
    expect(await SrudpProcess.start(given).failure()).toMatchObject({ status: 64, code: "ERR_USAGE" });
  });
});

describe("a time longer than Node's timers know", () => {
  it("is waited for by connect and listen, without a warning", async () => {
    const month = String(31 * 86_400);
    const times = ["-w", month, "--idle-timeout", month, "-q", month];
    const connector = SrudpProcess.start(["connect", "127.0.0.1:9", ...times, ...secretWords()]);
    await connector.event("silence");
    connector.kill("SIGINT");
    expect(await connector.exit()).toBe(130);
    const listener = SrudpProcess.start(["listen", "0", "-w", month]);
    await listener.event("listening");
    listener.kill("SIGINT");
    expect(await listener.exit()).toBe(130);
  });
});

describe("an address that nothing can be sent to", () => {
  it.each([
    ["[fe80::1]:9", "names no interface"],
    ["[fe80::1%nowhere0]:9", "is not there"],
    ["224.0.0.1:9", "a group"],
    ["255.255.255.255:9", "a group"],
    ["[ff02::1]:9", "a group"],
  ])("is refused at once: %s", async (peer, reason) => {
    const failed = await SrudpProcess.start(["connect", peer, ...secretWords()]).failure();
    expect(failed).toMatchObject({ status: 68, code: "ERR_HOST_UNKNOWN" });
    expect(failed.message).toContain(reason);
  });
});

describe("a folder in the place of a file", () => {
  it.each([
    ["--secret-file", 78],
    ["--passphrase-file", 78],
    ["--code-file", 66],
    ["--identity", 78],
    ["--turn-file", 78],
  ])("is refused: %s", async (option, status) => {
    const words = ["connect", "127.0.0.1:9", option, temporaryFolder()];
    const known = option === "--identity" || option === "--turn-file" ? secretWords() : [];
    expect((await SrudpProcess.start([...words, ...known]).failure()).status).toBe(status);
  });

  it("is refused before a ticket is made: --answer-file", async () => {
    const words = ["listen", "--ticket", "--answer-file", temporaryFolder()];
    const listener = SrudpProcess.start(words);
    expect(await listener.failure()).toMatchObject({ status: 66, code: "ERR_FILE_UNREADABLE" });
    expect(listener.events.some(({ event }) => event === "ticket")).toBe(false);
  });

  it("or a file in the place of a folder is refused: --qlog", async () => {
    const secret = secretWords();
    const words = ["connect", "127.0.0.1:9", ...secret, "--qlog", secret.at(-1)!];
    expect(await SrudpProcess.start(words).failure()).toMatchObject({ status: 73 });
  });
});

/** Each way to know the peer: code, secret, passphrase, keys; and both sides calling each other. */
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { keyCommand, newIdentity, secretFile, talk } from "../lib/identities.ts";
import { CODE, loopback, startListener, startPair } from "../lib/pair.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";
import { unusedPort } from "../lib/udp.ts";

afterEach(endAll);

describe("a code", () => {
  it("is made and told by listen, and links once", async () => {
    const { listener, port } = await startListener();
    const { code } = listener.events.find(({ event }) => event === "listening")!;
    expect(code).toMatch(/^\d{1,2}-[a-z]+-[a-z]+-[a-z]+$/);
    const connector = SrudpProcess.start(["connect", loopback(port)], { env: { SRUDP_CODE: code } });
    expect(await connector.event("connected")).toMatchObject({ auth: "code", path: "direct" });
    expect(await listener.event("connected")).toMatchObject({ auth: "code" });
    await talk({ listener, connector, port });
  });

  it("may come from a file, with capitals, spaces and short words", async () => {
    const { listener, port } = await startListener([], { env: { SRUDP_CODE: CODE } });
    const file = secretFile("42 OCEAN liza maple");
    const connector = SrudpProcess.start(["connect", loopback(port), "--code-file", file]);
    await listener.event("connected");
    await talk({ listener, connector, port });
  });

  it("may come by a descriptor", async () => {
    const { listener, port } = await startListener([], { env: { SRUDP_CODE: CODE } });
    const { openSync, closeSync } = await import("node:fs");
    const descriptor = openSync(secretFile(CODE), "r");
    const connector = SrudpProcess.start(["connect", loopback(port), "--code-fd", "3"], {
      extraDescriptors: [descriptor],
    });
    closeSync(descriptor);
    await listener.event("connected");
    await talk({ listener, connector, port });
  });

  it("stands neither in the command line nor in the title of the process", async () => {
    const { listener, port } = await startListener([], { env: { SRUDP_CODE: CODE } });
    const connector = SrudpProcess.start(["connect", loopback(port)], { env: { SRUDP_CODE: CODE } });
    await connector.event("connected");
    for (const { pid } of [listener, connector]) {
      expect(readFileSync(`/proc/${pid}/cmdline`, "utf8")).not.toContain("lizard");
    }
  });
});

describe("a secret", () => {
  it("is written to a file that only its user can read, and never over another one", async () => {
    const file = join(temporaryFolder(), "link.secret");
    expect(await SrudpProcess.start(["key", "secret", file]).exit()).toBe(0);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const secret = readFileSync(file, "utf8");
    expect(secret).toMatch(/^srudps1[0-9a-z]{50,}\n$/);
    expect((await SrudpProcess.start(["key", "secret", file]).failure()).status).toBe(78);
    expect(readFileSync(file, "utf8")).toBe(secret);
    const listener = await startListener(["--secret-file", file]);
    const connector = SrudpProcess.start(["connect", loopback(listener.port), "--secret-file", file]);
    expect(await connector.event("connected")).toMatchObject({ auth: "secret" });
  });

  it("links two sides that share it", async () => {
    const file = secretFile(await keyCommand(["secret"]));
    const pair = await startPair({ trust: ["--secret-file", file] });
    expect(pair.connector.events.at(-1)).toMatchObject({ event: "connected", auth: "secret" });
    await talk(pair);
  });

  it("that is another one gets silence: 75 after -w, with both causes named", async () => {
    const { port } = await startListener(["--secret-file", secretFile(await keyCommand(["secret"]))]);
    const other = secretFile(await keyCommand(["secret"]));
    const connector = SrudpProcess.start(["connect", loopback(port), "--secret-file", other, "-w", "1"]);
    const failed = await connector.failure();
    expect(failed).toMatchObject({ status: 75, code: "ERR_TIMEOUT" });
    expect(failed.message).toContain("secret");
  });

  it("with a mistyped letter ends with 65", async () => {
    const text = await keyCommand(["secret"]);
    const mistyped = text.slice(0, -1) + (text.endsWith("q") ? "p" : "q");
    const connector = SrudpProcess.start(["connect", loopback(9), "--secret-file", secretFile(mistyped)]);
    expect(await connector.failure()).toMatchObject({ status: 65, code: "ERR_SECRET_FORMAT" });
  });
});

describe("a passphrase", () => {
  it("links two sides that share it", async () => {
    const pair = await startPair({
      trust: ["--passphrase-file", secretFile("correct horse battery staple")],
    });
    expect(pair.connector.events.at(-1)).toMatchObject({ event: "connected", auth: "passphrase" });
    await talk(pair);
  });

  it("that is another one ends the connector with 77, and the listener waits on", async () => {
    const { listener, port } = await startListener([
      "--passphrase-file",
      secretFile("correct horse battery"),
    ]);
    const connector = SrudpProcess.start([
      "connect",
      loopback(port),
      "--passphrase-file",
      secretFile("incorrect horse battery"),
    ]);
    expect(await connector.failure()).toMatchObject({ status: 77, code: "ERR_WRONG_PASSPHRASE" });
    expect(listener.events.some(({ event }) => event === "error")).toBe(false);
  });

  it("of fewer than 12 characters ends with 65", async () => {
    const connector = SrudpProcess.start([
      "connect",
      loopback(9),
      "--passphrase-file",
      secretFile("too short"),
    ]);
    expect((await connector.failure()).status).toBe(65);
  });
});

describe("keys", () => {
  it("pinned on both sides link them", async () => {
    const [a, b] = [await newIdentity(), await newIdentity()];
    const { listener, port } = await startListener(["--allow", b.key], { configHome: a.configHome });
    const connector = SrudpProcess.start(["connect", loopback(port), "--peer", a.key], {
      configHome: b.configHome,
    });
    expect(await connector.event("connected")).toMatchObject({ auth: "key", peer: a.key });
    expect(await listener.event("connected")).toMatchObject({ auth: "key", peer: b.key });
    await talk({ listener, connector, port });
  });

  it("that the listener does not allow are refused with 77, and the listener waits on", async () => {
    const [a, b, c] = [await newIdentity(), await newIdentity(), await newIdentity()];
    const { listener, port } = await startListener(["--allow", b.key], { configHome: a.configHome });
    const stranger = SrudpProcess.start(["connect", loopback(port), "--peer", a.key], {
      configHome: c.configHome,
    });
    expect(await stranger.failure()).toMatchObject({ status: 77, code: "ERR_KEY_REFUSED" });
    expect(await listener.event("refused")).toMatchObject({ peer: c.key });
    const connector = SrudpProcess.start(["connect", loopback(port), "--peer", a.key], {
      configHome: b.configHome,
    });
    await Promise.all([connector.event("connected"), listener.event("connected")]);
    await talk({ listener, connector, port });
  });
});

describe("connect on both sides", () => {
  it.each(["code", "secret"])("of one host meets with the same %s", async (mode) => {
    const file = secretFile(mode === "code" ? CODE : await keyCommand(["secret"]));
    // On one host no number is taken by itself, so each side names its own.
    const [port, otherPort] = [await unusedPort(), await unusedPort()];
    const words = [`--${mode}-file`, file];
    const listener = SrudpProcess.start(["connect", loopback(otherPort), "-p", `${port}`, ...words]);
    const connector = SrudpProcess.start(["connect", loopback(port), "-p", `${otherPort}`, ...words]);
    await Promise.all([connector.event("connected"), listener.event("connected")]);
    await talk({ listener, connector, port });
  });
});

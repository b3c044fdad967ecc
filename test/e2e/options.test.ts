/** What fingers know from nc and ncat. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { CODE, loopback, startListener, startPair } from "../lib/pair.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";
import { unusedPort } from "../lib/udp.ts";

afterEach(endAll);

const withCode = { env: { SRUDP_CODE: CODE } };

function passphraseFile(): string {
  const file = join(temporaryFolder(), "passphrase");
  writeFileSync(file, "correct horse battery staple\n", { mode: 0o600 });
  return file;
}

describe("-k", () => {
  it("stays for the next peer after one has gone, and after one was killed", async () => {
    const trust = ["--passphrase-file", passphraseFile()];
    const { listener, port } = await startListener(["-k", "--idle-timeout", "2", ...trust]);
    const connect = () => SrudpProcess.start(["connect", loopback(port), ...trust]);
    const first = connect();
    await Promise.all([first.event("connected"), listener.event("connected")]);
    await first.input.write("first\n");
    expect(await listener.output.takeText(6)).toBe("first\n");
    first.kill("SIGKILL");
    await listener.event("error");

    const second = connect();
    await Promise.all([second.event("connected"), listener.event("connected")]);
    await second.input.write("second\n");
    expect(await listener.output.takeText(7)).toBe("second\n");
    await listener.input.write("answer\n");
    expect(await second.output.takeText(7)).toBe("answer\n");
  });

  it("prints a fresh code for each peer", async () => {
    const { listener, port } = await startListener(["-k", "-e", "--", "cat"]);
    let { code } = listener.events.find(({ event }) => event === "listening")!;
    for (let peer = 0; peer < 2; peer++) {
      const connector = SrudpProcess.start(["connect", loopback(port)], { env: { SRUDP_CODE: code } });
      await connector.input.write("hello");
      connector.input.end();
      expect((await connector.output.rest()).toString()).toBe("hello");
      expect(await connector.exit()).toBe(0);
      const fresh = (await listener.event("code")).code;
      expect(fresh).not.toBe(code);
      code = fresh;
    }
  });

  it("does not go with a code from outside: 64", async () => {
    const listener = SrudpProcess.start(["listen", "0", "-k"], withCode);
    expect(await listener.failure()).toMatchObject({ status: 64, code: "ERR_USAGE" });
  });
});

describe("-e", () => {
  it("bridges to a program and passes its status on", async () => {
    const { listener, connector } = await startPair({
      listenWords: ["-e", "--", "sh", "-c", "tr a-z A-Z; exit 3"],
    });
    await connector.input.write("loud\n");
    connector.input.end();
    expect((await connector.output.rest()).toString()).toBe("LOUD\n");
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(3);
  });

  it("hands nothing secret to the program", async () => {
    const { connector } = await startPair({ listenWords: ["-e", "--", "sh", "-c", "echo [$SRUDP_CODE]"] });
    connector.input.end();
    expect((await connector.output.rest()).toString()).toBe("[]\n");
  });

  it("of a program that is not there fails on both sides", async () => {
    const { listener, port } = await startListener(["-e", "--", "/nonexistent/program"], withCode);
    const connector = SrudpProcess.start(["connect", loopback(port)], withCode);
    const failed = await listener.failure();
    expect(failed.code).not.toBe("ERR_INTERNAL");
    expect(failed.message).toContain("/nonexistent/program");
    expect(await connector.failure()).toMatchObject({ status: 74, code: "ERR_PEER_RESET" });
  });
});

describe("--send-only and --recv-only", () => {
  it("carry one direction only", async () => {
    const { listener, connector } = await startPair({
      listenWords: ["--recv-only"],
      connectWords: ["--send-only"],
    });
    await connector.input.write("one way\n");
    connector.input.end();
    expect((await listener.output.rest()).toString()).toBe("one way\n");
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
  });

  it("--send-only drops what comes and still ends in order", async () => {
    const { listener, connector } = await startPair({ connectWords: ["--send-only"] });
    await listener.input.write("not wanted\n");
    listener.input.end();
    await connector.input.write("wanted\n");
    connector.input.end();
    expect((await listener.output.rest()).toString()).toBe("wanted\n");
    expect((await connector.output.rest()).length).toBe(0);
    expect(await connector.exit()).toBe(0);
    // What it sent may or may not have come before the other side was through: only then was it taken.
    expect([0, 74]).toContain(await listener.exit());
  });
});

describe("-q", () => {
  it("ends so long after the end of input, whatever the peer does", async () => {
    const { listener, connector } = await startPair({ connectWords: ["-q", "1"] });
    await connector.input.write("last words\n");
    expect(await listener.output.takeText(11)).toBe("last words\n");
    connector.input.end();
    await listener.output.end();
    const endedMs = performance.now();
    expect(await connector.exit()).toBe(0);
    expect(performance.now() - endedMs).toBeGreaterThan(700);
    expect(performance.now() - endedMs).toBeLessThan(4000);
    expect(await listener.exit()).not.toBe(70);
  });
});

describe("-N, -p, -s, -n, -4, -6", () => {
  it("are accepted", async () => {
    const localPort = await unusedPort();
    const { listener, connector } = await startPair({
      listenWords: ["-N", "-4"],
      connectWords: ["-N", "-n", "-4", "-p", String(localPort), "-s", "127.0.0.1"],
    });
    const connected = listener.events.find(({ event }) => event === "connected");
    expect(connected?.remote).toBe(loopback(localPort));
    connector.input.end();
    listener.input.end();
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
  });

  it("IPv6 works as IPv4 does", async () => {
    const { listener, connector } = await startPair({ family: 6 });
    expect(listener.events.find(({ event }) => event === "connected")?.remote).toMatch(/^\[::1\]:\d+$/);
    await connector.input.write("six\n");
    expect(await listener.output.takeText(4)).toBe("six\n");
  });

  it("a host and a port may stand apart, as nc takes them", async () => {
    const { listener, port } = await startListener([], withCode);
    SrudpProcess.start(["connect", "127.0.0.1", String(port)], withCode);
    await listener.event("connected");
  });
});

describe("a second peer", () => {
  it("is told that the listener is busy, and the link in use goes on", async () => {
    const trust = ["--passphrase-file", passphraseFile()];
    const { listener, connector, port } = await startPair({ trust });
    const second = SrudpProcess.start(["connect", loopback(port), ...trust]);
    expect(await second.failure()).toMatchObject({ status: 75, code: "ERR_BUSY" });
    await connector.input.write("still here\n");
    expect(await listener.output.takeText(11)).toBe("still here\n");
  });
});

describe("--json", () => {
  it("tells a whole link in order", async () => {
    const { listener, connector } = await startPair();
    await connector.input.write("abc");
    connector.input.end();
    listener.input.end();
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
    const names = (events: typeof listener.events) =>
      events.map(({ event }) => event).filter((n) => n !== "progress");
    expect(names(connector.events)).toEqual(["hello", "connected", "closed"]);
    expect(names(listener.events)).toEqual(["hello", "listening", "connected", "closed"]);
    const sent = connector.events.at(-1)!.sent;
    expect(sent).toEqual({
      bytes: 3,
      sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    });
    expect(listener.events.at(-1)!.received).toEqual(sent);
  });
});

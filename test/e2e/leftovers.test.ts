/** The harness itself: it finds what a process under test leaves behind, and leaves nothing behind when it is killed. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { secretWords, startForwarding } from "../lib/forwarding.ts";
import { loopback, startListener } from "../lib/pair.ts";
import { builtFile } from "../lib/paths.ts";
import { endAll, SrudpProcess } from "../lib/srudp-process.ts";

afterEach(endAll);

describe("the end of a test", () => {
  it("compares what a listener holds after its links with what it held before", async () => {
    const trust = secretWords();
    const { listener, port } = await startListener(["-k", "-d", ...trust]);
    expect(listener.heldBefore).toMatchObject({ shownLinks: 0, "listener.sockets": 2, children: 0 });
    const connector = SrudpProcess.start(["connect", loopback(port), ...trust], { stdin: "nothing" });
    expect(await connector.exit()).toBe(0);
    listener.heldBefore = { ...listener.heldBefore, "listener.sockets": 1 };
    await expect(endAll()).rejects.toThrow(/listen 0 -k .*listener\.sockets: 1, now 2/);
  });

  it("compares what a forward holds with its link at rest", async () => {
    const { forwarder } = await startForwarding({ forward: ["-D", "0"] });
    await forwarder.event("connected");
    expect(forwarder.heldBefore).toMatchObject({ shownLinks: 1, "forwarder.forwards": 1 });
    forwarder.heldBefore = { ...forwarder.heldBefore, "active UDPWrap": 0 };
    await expect(endAll()).rejects.toThrow(/forward .*active UDPWrap: 0, now/);
  });

  it("finds a program that outlives the command that started it", async () => {
    // In a session of its own it is beyond the reach of signals to the program's group.
    const program = ["sh", "-c", "setsid sleep 1000 </dev/null >/dev/null 2>&1 & echo started; exec cat"];
    const trust = secretWords();
    const { port } = await startListener([...trust, "-e", "--", ...program]);
    const connector = SrudpProcess.start(["connect", loopback(port), ...trust], { stdin: "nothing" });
    expect(await connector.output.takeText(8)).toBe("started\n");
    await expect(endAll()).rejects.toThrow(/listen .* left "sleep 1000" running/);
  });
});

describe("a test runner that is killed", () => {
  it("takes the processes under test along", async () => {
    const runner = spawn(process.execPath, [fileURLToPath(builtFile("test/lib/abandoned-main.js"))], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(runner.stdout, "data")) as [Buffer];
    const pid = Number(line.toString());
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    runner.kill("SIGKILL");
    await expect.poll(() => existsSync(`/proc/${pid}`), { timeout: 10_000 }).toBe(false);
  });
});

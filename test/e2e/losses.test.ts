/** A side that goes away before the end: never 0, and what had arrived has been written. */
import { spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { BytePattern } from "../lib/byte-pattern.ts";
import { pause, within } from "../lib/deadline.ts";
import { CODE, loopback, startListener, startPair } from "../lib/pair.ts";
import { commandFile } from "../lib/paths.ts";
import { endAll, temporaryFolder } from "../lib/srudp-process.ts";

afterEach(endAll);

const pattern = new BytePattern(9);

describe("Ctrl-C before the end", () => {
  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("%s ends this side with %d and the other with 74", async (signal, status) => {
    const { listener, connector } = await startPair();
    await connector.input.write("half a sen");
    expect(await listener.output.takeText(10)).toBe("half a sen");
    connector.kill(signal);
    expect(await connector.exit(5000)).toBe(status);
    expect(await listener.failure(5000)).toMatchObject({ status: 74, code: "ERR_PEER_RESET" });
  });

  it("while waiting for a peer ends at once with 130", async () => {
    const { listener } = await startListener([], { env: { SRUDP_CODE: CODE } });
    listener.kill("SIGINT");
    expect(await listener.exit(5000)).toBe(130);
  });
});

describe("an output that closes early", () => {
  it("ends this side with 141, quietly, and the peer with 74", async () => {
    const { listener, connector } = await startPair();
    const flood = listener.input.pump(pattern, 1 << 30).catch(() => {});
    await connector.output.take(10);
    connector.output.close();
    expect(await connector.exit()).toBe(141);
    expect(await listener.failure()).toMatchObject({ status: 74, code: "ERR_PEER_OUTPUT_CLOSED" });
    await flood;
  });

  it("as in `srudp connect … | head -c 10` says nothing", async () => {
    const { listener, port } = await startListener([], { env: { SRUDP_CODE: CODE } });
    const flood = listener.input.pump(pattern, 1 << 30).catch(() => {});
    const command = `"${process.execPath}" "${fileURLToPath(commandFile)}" connect ${loopback(port)} --quiet < /dev/null | head -c 10; exit \${PIPESTATUS[0]}`;
    const shell = spawn("bash", ["-c", command], {
      env: { PATH: process.env.PATH ?? "", XDG_CONFIG_HOME: temporaryFolder(), SRUDP_CODE: CODE },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const text = async (stream: NodeJS.ReadableStream): Promise<Buffer> => {
      const chunks: Buffer[] = [];
      for await (const chunk of stream) chunks.push(chunk as Buffer);
      return Buffer.concat(chunks);
    };
    const status = new Promise<number | null>((resolve) => shell.once("exit", resolve));
    const [out, said] = await within(
      Promise.all([text(shell.stdout), text(shell.stderr)]),
      20_000,
      () => "head hangs",
    );
    expect(await status).toBe(141);
    expect(out.equals(pattern.slice(0, 10))).toBe(true);
    expect(said.toString()).toBe("");
    expect((await listener.failure()).status).toBe(74);
    await flood;
  });
});

describe("an output that cannot take more", () => {
  it("as on a full disk is told in a sentence, and never ends with 0 on either side", async () => {
    const full = openSync("/dev/full", "w");
    const { listener, connector } = await startPair({ connect: { stdout: full } });
    closeSync(full);
    await listener.input.write("more than nothing\n");
    const [failed, peerFailed] = await Promise.all([connector.failure(), listener.failure()]);
    expect(failed.status).toBe(74);
    expect(failed.message).toContain("ENOSPC");
    expect(peerFailed).toMatchObject({ status: 74, code: "ERR_PEER_OUTPUT_CLOSED" });
  });
});

describe("a link that dies under way", () => {
  it("never ends with 0 when the sender's peer is killed after the end of input", async () => {
    const { listener, connector } = await startPair({
      listenWords: ["--idle-timeout", "2"],
      connectWords: ["--idle-timeout", "2"],
    });
    // The listener's output takes nothing, so the bytes cannot have been delivered.
    const pumped = connector.input.pump(pattern, 400_000);
    await pumped;
    connector.input.end();
    await listener.output.take(1);
    listener.kill("SIGKILL");
    expect((await connector.failure()).status).toBe(74);
  });
});

describe("an idle link", () => {
  it("outlives its idle timeout while both sides are there", async () => {
    const idle = ["--idle-timeout", "2"];
    const { listener, connector } = await startPair({ listenWords: idle, connectWords: idle });
    await pause(4500);
    await connector.input.write("still here\n");
    expect(await listener.output.takeText(11)).toBe("still here\n");
    connector.input.end();
    listener.input.end();
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);
  });
});

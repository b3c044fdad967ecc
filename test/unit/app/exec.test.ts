import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { bridgeToProgram, type ProgramResult } from "../../../src/app/exec.ts";
import { type Bridge, bridge } from "../../../src/app/pipe.ts";
import { linkedPair } from "../link/loopback.ts";

interface Joined {
  readonly input: PassThrough;
  readonly output: Promise<string>;
  readonly peer: Bridge;
  readonly done: Promise<ProgramResult>;
}

async function program(script: string, options?: { signal: AbortSignal }): Promise<Joined> {
  const { near, far } = await linkedPair();
  const [input, output] = [new PassThrough(), new PassThrough()];
  const peer = bridge(near, { input, output });
  const { done } = bridgeToProgram(far, "/bin/sh", ["-c", script], options);
  return { input, output: text(output), peer, done };
}

describe("a program at one end", () => {
  it("gets the peer's bytes, and its output is the peer's", async () => {
    const { input, output, peer, done } = await program("tr a-z A-Z");
    input.end("shout");
    expect(await output).toBe("SHOUT");
    expect((await done).status).toBe(0);
    await peer.done;
  });

  it("passes its status on, or its signal's", async () => {
    const failing = await program("cat; exit 3");
    failing.input.end("x");
    expect((await failing.done).status).toBe(3);
    expect(await failing.output).toBe("x");
    const killed = await program("kill -TERM $$");
    killed.input.end();
    expect((await killed.done).status).toBe(143);
  });

  it("ends the link when it ends, in order for a peer that said nothing", async () => {
    const { output, peer, done } = await program("echo the time");
    expect(await output).toBe("the time\n");
    expect((await done).status).toBe(0);
    // The peer's input never ended.
    expect((await peer.done).sent.bytes).toBe(0);
  });

  it("may end with its input unread, and the peer learns how much of it", async () => {
    const { input, output, peer, done } = await program("echo no thanks");
    input.write(Buffer.alloc(5_000_000));
    expect(await output).toBe("no thanks\n");
    const { sent, unreadBytes } = await peer.done;
    expect(unreadBytes).toBeGreaterThan(0);
    expect(unreadBytes).toBeLessThanOrEqual(sent.bytes);
    expect((await done).status).toBe(0);
  });

  it("that a signal ends with its input unread fails the peer, which has all of its output", async () => {
    const { input, output, peer, done } = await program("echo so far; kill -KILL $$");
    input.write(Buffer.alloc(5_000_000));
    expect(await output).toBe("so far\n");
    await expect(peer.done).rejects.toMatchObject({ code: "ERR_PEER_OUTPUT_CLOSED" });
    expect((await done).status).toBe(137);
  });

  it("may close its input and go on: the peer has what it prints later", async () => {
    const { input, output, peer, done } = await program("exec <&-; sleep 0.2; echo later");
    input.end(Buffer.alloc(5_000_000));
    expect(await output).toBe("later\n");
    expect((await peer.done).unreadBytes).toBeGreaterThan(0);
    expect((await done).status).toBe(0);
  });

  it("never sees the code", async () => {
    process.env.SRUDP_CODE = "42-ocean-lizard-maple";
    try {
      const { output, done } = await program("echo code:$SRUDP_CODE");
      expect(await output).toBe("code:\n");
      await done;
    } finally {
      delete process.env.SRUDP_CODE;
    }
  });

  it("that does not exist fails with ERR_FILE_UNREADABLE, and the peer with ERR_PEER_RESET", async () => {
    const { near, far } = await linkedPair();
    const peer = bridge(near, { input: new PassThrough(), output: new PassThrough() });
    const { done } = bridgeToProgram(far, "/no/such/program", []);
    await expect(done).rejects.toMatchObject({ code: "ERR_FILE_UNREADABLE" });
    await expect(peer.done).rejects.toMatchObject({ code: "ERR_PEER_RESET" });
  });

  it("is hung up when the link breaks", async () => {
    const { near, far } = await linkedPair();
    near.on("error", () => undefined);
    const { done } = bridgeToProgram(far, "/bin/sh", [
      "-c",
      "trap 'exit 0' HUP; echo ready; while :; do sleep 0.01; done",
    ]);
    near.once("data", () => near.destroy());
    await expect(done).rejects.toMatchObject({ code: "ERR_PEER_RESET" });
  });
});

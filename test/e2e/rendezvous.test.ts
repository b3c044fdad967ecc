/** One's own meeting place, as the command that people run. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { openRelay } from "../../src/traversal/relay/relay-socket.ts";
import type { RendezvousPoint } from "../../src/traversal/signalling/channel.ts";
import { MailboxChannel } from "../../src/traversal/signalling/mailbox-channel.ts";
import { pointOfTicket } from "../../src/traversal/signalling/rendezvous-point.ts";
import { decodeReply, encodeRequest } from "../../src/wire/mailbox-messages.ts";
import { within } from "../lib/deadline.ts";
import { endAll, type SrudpEvent, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";
import { openUdp } from "../lib/udp.ts";
import { waitByUdp } from "../lib/waiting-peers.ts";

afterEach(endAll);

interface Running {
  readonly server: SrudpProcess;
  readonly event: SrudpEvent;
  readonly port: number;
}

async function startRendezvous(...words: string[]): Promise<Running> {
  const server = SrudpProcess.start(["rendezvous", "--port", "0", "--host", "127.0.0.1", ...words], {
    stdin: "nothing",
  });
  const event = await server.event("rendezvous");
  return { server, event, port: Number(/:(\d+)$/.exec(event.udp[0])![1]) };
}

function placeNumber(number: number): RendezvousPoint {
  const psk = new Uint8Array(32);
  new DataView(psk.buffer).setUint32(0, number);
  return pointOfTicket(psk, Infinity);
}

/** Both sides at one place, by the given ways; resolves when each has the other's blob. */
async function meet(initiatorUrl: string, responderUrl: string): Promise<void> {
  const channels = [new MailboxChannel([initiatorUrl]), new MailboxChannel([responderUrl])];
  const point = placeNumber(1);
  try {
    const heard = (["initiator", "responder"] as const).map((side, index) => {
      const subscription = channels[index]!.meet(point, side);
      subscription.publish(Buffer.from(side));
      return new Promise<string>((resolve) => {
        subscription.onBlob = (blob) => resolve(Buffer.from(blob).toString());
      });
    });
    expect(await within(Promise.all(heard), 10_000, () => "not met")).toEqual(["responder", "initiator"]);
  } finally {
    for (const channel of channels) await channel.close();
  }
}

describe("srudp rendezvous", () => {
  it("says where it is, brings two together, tells its numbers on SIGUSR1, and ends on a signal", async () => {
    const { server, event, port } = await startRendezvous();
    expect(event).toMatchObject({
      udp: [`127.0.0.1:${port}`, `127.0.0.1:${port + 1}`],
      ws: `127.0.0.1:${port}`,
      tls: false,
      relay: true,
    });
    await meet(`udp://127.0.0.1:${port}`, `ws://127.0.0.1:${port}`);
    server.kill("SIGUSR1");
    expect(await server.event("statistics")).toMatchObject({ published: 2, malformed: 0, relays: 0 });
    server.kill("SIGTERM");
    expect(await server.exit()).toBe(143);
    expect(server.said).not.toContain("Debugger");
  });

  it("relays, or not where it was told not to", async () => {
    const { port } = await startRendezvous("--relay-rate", "4");
    const url = `udp://127.0.0.1:${port}`;
    const near = await openRelay(url, placeNumber(2), "initiator");
    const far = await openRelay(url, placeNumber(2), "responder");
    const coming = new Promise<Uint8Array>((resolve) => {
      far.onDatagram = (_socket, _address, _port, bytes) => resolve(bytes);
    });
    near.send(Buffer.from("hello"));
    expect(Buffer.from(await within(coming, 5000, () => "nothing came")).toString()).toBe("hello");
    expect(near.rateBytes).toBe(500_000);
    near.close();
    far.close();

    const without = await startRendezvous("--no-relay");
    expect(without.event.relay).toBe(false);
    await expect(
      openRelay(`udp://127.0.0.1:${without.port}`, placeNumber(2), "initiator"),
    ).rejects.toMatchObject({
      code: "ERR_RELAY_REFUSED",
    });
  });

  it("takes wss:// and ws:// at one port with a certificate, and no half of one", async (context) => {
    const folder = temporaryFolder();
    const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
    try {
      const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
      const subject = ["-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost"];
      execFileSync("openssl", [...request, ...subject], { stdio: "ignore" });
    } catch {
      context.skip("the openssl command is not here to make a certificate");
    }
    const { event, port } = await startRendezvous("--tls-cert", cert, "--tls-key", key);
    expect(event.tls).toBe(true);
    for (const url of [`wss://127.0.0.1:${port}`, `ws://127.0.0.1:${port}`]) {
      const socket = new WebSocket(url, { rejectUnauthorized: false });
      await within(once(socket, "open"), 10_000, () => `no ${url}`);
      const answered = once(socket, "message");
      socket.send(encodeRequest({ kind: "hello", transaction: new Uint8Array(8) }));
      const [answer] = (await within(answered, 5000, () => "no answer")) as [Buffer];
      expect(decodeReply(answer)?.kind).toBe("cookie");
      socket.terminate();
    }
    const half = SrudpProcess.start(["rendezvous", "--port", "0", "--tls-cert", cert]);
    expect(await half.failure()).toMatchObject({ status: 64, code: "ERR_USAGE" });
    const missing = SrudpProcess.start([
      "rendezvous",
      ...["--port", "0", "--tls-cert", cert, "--tls-key", join(folder, "none")],
    ]);
    expect(await missing.failure()).toMatchObject({ status: 66, code: "ERR_FILE_UNREADABLE" });
    const swapped = SrudpProcess.start(["rendezvous", "--port", "0", "--tls-cert", key, "--tls-key", cert]);
    expect(await swapped.failure()).toMatchObject({ status: 78, code: "ERR_KEY_FILE" });
  });

  it("says that its ports are taken: 71", async () => {
    const taken = await openUdp("127.0.0.1");
    const words = ["rendezvous", "--host", "127.0.0.1", "--port", String(taken.address().port)];
    expect(await SrudpProcess.start(words).failure()).toMatchObject({ status: 71, code: "ERR_BIND" });
    taken.close();
  });

  it("holds 10,000 waiting peers with full blobs in less than 200 MB", async () => {
    const { server, port } = await startRendezvous("--max-per-address", "20000");
    const end = await waitByUdp(port, 10_000);
    server.kill("SIGUSR1");
    const { waiting, points, memoryBytes } = await server.event("statistics");
    end();
    console.log(`10,000 waiting peers: ${(memoryBytes / 1e6).toFixed(1)} MB resident`);
    expect({ waiting, points }).toEqual({ waiting: 10_000, points: 10_000 });
    expect(memoryBytes).toBeLessThan(200_000_000);
  }, 120_000);
});

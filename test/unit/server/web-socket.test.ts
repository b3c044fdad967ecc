import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import type { SrudpError } from "../../../src/base/errors.ts";
import { MailboxChannel } from "../../../src/traversal/signalling/mailbox-channel.ts";
import { RendezvousClient } from "../../../src/traversal/signalling/rendezvous-client.ts";
import { parseRendezvousUrl } from "../../../src/traversal/signalling/rendezvous-url.ts";
import { within } from "../../lib/deadline.ts";
import { closing, newPlace, startServer, Visitor } from "./points.ts";

const POLL = { timeout: 10_000 };

/** A port that was free a moment ago. */
async function closedPort(): Promise<number> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  return port;
}

describe("a rendezvous server's TCP port", () => {
  it("carries the mailbox by WebSocket, and meets those that come by UDP", async () => {
    const server = await startServer();
    const point = newPlace();
    const responder = new Visitor(
      closing(new MailboxChannel([`ws://127.0.0.1:${server.port}`])),
      point,
      "responder",
    );
    responder.publish("answer");
    const initiator = new Visitor(
      closing(new MailboxChannel([`udp://127.0.0.1:${server.port}`])),
      point,
      "initiator",
    );
    initiator.publish("offer");
    await Promise.all([initiator.hears("answer"), responder.hears("offer")]);
    responder.publish("answer 2");
    await initiator.hears("answer 2");
    expect(server.statistics).toMatchObject({ waiting: 2, webSockets: 1 });
  });

  it("forgets what a WebSocket had when it ends", async () => {
    const server = await startServer();
    const channel = new MailboxChannel([`ws://127.0.0.1:${server.port}`]);
    new Visitor(channel, newPlace(), "responder").publish("answer");
    await expect.poll(() => server.statistics.waiting, POLL).toBe(1);
    await channel.close();
    await expect.poll(() => server.statistics.webSockets, POLL).toBe(0);
    expect(server.statistics.waiting).toBe(0);
  });

  it("is found by itself where UDP does not get through", async () => {
    const server = await startServer();
    // Asked by UDP at a port where nobody answers, by WebSocket at the server's.
    const silent = createSocket("udp4");
    silent.bind(0, "127.0.0.1");
    await once(silent, "listening");
    const url = { ...parseRendezvousUrl(`udp://127.0.0.1:${silent.address().port}`) };
    const channel = closing(new RendezvousClient({ ...url, webSocketUrl: `ws://127.0.0.1:${server.port}/` }));
    await within(
      new Promise<void>((resolve) => {
        channel.onReady = resolve;
      }),
      5000,
      () => "no way",
    );
    expect(channel.transport).toBe("webSocket");
    silent.close();
  });

  it("ends a connection that takes its time over its request, and lets those stay that are WebSockets", async () => {
    const server = await startServer();
    const channel = closing(new MailboxChannel([`ws://127.0.0.1:${server.port}`]));
    new Visitor(channel, newPlace(), "responder").publish("answer");
    await expect.poll(() => server.statistics.waiting, POLL).toBe(1);
    const slow = connect(server.port, "127.0.0.1");
    slow.on("error", () => undefined);
    slow.write("GET / HTTP/1.1\r\nX-Slow: ");
    const drip = setInterval(() => slow.write("x"), 200);
    try {
      await within(once(slow, "close"), 10_000, () => "still open");
    } finally {
      clearInterval(drip);
    }
    // It came before the slow one, so its time would have been over, too.
    expect(server.statistics).toMatchObject({ waiting: 1, webSockets: 1 });
  }, 15_000);

  it("may be approached before it is known where to meet, and what came of that is told to those who come later", async () => {
    const server = await startServer();
    const channel = closing(new MailboxChannel([`udp://127.0.0.1:${server.port}`]));
    channel.approach();
    const url = parseRendezvousUrl(`udp://127.0.0.1:${server.port}`);
    await expect.poll(() => channel.transportTo(url), POLL).toBe("udp");

    const silent = closing(new MailboxChannel([`ws://127.0.0.1:${await closedPort()}`]));
    silent.approach();
    const first = silent.meet(newPlace(), "initiator");
    await new Promise<void>((resolve) => {
      first.onTrouble = () => resolve();
    });
    const later = silent.meet(newPlace(), "initiator");
    const error = await within(
      new Promise<SrudpError>((resolve) => {
        later.onTrouble = resolve;
      }),
      1000,
      () => "nobody is told",
    );
    expect(error.code).toBe("ERR_NO_MEETING_PLACE");
  });

  it("answers other HTTP with a hint, ends what is no HTTP, and bounds what one address may have", async () => {
    const server = await startServer({ limits: { webSocketsPerAddress: 1 } });
    const response = await fetch(`http://127.0.0.1:${server.port}/`);
    expect([response.status, await response.text()]).toEqual([426, expect.stringContaining("WebSocket")]);

    const junk = connect(server.port, "127.0.0.1");
    junk.on("error", () => undefined);
    junk.write("\x00\x01 this is no HTTP\r\n\r\n");
    await within(once(junk, "close"), 5000, () => "still open");

    const url = `ws://127.0.0.1:${server.port}`;
    const first = new WebSocket(url);
    await once(first, "open");
    const second = new WebSocket(url);
    const [error] = (await once(second, "error")) as [Error];
    expect(error.message).toContain("429");
    // Behind a proxy on the same machine it is the proxy's word that counts.
    const headers = { "X-Forwarded-For": "198.51.100.1, 192.0.2.7" };
    const proxied = new WebSocket(url, { headers });
    await once(proxied, "open");
    const again = new WebSocket(url, { headers: { "X-Forwarded-For": "192.0.2.7" } });
    expect(((await once(again, "error")) as [Error])[0].message).toContain("429");
    for (const socket of [first, proxied]) socket.terminate();
  });
});

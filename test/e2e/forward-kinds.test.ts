/** The kinds of forwards that no well-known client needs: sockets' paths, SOCKS at the peer, UDP both ways. */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { existsSync, statSync } from "node:fs";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { endServers, freePort, serve, startForwarding } from "../lib/forwarding.ts";
import { endAll, temporaryFolder } from "../lib/srudp-process.ts";

afterEach(async () => {
  endServers();
  await endAll();
});

describe("Unix sockets", () => {
  it("on both sides carry both directions, for their owner alone, and leave nothing behind", async () => {
    const folder = temporaryFolder();
    const [near, far, back] = ["near", "far", "back"].map((name) => join(folder, name));
    const server = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
    server.listen(far);
    await once(server, "listening");
    const link = await startForwarding({
      listen: ["--expose", far!, "--permit-listen", back!],
      forward: ["-L", `${near}:${far}`, "-R", `${back}:${far}`],
    });
    for (const path of [near!, back!]) {
      expect(statSync(path).mode & 0o777).toBe(0o600);
      const socket = connect({ path });
      socket.end("over the socket");
      expect(await text(socket)).toBe("over the socket");
    }
    link.forwarder.kill("SIGTERM");
    expect(await link.forwarder.exit()).toBe(143);
    expect(existsSync(near!)).toBe(false);
    await expect.poll(() => existsSync(back!)).toBe(false);
    server.close();
  });
});

describe("a port alone", () => {
  it("with -L leads to what the peer exposes first, with -R it is a SOCKS proxy there", async () => {
    const target = await serve((socket) => socket.end("here"));
    const proxy = await freePort();
    const link = await startForwarding({
      listen: ["--expose", `127.0.0.1:${target}`, "--permit-listen", String(proxy)],
      forward: ["-L", "0", "-R", String(proxy)],
    });
    expect(await text(connect(link.ports[0]!, "127.0.0.1"))).toBe("here");
    const socket = connect(proxy, "127.0.0.1");
    // RFC 1928: no authentication, then CONNECT to an IPv4 address.
    socket.write(Uint8Array.of(5, 1, 0));
    await once(socket, "data");
    socket.write(Uint8Array.of(5, 1, 0, 1, 127, 0, 0, 1, target >> 8, target));
    const answer = await text(socket.setEncoding("latin1"));
    expect(answer.charCodeAt(1)).toBe(0);
    expect(answer.slice(10)).toBe("here");
  });
});

describe("UDP", () => {
  it("gives each sender a flow of its own, by -L and by -R, with boundaries kept", async () => {
    const echo = createSocket("udp4");
    const sources = new Set<number>();
    echo.on("message", (bytes, from) => {
      sources.add(from.port);
      echo.send(bytes, from.port, from.address);
    });
    echo.bind(0, "127.0.0.1");
    await once(echo, "listening");
    const target = `127.0.0.1:${echo.address().port}/udp`;
    const remote = await freePort();
    const link = await startForwarding({
      listen: ["--expose", target, "--permit-listen", `${remote}/udp`],
      forward: ["-L", `0:${target}`, "-R", `${remote}:${target}`],
    });
    // The longest is longer than any packet of the link, and nearly as long as datagrams get.
    const sizes = [0, 1, 1000, 1400, 9000, 60_000];
    for (const port of [link.ports[0]!, remote]) {
      for (const _ of ["one sender", "and another"]) {
        const client = createSocket("udp4");
        for (const size of sizes) {
          client.send(Buffer.alloc(size, size), port, "127.0.0.1");
          const [answer] = (await once(client, "message")) as [Buffer];
          expect(answer.equals(Buffer.alloc(size, size))).toBe(true);
        }
        client.close();
      }
    }
    expect(sources.size).toBe(4);
    echo.close();
  });
});

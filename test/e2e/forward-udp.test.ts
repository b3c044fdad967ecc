/** UDP through forwards of real processes: what a datagram, a route or a name may not do to either side. */
import { spawnSync } from "node:child_process";
import type { Socket } from "node:dgram";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { Namespace, removeAllNamespaces, whyNoLab } from "../lab/namespaces.ts";
import { startForwarding } from "../lib/forwarding.ts";
import { endAll, temporaryFolder } from "../lib/srudp-process.ts";
import { openUdp, unusedPort } from "../lib/udp.ts";

const obstacle = whyNoLab({ python3: "python3", unshare: "util-linux" });
if (obstacle !== undefined) console.log(`skipped: ${obstacle}`);

const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.close();
  await endAll();
  removeAllNamespaces();
});

async function plainSocket(address?: string, port?: number): Promise<Socket> {
  const socket = await openUdp(address, port);
  sockets.push(socket);
  return socket;
}

/** A service that answers each datagram twice; the second answer meets what the first one did to the sender. */
async function twiceAnswering(): Promise<{ port: number; socket: Socket }> {
  const socket = await plainSocket();
  socket.on("message", (bytes, from) => {
    if (from.port === 0) return;
    socket.send(bytes, from.port, from.address);
    socket.send(bytes, from.port, from.address);
  });
  return { port: socket.address().port, socket };
}

async function ask(port: number, text: string): Promise<string> {
  const client = await plainSocket();
  const answered = once(client, "message");
  client.send(text, port, "127.0.0.1");
  const [answer] = (await answered) as [Buffer];
  return answer.toString();
}

/** Sends one datagram without a source port, which takes a raw socket. */
function sendFromPortZero(port: number): void {
  const program = `import socket,struct
s=socket.socket(socket.AF_INET,socket.SOCK_RAW,socket.IPPROTO_UDP)
s.sendto(struct.pack('!HHHH',0,${port},12,0)+b'hush',('127.0.0.1',0))`;
  const { status, stderr } = spawnSync("python3", ["-c", program], { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
}

describe.skipIf(obstacle !== undefined)("a datagram with source port 0", () => {
  it.each(["-L", "-R"])("at a port of %s is dropped, and those behind it are answered", async (option) => {
    const { port, socket } = await twiceAnswering();
    const heard: string[] = [];
    socket.on("message", (bytes) => heard.push(bytes.toString()));
    const target = `127.0.0.1:${port}/udp`;
    const link = await startForwarding({
      listen: ["--expose", target, "--permit-listen", "*:0/udp"],
      forward: [option, `*:0:${target}`],
    });
    const [local] = link.ports;
    for (let i = 0; i < 3; i++) sendFromPortZero(local!);
    expect(await ask(local!, "hello")).toBe("hello");
    expect(await ask(local!, "again")).toBe("again");
    expect(heard).toEqual(["hello", "again"]);
    for (const side of [link.listener, link.forwarder]) {
      side.kill("SIGTERM");
      expect(await side.exit()).toBe(143);
    }
  });
});

describe("a UDP target that nobody listens at", () => {
  it.each(["-L", "-R"])("(%s) is reported on both sides, and reached once it is there", async (option) => {
    const port = await unusedPort();
    const target = `127.0.0.1:${port}/udp`;
    const link = await startForwarding({
      listen: ["--expose", target, "--permit-listen", "0/udp"],
      forward: [option, `0:${target}`],
    });
    const client = await plainSocket();
    client.send("anybody?", link.ports[0]!, "127.0.0.1");
    // With -R the port, and so the client, is at the listener, and the target at the forwarder.
    const [near, far] = option === "-L" ? [link.forwarder, link.listener] : [link.listener, link.forwarder];
    expect(await near.event("unforwarded")).toMatchObject({ by: "own", code: "ERR_TARGET_REFUSED" });
    expect(await far.event("unforwarded")).toMatchObject({ by: "peer", code: "ERR_TARGET_REFUSED" });
    const service = await plainSocket("127.0.0.1", port);
    service.on("message", (bytes, from) => service.send(bytes, from.port, from.address));
    const answered = once(client, "message");
    client.send("and now?", link.ports[0]!, "127.0.0.1");
    expect(String((await answered)[0])).toBe("and now?");
  });
});

describe("a UDP target that is not exposed", () => {
  it("is told on both sides", async () => {
    const link = await startForwarding({ forward: ["-L", "0:127.0.0.1:1/udp"] });
    const client = await plainSocket();
    client.send("may I?", link.ports[0]!, "127.0.0.1");
    for (const side of [link.forwarder, link.listener])
      expect(await side.event("unforwarded")).toMatchObject({ code: "ERR_TARGET_FORBIDDEN" });
  });
});

describe.skipIf(obstacle !== undefined)("a UDP target without a route", () => {
  it("is told on both sides, and both go on", async () => {
    const machine = new Namespace("udp");
    const link = await startForwarding({
      listen: ["--expose", "*:53/udp"],
      forward: ["-L", "0:[2001:db8::1]:53/udp"],
      launcher: machine.launcher,
    });
    const send = `import socket
socket.socket(socket.AF_INET,socket.SOCK_DGRAM).sendto(b'q',('127.0.0.1',${link.ports[0]}))`;
    machine.run(["python3", "-c", send]);
    for (const side of [link.forwarder, link.listener]) {
      expect(await side.event("unforwarded")).toMatchObject({ code: "ERR_TARGET_NO_NETWORK" });
      side.kill("SIGTERM");
      expect(await side.exit()).toBe(143);
    }
  });
});

describe.skipIf(obstacle !== undefined)("localhost with ::1 first", () => {
  it("leads to a UDP service that listens on 127.0.0.1 only", async () => {
    const { port } = await twiceAnswering();
    const hosts = join(temporaryFolder(), "hosts");
    writeFileSync(hosts, "::1 localhost\n127.0.0.1 localhost\n");
    const target = `localhost:${port}/udp`;
    const link = await startForwarding({
      listen: ["--expose", target],
      forward: ["-L", `0:${target}`],
      launcher: ["unshare", "-m", "sh", "-c", `mount --bind ${hosts} /etc/hosts && exec "$@"`, "sh"],
    });
    expect(await ask(link.ports[0]!, "hello")).toBe("hello");
    expect(link.forwarder.events.filter(({ event }) => event === "unforwarded")).toEqual([]);
  });
});

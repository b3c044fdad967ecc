/** What a peer may not reach, however it spells it; and one listener for many peers, of forwards and of a pipe. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterEach, describe, expect, it } from "vitest";
import { Namespace, removeAllNamespaces, whyNoLab, wire } from "../lab/namespaces.ts";
import { endServers, type Forwarding, serve, startForwarding } from "../lib/forwarding.ts";
import { loopback } from "../lib/pair.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";

const obstacle = whyNoLab({ python3: "python3" });
if (obstacle !== undefined) console.log(`skipped: ${obstacle}`);

afterEach(async () => {
  endServers();
  await endAll();
});

/** A reply of RFC 1928: "connection not allowed by ruleset", and "host unreachable". */
const NOT_ALLOWED = 2;
const NO_SUCH_HOST = 4;

/** Loopback, in spellings that one resolver or another takes. */
const SPELLINGS = [
  "127.0.0.1",
  "localhost",
  "LOCALHOST",
  "localhost.",
  "127.1",
  "127.000.000.001",
  "0x7f.0.0.1",
  "0177.0.0.1",
  "2130706433",
  "0.0.0.0",
  "::1",
  "0:0:0:0:0:0:0:1",
  "::",
  "::ffff:127.0.0.1",
  "::ffff:7f00:1",
  "64:ff9b::7f00:1",
];

/** Asks a SOCKS proxy for a name, letter by letter as it stands, and gives its reply. */
async function socks(proxy: number, host: string, port: number): Promise<number> {
  const socket: Socket = connect(proxy, "127.0.0.1");
  const name = Buffer.from(host);
  socket.write(Uint8Array.of(5, 1, 0));
  await once(socket, "data");
  socket.write(Buffer.concat([Uint8Array.of(5, 1, 0, 3, name.length), name, Uint8Array.of(port >> 8, port)]));
  const [reply] = (await once(socket, "data")) as [Buffer];
  socket.destroy();
  return reply[1]!;
}

describe("a target that is not exposed", () => {
  it("is refused in every spelling, with the reason on both ends, and the link goes on", async () => {
    const inside = await serve((socket) => socket.end("secret"));
    const other = await serve((socket) => socket.end("here"));
    const link = await startForwarding({
      // Everything outside on that port, and one service inside: neither opens the other one.
      listen: ["--expose", `*:${inside}`, "--expose", `127.0.0.1:${other}`],
      forward: ["-D", "0", "-L", `0:127.0.0.1:${inside}`, "-L", `0:127.0.0.1:${other}`],
    });
    const [proxy, local, allowed] = link.ports;
    for (const spelling of SPELLINGS) {
      expect([NOT_ALLOWED, NO_SUCH_HOST], spelling).toContain(await socks(proxy!, spelling, inside));
      expect([NOT_ALLOWED, NO_SUCH_HOST], spelling).toContain(await socks(proxy!, spelling, 22));
    }
    await expect(text(connect(local!, "127.0.0.1"))).rejects.toMatchObject({ code: "ECONNRESET" });
    for (const side of [link.listener, link.forwarder])
      expect(await side.event("unforwarded")).toMatchObject({ code: "ERR_TARGET_FORBIDDEN" });
    expect(await text(connect(allowed!, "127.0.0.1"))).toBe("here");
    link.forwarder.kill("SIGTERM");
    expect(await link.forwarder.exit()).toBe(143);
  });

  it("is told to connect -W by its exit status", async () => {
    const link: Forwarding = await startForwarding({ forward: ["-D", "0"] });
    const words = ["connect", loopback(link.port), ...link.trust, "-W", "127.0.0.1:1"];
    expect(await SrudpProcess.start(words).failure()).toMatchObject({
      status: 77,
      code: "ERR_TARGET_FORBIDDEN",
    });
  });
});

describe.skipIf(obstacle !== undefined)("a machine with a global address", () => {
  it("is reached at it by an entry that names it, and not by a pattern, from behind its own firewall", async () => {
    const machine = new Namespace("own");
    const router = new Namespace("router");
    wire(
      { namespace: machine, device: "out", addresses: ["203.0.113.77/24"] },
      { namespace: router, device: "in", addresses: ["203.0.113.1/24"] },
    );
    const start = (namespace: Namespace, bind: string): ChildProcess =>
      spawn(namespace.launcher[0]!, [...namespace.launcher.slice(1), "python3", "-c", SERVICE, bind], {
        stdio: ["ignore", "pipe", "inherit"],
      });
    const children = [start(machine, "203.0.113.77"), start(router, "203.0.113.1")];
    try {
      await Promise.all(children.map((child) => once(child.stdout!, "data")));
      const asked = ["203.0.113.77:2222", "203.0.113.1:2222", "203.0.113.77:2223", "203.0.113.1:2223"];
      const link = await startForwarding({
        listen: [
          ...["--expose", "*:2222", "--expose", "203.0.112.0/20:2223", "--expose", "203.0.113.77/32:2224"],
          ...["--expose", "203.0.113.77:2225"],
        ],
        forward: [...asked, "203.0.113.77:2224", "203.0.113.77:2225"].flatMap((to) => ["-L", `0:${to}`]),
        launcher: machine.launcher,
      });
      const heard = link.ports.map((port) => machine.run(["python3", "-c", CLIENT, String(port)]).trim());
      // `*` reaches neither; a network reaches the neighbour, and the machine itself only when it is named.
      expect(heard).toEqual(["reset", "reset", "reset", "203.0.113.1", "203.0.113.77", "203.0.113.77"]);
      for (let i = 0; i < 3; i++)
        expect(await link.listener.event("unforwarded")).toMatchObject({ code: "ERR_TARGET_FORBIDDEN" });
    } finally {
      for (const child of children) child.kill();
      removeAllNamespaces();
    }
  });
});

/** Says its own address on ports 2222 to 2225 of it. */
const SERVICE = `import socket,select,sys
servers=[]
for port in range(2222,2226):
    s=socket.socket(); s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1)
    s.bind((sys.argv[1],port)); s.listen(); servers.append(s)
print('ready',flush=True)
while True:
    for s in select.select(servers,[],[])[0]:
        c,_=s.accept(); c.sendall(sys.argv[1].encode()); c.close()`;

const CLIENT = `import socket,sys
s=socket.create_connection(('127.0.0.1',int(sys.argv[1])))
try: print(s.recv(100).decode())
except ConnectionResetError: print('reset')`;

describe("a peer with a list of its own", () => {
  it("may do what the list says, and nothing that others may", async () => {
    const target = await serve((socket) => socket.end("here"));
    const { publicKey, configHome } = await newIdentity();
    const own = await newIdentity();
    const listed = `${publicKey} expose=127.0.0.1:${target} permit-listen=0 laptop`;
    writeFileSync(join(own.configHome, "srudp", "authorized_peers"), `${listed}\n`, { mode: 0o600 });
    const listener = SrudpProcess.start(["listen", "0", "-k", "--expose", "127.0.0.1:1"], {
      stdin: "nothing",
      configHome: own.configHome,
    });
    const { port } = await listener.event("listening");
    const forwarder = SrudpProcess.start(
      [
        ...["forward", loopback(port), "--peer", own.publicKey],
        ...["-L", `0:127.0.0.1:${target}`, "-L", "0:127.0.0.1:1", "-R", `0:127.0.0.1:${target}`],
      ],
      { configHome },
    );
    const ports: number[] = [];
    for (let i = 0; i < 3; i++)
      ports.push(Number((await forwarder.event("forwarding")).bind.split(":").pop()));
    expect(await text(connect(ports[0]!, "127.0.0.1"))).toBe("here");
    expect(await text(connect(ports[2]!, "127.0.0.1"))).toBe("here");
    await expect(text(connect(ports[1]!, "127.0.0.1"))).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(await forwarder.event("unforwarded")).toMatchObject({ code: "ERR_TARGET_FORBIDDEN" });
  });
});

describe("one listener with -k", () => {
  it("serves several forwarders and a pipe at once", async () => {
    const target = await serve((socket) => socket.end("here"));
    const forward = ["-L", `0:127.0.0.1:${target}`];
    const link = await startForwarding({ listen: ["--expose", `127.0.0.1:${target}`], forward });
    const peer = loopback(link.port);
    const second = SrudpProcess.start(["forward", peer, ...link.trust, ...forward]);
    const local = Number((await second.event("forwarding")).bind.split(":").pop());
    const piped = SrudpProcess.start(["connect", peer, ...link.trust]);
    await piped.event("connected");
    piped.input.end();
    expect(await piped.exit()).toBe(0);
    expect(await text(connect(link.ports[0]!, "127.0.0.1"))).toBe("here");
    expect(await text(connect(local, "127.0.0.1"))).toBe("here");
  });
});

/** A user's configuration folder with a key in it. */
async function newIdentity(): Promise<{ configHome: string; publicKey: string }> {
  const configHome = temporaryFolder();
  const process = SrudpProcess.start(["key"], { configHome });
  const publicKey = (await process.output.rest()).toString().trim();
  await process.exit();
  return { configHome, publicKey };
}

/** Real programs through real forwards, on the loopback and over a line that loses one packet in a hundred. */
import { type ChildProcess, execFile, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { userInfo } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { has, startDaemon } from "../lib/daemon.ts";
import { endServers, type Forwarding, freePort, startForwarding } from "../lib/forwarding.ts";
import { loopback } from "../lib/pair.ts";
import { commandFile } from "../lib/paths.ts";
import { hasPostgres, startPostgres } from "../lib/postgres.ts";
import { endAll, temporaryFolder } from "../lib/srudp-process.ts";
import { startSshd } from "../lib/sshd.ts";

const run = promisify(execFile);
/** `SRUDP_LONG=1` takes the sizes of the acceptance run. */
const FILE_BYTES = process.env.SRUDP_LONG === "1" ? 200_000_000 : 10_000_000;

/** No pager, no user's settings, and room for what comes. */
const PSQL = { maxBuffer: 64 * 1024 * 1024, env: { PATH: process.env.PATH, PGCONNECT_TIMEOUT: "20" } };

const children: ChildProcess[] = [];
let web: Server;
let webPort: number;
let sockets: WebSocketServer;
let fileSha256: string;

beforeAll(async () => {
  const file = Buffer.alloc(FILE_BYTES, "what curl is to fetch, over and over. ");
  fileSha256 = createHash("sha256").update(file).digest("hex");
  web = createServer((_, answer) => answer.end(file));
  sockets = new WebSocketServer({ server: web });
  sockets.on("connection", (socket) => socket.on("message", (words) => socket.send(words)));
  web.listen(0, "127.0.0.1");
  await once(web, "listening");
  webPort = (web.address() as AddressInfo).port;
});

afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  sockets.close();
  web.close();
  web.closeAllConnections();
  endServers();
  await endAll();
});

describe.each([
  ["on the loopback", undefined],
  ["over 20 ms with 1 % loss", { delayMs: 10, lossRate: 0.01 }],
] as const)("%s", (_, between) => {
  let link: Forwarding;
  const forwardTo = (target: string): Promise<Forwarding> =>
    startForwarding({ listen: ["--expose", target], forward: ["-L", `0:${target}`], between });

  describe("curl", () => {
    beforeAll(async () => {
      const remote = await freePort();
      link = await startForwarding({
        listen: ["--expose", `127.0.0.1:${webPort}`, "--permit-listen", String(remote)],
        forward: [
          ...["-L", `0:127.0.0.1:${webPort}`],
          ...["-R", `${remote}:127.0.0.1:${webPort}`],
          ...["-D", "0"],
        ],
        between,
      });
    });

    const fetch = async (...words: string[]): Promise<string> => {
      const { stdout } = await run("curl", ["-sS", "--max-time", "120", ...words], {
        encoding: "buffer",
        maxBuffer: 2 * FILE_BYTES,
      });
      return createHash("sha256").update(stdout).digest("hex");
    };

    it.runIf(has("curl"))("fetches a file by -L, -R and -D", async () => {
      const [local, remote, dynamic] = link.ports;
      expect(await fetch(`http://127.0.0.1:${local}/`)).toBe(fileSha256);
      expect(await fetch(`http://127.0.0.1:${remote}/`)).toBe(fileSha256);
      for (const version of ["--socks5-hostname", "--socks5", "--socks4a", "--socks4"]) {
        const proxy = [version, `127.0.0.1:${dynamic}`];
        expect(await fetch(...proxy, `http://127.0.0.1:${webPort}/`), version).toBe(fileSha256);
      }
    });

    it.runIf(has("curl"))("is told by SOCKS what the peer forbids", async () => {
      const proxy = ["--socks5-hostname", `127.0.0.1:${link.ports[2]}`];
      // 97: the proxy said no.  // curl(1), EXIT CODES
      await expect(fetch(...proxy, "http://localhost:1/")).rejects.toMatchObject({ code: 97 });
    });

    it("a WebSocket echoes", async () => {
      const socket = new WebSocket(`ws://127.0.0.1:${link.ports[0]}/`);
      await once(socket, "open");
      const words = Buffer.alloc(1_000_000, "echo ");
      socket.send(words);
      const [answer] = (await once(socket, "message")) as [Buffer];
      socket.close();
      expect(answer.equals(words)).toBe(true);
      await once(socket, "close");
    });
  });

  it.runIf(has("ssh", "sshd"))("OpenSSH logs in by -L, and by connect -W as ProxyCommand", async () => {
    const { port, words: common, process: server } = await startSshd();
    children.push(server);
    const target = `127.0.0.1:${port}`;
    const through = await forwardTo(target);
    const local = await run("ssh", [...common, "-p", String(through.ports[0]), "127.0.0.1", "echo by -L"]);
    expect(local.stdout).toBe("by -L\n");
    const words = ["connect", loopback(through.port), ...through.trust, "-W", target, "--quiet"];
    const proxy = [process.execPath, fileURLToPath(commandFile), ...words].join(" ");
    const proxied = await run("ssh", [...common, "-o", `ProxyCommand=${proxy}`, "ignored", "echo by -W"]);
    expect(proxied).toMatchObject({ stdout: "by -W\n", stderr: "" });

    if (!has("rsync", "git")) return;
    // What ssh carries, the forward carries: a tree by rsync, a repository by git.
    const folder = temporaryFolder();
    const file = (name: string): string => join(folder, name);
    const remoteShell = ["ssh", ...common, "-p", String(through.ports[0])].join(" ");
    mkdirSync(file("tree"));
    for (let i = 0; i < 20; i++) writeFileSync(file(`tree/${i}`), Buffer.alloc(50_000, i));
    await run("rsync", ["-a", "-e", remoteShell, `${file("tree")}/`, `127.0.0.1:${file("copy")}/`]);
    expect(spawnSync("diff", ["-r", file("tree"), file("copy")]).status).toBe(0);
    const git = (...rest: string[]): string =>
      spawnSync("git", ["-c", "user.name=t", "-c", "user.email=t@t", ...rest], { encoding: "utf8" }).stdout;
    git("init", "-q", file("tree"));
    git("-C", file("tree"), "add", ".");
    git("-C", file("tree"), "commit", "-qm", "all");
    const url = `ssh://${userInfo().username}@127.0.0.1:${through.ports[0]}${file("tree")}`;
    await run("git", ["clone", "-q", url, file("clone")], {
      env: { ...process.env, GIT_SSH_COMMAND: remoteShell },
    });
    expect(git("-C", file("clone"), "log", "--format=%s")).toBe("all\n");
  });

  it.runIf(has("redis-server", "redis-benchmark"))("redis-benchmark runs with fifty clients", async () => {
    const port = await freePort();
    const redis = ["--port", String(port), "--save", "", "--bind", "127.0.0.1"];
    children.push(await startDaemon("redis-server", redis, port));
    const target = `127.0.0.1:${port}`;
    const through = await forwardTo(target);
    const words = ["-p", String(through.ports[0]), "-t", "set,get,lrange_100", "-n", "2000", "-q"];
    const { stdout } = await run("redis-benchmark", words);
    expect(stdout).toMatch(/SET: [\d.]+ requests[\s\S]*GET: [\d.]+ requests[\s\S]*LRANGE_100/);
  });

  it.runIf(hasPostgres())(
    "psql fills a table, and reads it back, on several connections at once",
    async () => {
      const { port, user, process: server } = await startPostgres();
      children.push(server);
      const target = `127.0.0.1:${port}`;
      const through = await forwardTo(target);
      const psql = async (at: number, ...commands: string[]): Promise<string> => {
        const where = ["-h", "127.0.0.1", "-p", String(at), "-U", user, "-d", "postgres"];
        const words = commands.flatMap((command) => ["-c", command]);
        return (await run("psql", ["-XAtq", "-v", "ON_ERROR_STOP=1", ...where, ...words], PSQL)).stdout;
      };
      const local = through.ports[0]!;
      const rows = join(temporaryFolder(), "rows");
      const lines = Array.from({ length: 20_000 }, (_, i) => `${i}\tline ${i} of what is copied in\n`);
      writeFileSync(rows, lines.join(""));
      await psql(local, "create table t (id int primary key, words text)", `\\copy t from '${rows}'`);
      const readings = await Promise.all(
        Array.from({ length: 5 }, () => psql(local, "\\copy (select * from t order by id) to stdout")),
      );
      for (const reading of readings) expect(reading).toBe(lines.join(""));
      const sum = "select count(*), sum(id), md5(string_agg(words, ',' order by id)) from t";
      expect(await psql(local, sum)).toBe(await psql(port, sum));
      // What the server says no to is the server's answer, not the forward's.
      await expect(psql(local, "select 1/0")).rejects.toMatchObject({
        stderr: expect.stringContaining("division by zero"),
      });
    },
  );

  it.runIf(has("dig"))("dig asks by /udp, and gets answers too long for a packet", async () => {
    const server = createSocket("udp4");
    server.on("message", (question, from) => server.send(dnsAnswer(question), from.port, from.address));
    server.bind(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address();
    const through = await forwardTo(`127.0.0.1:${port}/udp`);
    const words = [
      "-p",
      String(through.ports[0]),
      "@127.0.0.1",
      "+short",
      "+tries=5",
      "+time=2",
      "+bufsize=8192",
    ];
    for (const name of ["short.test", "long.test"]) {
      const { stdout } = await run("dig", [...words, name, "TXT"]);
      expect(stdout.length).toBeGreaterThan(name === "long.test" ? 3000 : 8);
      expect(stdout).toContain("answer");
    }
    server.close();
  });
});

/** A TXT answer; to questions for `long…` one of some 4 kB, which no packet of the link can hold. */
function dnsAnswer(question: Buffer): Buffer {
  const nameEnd = question.indexOf(0, 12) + 5;
  const isLong = question.subarray(12).includes("long");
  const count = isLong ? 20 : 1;
  const head = Buffer.from(question.subarray(0, nameEnd));
  head.writeUInt16BE(0x8400, 2);
  head.writeUInt16BE(count, 6);
  head.writeUInt16BE(0, 8);
  head.writeUInt16BE(0, 10);
  const text = Buffer.from("answer ".repeat(isLong ? 30 : 1));
  const record = Buffer.alloc(12 + 1 + text.length);
  record.writeUInt16BE(0xc00c, 0);
  record.writeUInt16BE(16, 2);
  record.writeUInt16BE(1, 4);
  record.writeUInt32BE(60, 6);
  record.writeUInt16BE(1 + text.length, 10);
  record[12] = text.length;
  text.copy(record, 13);
  return Buffer.concat([head, ...Array.from({ length: count }, () => record)]);
}

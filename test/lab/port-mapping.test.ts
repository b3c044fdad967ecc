/** Public ports from a real router (miniupnpd) by each of the three protocols, used from outside, and given back. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { within } from "../lib/deadline.ts";
import { builtFile } from "../lib/paths.ts";
import { Namespace, removeAllNamespaces, whyNoLab, wire } from "./namespaces.ts";

const obstacle = whyNoLab({ miniupnpd: "miniupnpd-nftables" });
if (obstacle !== undefined) console.log(`skipped: ${obstacle}`);

const PUBLIC = "11.0.9.100";
const OUTSIDE = "11.0.9.1";
const ROUTER = "192.168.9.1";
/** Chains that miniupnpd writes into, under the names that it has for them. */
const RULES = `table inet filter {
 chain input { type filter hook input priority 0; policy drop;
  iifname != "wan" accept
  ct state established,related accept
 }
 chain forward { type filter hook forward priority 0; policy drop;
  jump miniupnpd
  ct state established,related accept
  iifname "lan" accept
 }
 chain miniupnpd {
 }
 chain prerouting { type nat hook prerouting priority -100;
  jump prerouting_miniupnpd
 }
 chain postrouting { type nat hook postrouting priority 100;
  jump postrouting_miniupnpd
  oifname "wan" masquerade
 }
 chain prerouting_miniupnpd {
 }
 chain postrouting_miniupnpd {
 }
}
`;

/** A program's lines of JSON, one after the other. */
class Lines {
  readonly child: ChildProcess;
  readonly #lines: string[] = [];
  #reported: () => void = () => undefined;

  constructor(namespace: Namespace, words: readonly string[]) {
    const [program, ...launch] = namespace.launcher;
    this.child = spawn(program!, [...launch, ...words], { stdio: ["pipe", "pipe", "inherit"] });
    const lines: Interface = createInterface(this.child.stdout!);
    lines.on("line", (line) => {
      this.#lines.push(line);
      this.#reported();
    });
  }

  async next(): Promise<Record<string, unknown>> {
    while (this.#lines.length === 0)
      await within(
        new Promise<void>((resolve) => (this.#reported = resolve)),
        15_000,
        () => "nothing was told",
      );
    return JSON.parse(this.#lines.shift()!) as Record<string, unknown>;
  }
}

describe.skipIf(obstacle !== undefined)("a router with miniupnpd", () => {
  const folder = mkdtempSync(join(tmpdir(), "srudp-upnp-"));
  let router: Namespace;
  let host: Namespace;
  let outside: Namespace;
  let daemon: ChildProcess | undefined;

  beforeAll(() => {
    router = new Namespace("router");
    host = new Namespace("inside");
    outside = new Namespace("outside");
    wire(
      { namespace: outside, device: "eth0", addresses: [`${OUTSIDE}/24`] },
      { namespace: router, device: "wan", addresses: [`${PUBLIC}/24`] },
    );
    wire(
      { namespace: router, device: "lan", addresses: [`${ROUTER}/24`] },
      { namespace: host, device: "eth0", addresses: ["192.168.9.2/24"] },
    );
    router.ip(`route add default via ${OUTSIDE}`);
    host.ip(`route add default via ${ROUTER}`);
    router.route();
    router.nft(RULES);
  });

  afterAll(async () => {
    await stopDaemon();
    removeAllNamespaces();
    rmSync(folder, { recursive: true, force: true });
  });

  async function startDaemon(extra: readonly string[]): Promise<void> {
    await stopDaemon();
    const config = join(folder, "miniupnpd.conf");
    const lines = [
      "ext_ifname=wan",
      "listening_ip=lan",
      "enable_upnp=yes",
      "secure_mode=yes",
      "system_uptime=yes",
      "uuid=3c7d1a0e-0000-4000-8000-000000000001",
      "allow 1024-65535 192.168.9.0/24 1024-65535",
      "deny 0-65535 0.0.0.0/0 0-65535",
      ...extra,
    ];
    writeFileSync(config, `${lines.join("\n")}\n`);
    const [program, ...launch] = router.launcher;
    daemon = spawn(program!, [...launch, "miniupnpd", "-d", "-f", config, "-P", join(folder, "pid")], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    const up = new Promise<void>((resolve, reject) => {
      daemon!.once("exit", () => reject(new Error(`miniupnpd ended: ${said}`)));
      daemon!.stderr!.on("data", (text) => {
        said += String(text);
        if (/HTTP listening/.test(said)) resolve();
      });
    });
    await within(up, 10_000, () => `miniupnpd does not serve: ${said}`);
  }

  async function stopDaemon(): Promise<void> {
    const stopped = daemon;
    daemon = undefined;
    if (stopped === undefined || stopped.exitCode !== null || stopped.signalCode !== null) return;
    const gone = once(stopped, "exit");
    stopped.kill("SIGKILL");
    await gone;
  }

  const redirections = (): number =>
    router.run(["nft", "list", "chain", "inet", "filter", "prerouting_miniupnpd"]).split("dnat").length - 1;

  /** What a packet from outside to the public port brings back. */
  async function echo(port: number): Promise<string> {
    const script = `const s=require("dgram").createSocket("udp4");s.on("message",(m)=>{console.log(JSON.stringify(String(m)));s.close()});
      const t=setInterval(()=>s.send("knock",${port},"${PUBLIC}"),100);s.on("close",()=>clearInterval(t));
      setTimeout(()=>{console.log(JSON.stringify("silence"));process.exit()},3000).unref();s.send("knock",${port},"${PUBLIC}")`;
    return String(await new Lines(outside, [process.execPath, "-e", script]).next());
  }

  for (const { name, way, config } of [
    { name: "PCP", way: "any", config: ["enable_natpmp=yes"] },
    { name: "UPnP", way: "upnp", config: ["enable_natpmp=no"] },
  ]) {
    it(`gives a port by ${name} that leads in, and has it back at the end`, async () => {
      await startDaemon(config);
      const script = fileURLToPath(builtFile("test/lab/mapping-main.js"));
      const holder = new Lines(host, [process.execPath, script, way]);
      const mapped = await holder.next();
      expect(mapped).toMatchObject({ address: PUBLIC, by: name });
      expect(Number(mapped.lifetimeS)).toBeGreaterThan(3600);
      expect(await holder.next()).toMatchObject({ done: true });
      expect(redirections()).toBe(1);
      expect(await echo(Number(mapped.port))).toBe("knock");
      holder.child.stdin!.end();
      expect(await holder.next()).toEqual({ closed: true });
      expect(redirections()).toBe(0);
      expect(await echo(Number(mapped.port))).toBe("silence");
    });
  }
});

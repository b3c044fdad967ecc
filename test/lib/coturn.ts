/** A real STUN and TURN server (coturn, Debian's package `coturn`) on loopback, for as long as a test runs. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pause, within } from "./deadline.ts";
import { unusedPort } from "./udp.ts";

const COMMAND = "turnserver";
const START_TIMEOUT_MS = 10_000;

/** Why no test with a real server can run here; undefined where one can. */
export function coturnMissing(): string | undefined {
  const { error } = spawnSync(COMMAND, ["--version"], { stdio: "ignore" });
  return error === undefined ? undefined : "there is no turnserver (Debian's package coturn)";
}

export const COTURN_USER = { username: "user", password: "se@cret" } as const;

export class Coturn {
  readonly port: number;
  readonly tlsPort: number;
  /** The certificate that it shows, its own authority. */
  readonly certificate: Buffer;
  readonly #child: ChildProcess;
  readonly #folder: string;

  private constructor(
    port: number,
    tlsPort: number,
    certificate: Buffer,
    child: ChildProcess,
    folder: string,
  ) {
    this.port = port;
    this.tlsPort = tlsPort;
    this.certificate = certificate;
    this.#child = child;
    this.#folder = folder;
  }

  /** Ready to answer. @param more options of turnserver */
  static async start(...more: readonly string[]): Promise<Coturn> {
    const folder = mkdtempSync(join(tmpdir(), "srudp-coturn-"));
    const [port, tlsPort] = [await unusedPort(), await unusedPort()];
    const [key, certificate] = [join(folder, "key.pem"), join(folder, "cert.pem")];
    execFileSync(
      "openssl",
      [
        ...[
          "req",
          "-x509",
          "-newkey",
          "ec",
          "-pkeyopt",
          "ec_paramgen_curve:prime256v1",
          "-nodes",
          "-days",
          "2",
        ],
        ...["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        ...["-keyout", key, "-out", certificate],
      ],
      { stdio: "ignore" },
    );
    const child = spawn(
      COMMAND,
      [
        ...[
          "-n",
          "--lt-cred-mech",
          "-u",
          `${COTURN_USER.username}:${COTURN_USER.password}`,
          "-r",
          "example.org",
        ],
        ...["--listening-ip=127.0.0.1", "--listening-ip=127.0.0.2", "--relay-ip=127.0.0.1"],
        ...["--allow-loopback-peers", "--no-cli", "--no-dtls", "--simple-log", "--log-file", "stdout"],
        ...["--pidfile", join(folder, "pid"), "--userdb", join(folder, "users")],
        ...["--listening-port", `${port}`, "--tls-listening-port", `${tlsPort}`],
        ...["--cert", certificate, "--pkey", key, ...more],
      ],
      { stdio: ["ignore", "pipe", "ignore"], cwd: folder },
    );
    const coturn = new Coturn(port, tlsPort, readFileSync(certificate), child, folder);
    try {
      let said = "";
      child.stdout!.on("data", (text) => {
        said += String(text);
      });
      await within(listening(child), START_TIMEOUT_MS, () => `coturn does not serve: ${said}`);
      await accepting(port);
    } catch (error) {
      await coturn.stop();
      throw error;
    }
    return coturn;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = once(this.#child, "exit");
      this.#child.kill("SIGKILL");
      await gone;
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Resolves once `port` takes TCP connections: other threads of coturn open it, after its last line. */
async function accepting(port: number): Promise<void> {
  const untilMs = performance.now() + START_TIMEOUT_MS;
  for (;;) {
    const socket = connect(port, "127.0.0.1");
    const isOpen = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    });
    socket.destroy();
    if (isOpen) return;
    if (performance.now() > untilMs) throw new Error(`coturn does not listen on TCP port ${port}`);
    await pause(5);
  }
}

/** Resolves at the last line that it prints before it serves. */
function listening(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", () => reject(new Error("coturn ended")));
    createInterface(child.stdout!).on("line", (line) => {
      if (line.includes("auth thread")) resolve();
    });
  });
}

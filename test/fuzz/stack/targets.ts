/** What a victim leads to: echoing targets on this machine, and the permissions that let peers reach some of them. */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Address, Target } from "../../../src/link/forward-records.ts";
import { encodeSecret } from "../../../src/wire/key-text.ts";

/** What all peers here hold. */
export const SECRET: Uint8Array = new Uint8Array(32).fill(77);
/** Where a UDP socket that did not ask for broadcasts cannot be connected to: the dial itself fails. */
const UNROUTABLE = "255.255.255.255";

/** Targets on this machine, and the permissions that let peers reach some of them. */
export class Targets {
  readonly folder: string = mkdtempSync(join(tmpdir(), "srudp-fuzz-"));
  readonly #tcp: Server = createServer({ allowHalfOpen: true }, echo);
  readonly #unix: Server = createServer({ allowHalfOpen: true }, echo);
  readonly #udp: UdpSocket = createSocket("udp4");
  tcpPort = 0;
  udpPort = 0;

  async open(): Promise<void> {
    this.#tcp.listen(0, "127.0.0.1");
    this.#unix.listen(join(this.folder, "echo"));
    this.#udp.bind(0, "127.0.0.1");
    this.#udp.on("message", (bytes, { port, address }) => this.#udp.send(bytes, port, address));
    this.#udp.on("error", () => undefined);
    await Promise.all([
      once(this.#tcp, "listening"),
      once(this.#unix, "listening"),
      once(this.#udp, "listening"),
    ]);
    this.tcpPort = (this.#tcp.address() as { port: number }).port;
    this.udpPort = this.#udp.address().port;
    writeFileSync(this.secretFile, `${encodeSecret(SECRET)}\n`, { mode: 0o600 });
  }

  get secretFile(): string {
    return join(this.folder, "secret");
  }

  /** Where nothing of this user's own is. */
  get environment(): NodeJS.ProcessEnv {
    return { ...process.env, XDG_CONFIG_HOME: this.folder, XDG_RUNTIME_DIR: this.folder, HOME: this.folder };
  }

  get words(): string[] {
    const exposed = [
      `127.0.0.1:${this.tcpPort}`,
      `127.0.0.1:${this.udpPort}/udp`,
      `localhost:${this.udpPort}/udp`,
      `${UNROUTABLE}:53/udp`,
      `127.0.0.1:1`,
      join(this.folder, "echo"),
    ];
    const permitted = ["0", "0/udp", join(this.folder, "asked")];
    return [
      ...exposed.flatMap((target) => ["--expose", target]),
      ...permitted.flatMap((bind) => ["--permit-listen", bind]),
    ];
  }

  get targets(): Target[] {
    return [
      { kind: "tcp", host: "127.0.0.1", port: this.tcpPort },
      { kind: "tcp", host: "127.0.0.1", port: 1 },
      { kind: "tcp", host: "127.0.0.1", port: 22 },
      { kind: "udp", host: "127.0.0.1", port: this.udpPort },
      { kind: "udp", host: "127.0.0.1", port: this.udpPort },
      { kind: "udp", host: "localhost", port: this.udpPort },
      { kind: "udp", host: UNROUTABLE, port: 53 },
      { kind: "udp", host: "127.0.0.1", port: 0 },
      { kind: "unix", path: join(this.folder, "echo") },
      { kind: "first" },
    ];
  }

  get binds(): Address[] {
    return [
      { kind: "tcp", host: "", port: 0 },
      { kind: "tcp", host: "", port: 0 },
      { kind: "tcp", host: "127.0.0.1", port: 0 },
      { kind: "tcp", host: "192.0.2.1", port: 80 },
      { kind: "udp", host: "", port: 0 },
      { kind: "udp", host: "127.0.0.1", port: 0 },
      { kind: "unix", path: join(this.folder, "asked") },
    ];
  }

  close(): void {
    this.#tcp.close();
    this.#unix.close();
    this.#udp.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function echo(socket: Socket): void {
  socket.on("error", () => socket.destroy());
  socket.pipe(socket);
}

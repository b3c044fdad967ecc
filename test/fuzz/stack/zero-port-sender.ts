/** Sends UDP datagrams whose source port is 0, which no ordinary socket can: a small Python program with a raw one. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";

const PROGRAM = `
import socket, struct, sys
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
for line in sys.stdin:
    port, length = map(int, line.split())
    datagram = struct.pack("!HHHH", 0, port, 8 + length, 0) + bytes(length)
    raw.sendto(datagram, ("127.0.0.1", 0))
`;

export class ZeroPortSender {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Undefined where raw sockets are not allowed, or there is no Python. */
  static start(): ZeroPortSender | undefined {
    const check = "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)";
    if (spawnSync("python3", ["-c", check]).status !== 0) return undefined;
    const child = spawn("python3", ["-u", "-c", PROGRAM], { stdio: ["pipe", "ignore", "ignore"] });
    child.on("error", () => undefined);
    child.stdin.on("error", () => undefined);
    return new ZeroPortSender(child);
  }

  /** To a port of the loopback. */
  send(port: number, payloadBytes: number): void {
    this.#child.stdin?.write(`${port} ${payloadBytes}\n`);
  }

  stop(): void {
    this.#child.kill("SIGKILL");
  }
}

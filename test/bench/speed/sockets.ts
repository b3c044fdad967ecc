/** Kernel TCP, and TLS 1.3 over it, as Node has them. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import { type Contender, writeFor } from "./contender.ts";

export class Tcp implements Contender {
  receive(address: string, onBytes: (byteLength: number) => void): Promise<number> {
    return listenOn(
      createServer((socket) => count(socket, onBytes)),
      address,
    );
  }

  async send(address: string, port: number, forMs: number): Promise<void> {
    const socket = connect(port, address);
    await new Promise((resolve) => socket.once("connect", resolve));
    await writeFor(socket, forMs);
    socket.destroy();
  }
}

/** With a certificate made for the occasion: `openssl` has to be there. */
export class Tls implements Contender {
  receive(address: string, onBytes: (byteLength: number) => void): Promise<number> {
    const folder = mkdtempSync(join(tmpdir(), "srudp-bench-"));
    const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
    const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    execFileSync("openssl", [...request, "-keyout", key, "-out", cert, "-days", "1", "-subj", "/CN=bench"], {
      stdio: "ignore",
    });
    const server = createTlsServer({ key: readFileSync(key), cert: readFileSync(cert) }, (socket) =>
      count(socket, onBytes),
    );
    return listenOn(server, address);
  }

  async send(address: string, port: number, forMs: number): Promise<void> {
    const socket = connectTls({ host: address, port, rejectUnauthorized: false });
    await new Promise((resolve) => socket.once("secureConnect", resolve));
    await writeFor(socket, forMs);
    socket.destroy();
  }
}

function count(socket: Socket, onBytes: (byteLength: number) => void): void {
  socket.on("data", ({ length }: Uint8Array) => onBytes(length));
  socket.on("error", () => undefined);
}

function listenOn(server: Server, address: string): Promise<number> {
  return new Promise((resolve) => {
    server.listen(0, address, () => resolve((server.address() as AddressInfo).port));
  });
}

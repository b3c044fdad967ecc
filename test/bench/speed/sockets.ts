/** Kernel TCP, and TLS 1.3 over it, as Node has them. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import type { Channel, Transport } from "./channel.ts";

export class Tcp implements Transport {
  accept(address: string, onChannel: (channel: Channel) => void): Promise<number> {
    const server = createServer({ noDelay: true }, (socket) => onChannel(tolerant(socket)));
    return listenOn(server, address);
  }

  async connect(address: string, port: number): Promise<Channel[]> {
    const socket = tolerant(connect({ port, host: address, noDelay: true }));
    await once(socket, "connect");
    return [socket];
  }
}

/** With a certificate made for the occasion: `openssl` has to be there. */
export class Tls implements Transport {
  accept(address: string, onChannel: (channel: Channel) => void): Promise<number> {
    const server = createTlsServer({ ...makeCertificate(), noDelay: true }, (socket) =>
      onChannel(tolerant(socket)),
    );
    return listenOn(server, address);
  }

  async connect(address: string, port: number): Promise<Channel[]> {
    const socket = tolerant(connectTls({ host: address, port, rejectUnauthorized: false }));
    socket.setNoDelay(true);
    await once(socket, "secureConnect");
    return [socket];
  }
}

function makeCertificate(): { key: Buffer; cert: Buffer } {
  const folder = mkdtempSync(join(tmpdir(), "srudp-bench-"));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  try {
    execFileSync("openssl", [...request, "-keyout", key, "-out", cert, "-days", "1", "-subj", "/CN=bench"], {
      stdio: "ignore",
    });
    return { key: readFileSync(key), cert: readFileSync(cert) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The other end goes away when it has measured enough. */
function tolerant<S extends Socket>(socket: S): S {
  return socket.on("error", () => undefined);
}

async function listenOn(server: Server, address: string): Promise<number> {
  server.listen(0, address);
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/**
 * A rendezvous server's TCP port: WebSockets that carry the same messages as UDP, one in each
 * binary message, for networks that block UDP. With a certificate the port also accepts TLS; the
 * first byte of a connection tells which it is.
 */
import { readFile, stat } from "node:fs/promises";
import { createServer as createHttpServer, type Server as HttpServer, type IncomingMessage } from "node:http";
import { createServer as createHttpsServer, type Server as HttpsServer } from "node:https";
import { type AddressInfo, createServer, isIP, type Server, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import { SrudpError } from "../base/errors.ts";
import type { RemoteAddress } from "../platform/udp/address.ts";
import { type Client, Quota } from "./client.ts";
import {
  CONNECTION_TOKENS,
  LOCAL_PENDING_SHARE,
  OVER_RATE_PAUSE_MS,
  type RendezvousLimits,
  UPGRADE_TIMEOUT_MS,
  WEBSOCKET_BACKLOG_BYTES,
  WEBSOCKET_MESSAGE_BYTES,
  WEBSOCKET_SILENCE_MS,
} from "./limits.ts";
import type { RequestHandler } from "./request-handler.ts";

/** First byte of a TLS connection: a handshake record.  // RFC 8446 §5.1 */
const TLS_HANDSHAKE = 22;
const CHECK_EVERY_MS = 15_000;
/** How often to check for a renewed certificate. */
const CERTIFICATE_EVERY_MS = 600_000;

export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

export class WebSocketListener {
  readonly #handler: RequestHandler;
  /**
   * WebSockets by address, and connections that are not WebSockets yet: remote ones, and those from
   * this machine.
   */
  readonly #quota: Quota;
  readonly #pending: Quota;
  readonly #localPending: Quota;
  readonly #limits: RendezvousLimits;
  readonly #http: HttpServer = createHttpServer();
  #https: HttpsServer | undefined;
  readonly #tcp: Server[] = [];
  readonly #webSockets: WebSocketServer;
  readonly #clients: Set<WebSocketClient> = new Set();
  readonly #sockets: Set<Socket> = new Set();
  /** By socket: takes a connection off the pending ones when it becomes a WebSocket. */
  readonly #waiting: Map<string, () => void> = new Map();
  readonly #checker: NodeJS.Timeout;
  #renewer: NodeJS.Timeout | undefined;

  constructor(handler: RequestHandler, limits: RendezvousLimits) {
    this.#handler = handler;
    this.#limits = limits;
    const { webSockets, webSocketsPerAddress } = limits;
    this.#quota = new Quota(webSocketsPerAddress);
    this.#pending = new Quota(webSocketsPerAddress);
    this.#localPending = new Quota(
      Math.max(webSocketsPerAddress, Math.ceil(webSockets * LOCAL_PENDING_SHARE)),
    );
    this.#webSockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: WEBSOCKET_MESSAGE_BYTES,
    });
    this.#serve(this.#http);
    this.#checker = setInterval(() => this.#endSilent(), CHECK_EVERY_MS);
  }

  get addresses(): RemoteAddress[] {
    return this.#tcp.map((tcp) => {
      const { address, port, family } = tcp.address() as AddressInfo;
      return { address, port, family: family === "IPv6" ? 6 : 4 };
    });
  }

  /** @throws SrudpError ERR_FILE_UNREADABLE, ERR_KEY_FILE */
  async useTls(files: TlsFiles): Promise<void> {
    const context = await readCertificate(files);
    let readAtMs = Date.now();
    try {
      this.#https = createHttpsServer(context);
    } catch (error) {
      throw new SrudpError("ERR_KEY_FILE", `${files.certFile} and ${files.keyFile}`, error);
    }
    this.#serve(this.#https);
    // Certificates are renewed every few weeks; a long-running server loads the new one.
    this.#renewer = setInterval(async () => {
      try {
        const { mtimeMs } = await stat(files.certFile);
        if (mtimeMs <= readAtMs) return;
        readAtMs = Date.now();
        this.#https?.setSecureContext(await readCertificate(files));
      } catch {
        // Incomplete or missing for a moment: the current certificate stays in use until the next
        // check.
      }
    }, CERTIFICATE_EVERY_MS);
  }

  /**
   * Listens on one more address; rejects with the system's error.
   *
   * @param host by default all addresses of both families
   */
  listen(port: number, host: string | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const tcp = createServer((socket) => this.#admit(socket));
      tcp.once("error", reject);
      tcp.listen({ port, ...(host === undefined ? {} : { host }) }, () => {
        tcp.off("error", reject);
        tcp.on("error", () => undefined);
        this.#tcp.push(tcp);
        resolve();
      });
    });
  }

  /** Stops listening, before other ports are tried. */
  async stopListening(): Promise<void> {
    const closing = this.#tcp.splice(0).map((tcp) => new Promise((resolve) => tcp.close(resolve)));
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closing);
  }

  async close(): Promise<void> {
    clearInterval(this.#checker);
    clearInterval(this.#renewer);
    for (const client of this.#clients) client.end();
    await this.stopListening();
  }

  /** Admits a new TCP connection, which must become a WebSocket within a deadline. */
  #admit(socket: Socket): void {
    const address = socket.remoteAddress ?? "";
    if (this.#sockets.size >= this.#limits.webSockets || !this.#mayWait(address)) {
      socket.destroy();
      return;
    }
    const source = connectionOf(socket);
    const deadline = setTimeout(() => socket.destroy(), UPGRADE_TIMEOUT_MS);
    let isWaiting = true;
    const stopWaiting = (): void => {
      if (!isWaiting) return;
      isWaiting = false;
      clearTimeout(deadline);
      this.#pendingOf(address).release(address);
      if (this.#waiting.get(source) === stopWaiting) this.#waiting.delete(source);
    };
    this.#sockets.add(socket);
    this.#waiting.set(source, stopWaiting);
    socket.once("close", () => {
      stopWaiting();
      this.#sockets.delete(socket);
    });
    socket.on("error", () => socket.destroy());
    socket.setNoDelay(true);
    const https = this.#https;
    if (https === undefined) {
      this.#http.emit("connection", socket);
      return;
    }
    socket.once("data", (beginning: Buffer) => {
      socket.pause();
      socket.unshift(beginning);
      (beginning[0] === TLS_HANDSHAKE ? https : this.#http).emit("connection", socket);
      process.nextTick(() => socket.resume());
    });
  }

  /** Whether an address may have one more pending connection; if so, counts it. */
  #mayWait(address: string): boolean {
    // A proxy on this machine connects for many clients; the upgrade names the client that is
    // counted.
    const isWithinRate =
      isLocal(address) || this.#handler.admitValidated(performance.now(), address, CONNECTION_TOKENS);
    return isWithinRate && this.#pendingOf(address).take(address);
  }

  #pendingOf(address: string): Quota {
    return isLocal(address) ? this.#localPending : this.#pending;
  }

  #serve(server: HttpServer | HttpsServer): void {
    server.on("request", (_request, response) => {
      response.writeHead(426, { Connection: "close", Upgrade: "websocket", "Content-Type": "text/plain" });
      response.end("This is an srudp rendezvous server; it speaks WebSocket here.\n");
    });
    server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      const address = sourceOf(request);
      if (!this.#quota.take(address)) {
        socket.end("HTTP/1.1 429 Too Many Requests\r\nConnection: close\r\n\r\n");
        return;
      }
      const release = (): void => this.#quota.release(address);
      socket.once("close", release);
      this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
        this.#waiting.get(connectionOf(request.socket))?.();
        this.#acceptWebSocket(webSocket, address);
      });
    });
    server.on("clientError", (_error, socket) => socket.destroy());
  }

  #acceptWebSocket(webSocket: WebSocket, address: string): void {
    const client = new WebSocketClient(webSocket, address);
    this.#clients.add(client);
    this.#handler.statistics.webSockets = this.#clients.size;
    webSocket.on("error", () => webSocket.terminate());
    webSocket.on("message", (message, isBinary) => {
      const nowMs = performance.now();
      client.lastReceivedAtMs = nowMs;
      let isWithinRate: boolean;
      if (isBinary && message instanceof Uint8Array) {
        isWithinRate = this.#handler.handleMessage(nowMs, client, message);
      } else {
        this.#handler.statistics.malformed++;
        isWithinRate = this.#handler.admitValidated(nowMs, address);
      }
      if (!isWithinRate) client.pause();
    });
    webSocket.on("ping", () => {
      const nowMs = performance.now();
      client.lastReceivedAtMs = nowMs;
      if (!this.#handler.admitValidated(nowMs, address)) client.pause();
    });
    // The server sends no pings, so every pong is unsolicited.
    webSocket.on("pong", () => {
      if (!this.#handler.admitValidated(performance.now(), address)) client.pause();
    });
    webSocket.on("close", () => {
      client.stop();
      this.#clients.delete(client);
      this.#handler.statistics.webSockets = this.#clients.size;
      this.#handler.forget(client);
    });
  }

  #endSilent(): void {
    const sinceMs = performance.now() - WEBSOCKET_SILENCE_MS;
    for (const client of this.#clients) if (client.lastReceivedAtMs < sinceMs) client.end();
  }
}

/** An open WebSocket. */
class WebSocketClient implements Client {
  readonly address: string;
  readonly isReliable = true;
  lastReceivedAtMs: number = performance.now();
  readonly #webSocket: WebSocket;
  #pause: NodeJS.Timeout | undefined;

  constructor(webSocket: WebSocket, address: string) {
    this.#webSocket = webSocket;
    this.address = address;
  }

  send(bytes: Uint8Array): void {
    const { readyState, bufferedAmount, OPEN } = this.#webSocket;
    if (readyState === OPEN && bufferedAmount <= WEBSOCKET_BACKLOG_BYTES) this.#webSocket.send(bytes);
  }

  /** Pauses reading, so that TCP slows the sender. */
  pause(): void {
    if (this.#pause !== undefined) return;
    this.#webSocket.pause();
    this.#pause = setTimeout(() => {
      this.#pause = undefined;
      this.#webSocket.resume();
    }, OVER_RATE_PAUSE_MS);
  }

  equals(other: Client): boolean {
    return other === this;
  }

  end(): void {
    this.#webSocket.terminate();
  }

  /** The connection has closed. */
  stop(): void {
    clearTimeout(this.#pause);
  }
}

/** Identifies a connection, with or without TLS. */
function connectionOf({ remoteAddress, remotePort, localAddress }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress}`;
}

/** The client's address: behind a proxy on this machine, the one that the proxy names. */
function sourceOf(request: IncomingMessage): string {
  const direct = request.socket.remoteAddress ?? "";
  const forwarded = request.headers["x-forwarded-for"];
  const last = (Array.isArray(forwarded) ? forwarded.join(",") : forwarded)?.split(",").at(-1)?.trim();
  return isLocal(direct) && last !== undefined && isIP(last) !== 0 ? last : direct;
}

function isLocal(address: string): boolean {
  return address === "::1" || /^(::ffff:)?127\./.test(address);
}

async function readCertificate(files: TlsFiles): Promise<{ cert: Buffer; key: Buffer }> {
  const read = async (file: string): Promise<Buffer> => {
    try {
      return await readFile(file);
    } catch (error) {
      throw new SrudpError("ERR_FILE_UNREADABLE", file, error);
    }
  };
  return { cert: await read(files.certFile), key: await read(files.keyFile) };
}

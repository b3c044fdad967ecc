/**
 * Public ports by UPnP: a router is found by multicast (SSDP), describes itself in XML over HTTP,
 * and takes commands by SOAP.  // UPnP Device Architecture 1.1 §1.3, §2, §3; WANIPConnection:1
 * §2.4, :2 §2.5.20
 *
 * Written here in place of a library: existing ones bring some 36 packages, and of XML only the
 * text between a few known tags is needed. Routers are trusted as little as possible: a description
 * is fetched, with a size limit, from the very address that answered, and the control address has
 * to be there too.
 */
import { createSocket } from "node:dgram";
import { request as httpRequest, type IncomingMessage } from "node:http";
import type { PortMapping, PortMappingProtocol } from "./port-mapping.ts";

const SSDP_GROUP = "239.255.255.250";
const SSDP_PORT = 1900;
const DISCOVERY_WAIT_MS = 1500;
const SSDP_REPEAT_MS: readonly number[] = [250, 750];
const HTTP_WAIT_MS = 2000;
const RESPONSE_LIMIT_BYTES = 128 * 1024;
/** Services that map ports, preferred ones first. */
const SERVICES: readonly string[] = [
  "urn:schemas-upnp-org:service:WANIPConnection:2",
  "urn:schemas-upnp-org:service:WANIPConnection:1",
  "urn:schemas-upnp-org:service:WANPPPConnection:1",
];
const SEARCH_TARGETS: readonly string[] = [
  "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
  "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
];
/** Another client has the port.  // WANIPConnection:1 §2.4.16 */
const CONFLICT = 718;
/** Only permanent mappings are supported.  // WANIPConnection:1 §2.4.16 */
const ONLY_PERMANENT = 725;
/** How many other public ports are tried when the wanted one is taken. */
const OTHER_PORTS = 3;

export class UpnpRouter implements PortMappingProtocol {
  readonly name = "UPnP";
  readonly #control: URL;
  readonly #service: string;
  /** The local address, as the router sees it. */
  readonly #ownAddress: string;
  #mappedPort: number | undefined;

  private constructor(control: URL, service: string, ownAddress: string) {
    this.#control = control;
    this.#service = service;
    this.#ownAddress = ownAddress;
  }

  /** The first router that answers and can map ports; undefined when none does in time. */
  static async find(
    options: { group?: string; port?: number; dialer?: string } = {},
  ): Promise<UpnpRouter | undefined> {
    for await (const { location, address } of search(options)) {
      const router = await UpnpRouter.#at(location, address);
      if (router !== undefined) return router;
    }
    return undefined;
  }

  static async #at(location: URL, address: string): Promise<UpnpRouter | undefined> {
    // Otherwise a host on the network could redirect the request to any server.
    if (location.protocol !== "http:" || location.hostname !== address) return undefined;
    const description = await fetchText(location, "GET", {}, undefined);
    if (description === undefined) return undefined;
    const base = tag(description.text, "URLBase");
    for (const service of SERVICES) {
      const path = controlPathOf(description.text, service);
      if (path === undefined) continue;
      const control = urlOf(path, base === undefined || base === "" ? location : base);
      if (control?.protocol === "http:" && control.hostname === address)
        return new UpnpRouter(control, service, description.localAddress);
    }
    return undefined;
  }

  async map(internalPort: number, externalPort: number, lifetimeS: number): Promise<PortMapping | undefined> {
    const address = tag((await this.#call("GetExternalIPAddress", {}))?.text ?? "", "NewExternalIPAddress");
    if (address === undefined || address === "") return undefined;
    let port = this.#mappedPort ?? externalPort;
    let lifetime = lifetimeS;
    for (let tries = 0; tries <= OTHER_PORTS; tries++) {
      const reply = await this.#call("AddPortMapping", {
        ...mappingName(port),
        NewInternalPort: internalPort,
        NewInternalClient: this.#ownAddress,
        NewEnabled: 1,
        NewPortMappingDescription: "srudp",
        NewLeaseDuration: lifetime,
      });
      if (reply === undefined) return undefined;
      if (reply.status === 200) {
        this.#mappedPort = port;
        return { address, port, lifetimeS: lifetime };
      }
      const code = Number(tag(reply.text, "errorCode"));
      if (code === ONLY_PERMANENT && lifetime !== 0) lifetime = 0;
      else if (code === CONFLICT) port = 1024 + ((port + 7919) % 64000);
      else return undefined;
    }
    return undefined;
  }

  async unmap(): Promise<void> {
    if (this.#mappedPort === undefined) return;
    await this.#call("DeletePortMapping", mappingName(this.#mappedPort));
    this.#mappedPort = undefined;
  }

  /** @returns undefined when the router does not answer */
  #call(action: string, parameters: Readonly<Record<string, string | number>>): Promise<Reply | undefined> {
    const fields = Object.entries(parameters)
      .map(([name, value]) => `<${name}>${escapeXml(String(value))}</${name}>`)
      .join("");
    const body =
      `<?xml version="1.0"?>\r\n<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" ` +
      `s:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>` +
      `<u:${action} xmlns:u="${this.#service}">${fields}</u:${action}></s:Body></s:Envelope>\r\n`;
    const headers = {
      "Content-Type": 'text/xml; charset="utf-8"',
      SOAPAction: `"${this.#service}#${action}"`,
    };
    return fetchText(this.#control, "POST", headers, body);
  }
}

interface Reply {
  readonly status: number;
  readonly text: string;
  readonly localAddress: string;
}

function mappingName(port: number): Record<string, string | number> {
  return { NewRemoteHost: "", NewExternalPort: port, NewProtocol: "UDP" };
}

/** Routers that answer a search, each once, until the deadline. */
async function* search(options: {
  group?: string;
  port?: number;
  dialer?: string;
}): AsyncGenerator<{ location: URL; address: string }> {
  const { group = SSDP_GROUP, port = SSDP_PORT, dialer } = options;
  const socket = createSocket("udp4");
  const found: { location: URL; address: string }[] = [];
  const seen = new Set<string>();
  let wake: () => void = () => undefined;
  socket.on("error", () => undefined);
  socket.on("message", (bytes, from) => {
    const location = urlOf(/^location:\s*(\S+)/im.exec(bytes.toString("latin1"))?.[1]);
    if (location === undefined || seen.has(location.href)) return;
    seen.add(location.href);
    found.push({ location, address: from.address });
    wake();
  });
  const ask = (): void => {
    for (const target of SEARCH_TARGETS) {
      const text =
        `M-SEARCH * HTTP/1.1\r\nHOST: ${SSDP_GROUP}:${SSDP_PORT}\r\nMAN: "ssdp:discover"\r\n` +
        `MX: 1\r\nST: ${target}\r\n\r\n`;
      socket.send(text, port, group, () => undefined);
    }
  };
  const isBound = await new Promise<boolean>((resolve) => {
    socket.once("error", () => resolve(false));
    socket.bind({ port: 0, ...(dialer === undefined ? {} : { address: dialer }) }, () => resolve(true));
  });
  if (!isBound) {
    socket.close();
    return;
  }
  let isOver = false;
  const timers = SSDP_REPEAT_MS.map((atMs) => setTimeout(ask, atMs));
  timers.push(
    setTimeout(() => {
      isOver = true;
      wake();
    }, DISCOVERY_WAIT_MS),
  );
  try {
    ask();
    while (!isOver || found.length > 0) {
      const next = found.shift();
      if (next !== undefined) yield next;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    for (const timer of timers) clearTimeout(timer);
    socket.close();
  }
}

function fetchText(
  url: URL,
  method: string,
  headers: Record<string, string>,
  body: string | undefined,
): Promise<Reply | undefined> {
  return new Promise((resolve) => {
    const request = httpRequest(url, { method, headers, agent: false });
    const timer = setTimeout(() => request.destroy(), HTTP_WAIT_MS);
    const settle = (reply: Reply | undefined): void => {
      clearTimeout(timer);
      resolve(reply);
    };
    request.on("error", () => settle(undefined));
    request.on("close", () => settle(undefined));
    request.on("response", (response: IncomingMessage) => {
      const localAddress = response.socket.localAddress ?? "";
      const chunks: Buffer[] = [];
      let length = 0;
      response.on("data", (chunk: Buffer) => {
        length += chunk.length;
        if (length > RESPONSE_LIMIT_BYTES) request.destroy();
        else chunks.push(chunk);
      });
      response.on("error", () => settle(undefined));
      response.on("end", () =>
        settle({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString(), localAddress }),
      );
    });
    request.end(body);
  });
}

/** The control address that the description gives for a service. */
function controlPathOf(description: string, service: string): string | undefined {
  for (const block of description.split(/<service>/i).slice(1)) {
    const text = block.split(/<\/service>/i)[0]!;
    if (tag(text, "serviceType") === service) return tag(text, "controlURL");
  }
  return undefined;
}

/** The text between the first pair of these tags, in any XML namespace. */
function tag(text: string, name: string): string | undefined {
  return new RegExp(`<(?:\\w+:)?${name}(?:\\s[^>]*)?>([^<]*)</`, "i").exec(text)?.[1]?.trim();
}

function urlOf(text: string | undefined, base?: string | URL): URL | undefined {
  if (text === undefined) return undefined;
  try {
    return new URL(text, base);
  } catch {
    return undefined;
  }
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (character) => `&#${character.codePointAt(0)};`);
}

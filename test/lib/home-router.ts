/** A router on loopback that gives out public ports by whatever protocols a test lets it speak. */
import type { Socket } from "node:dgram";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { RouterLocations } from "../../src/traversal/gather/port-mapping/port-mapper.ts";
import { openUdp } from "./udp.ts";

export interface HomeRouterOptions {
  /** What it makes of PCP: grants it, says that it is too new, or nothing. */
  readonly pcp?: "grants" | "tooNew" | "refuses";
  readonly natPmp?: boolean;
  readonly upnp?: boolean;
  /** Seconds that it grants at most. */
  readonly lifetimeS?: number;
  /** PCP grants the longest time that it can express, whatever was asked for. */
  readonly forEver?: true;
  /** SOAP errors that it answers AddPortMapping with, one after the other, before it does. */
  readonly upnpErrors?: readonly number[];
  /** Where its description is said to be, in place of where it is. */
  readonly location?: string;
}

const PUBLIC = [198, 51, 100, 77] as const;
export const PUBLIC_ADDRESS: string = PUBLIC.join(".");

export class HomeRouter {
  /** Public ports by the internal ones. */
  readonly mapped: Map<number, number> = new Map();
  /** Requests for a mapping, by protocol, with the lifetime that was asked for. */
  readonly asked: { by: "PCP" | "NAT-PMP" | "UPnP"; lifetimeS: number; externalPort: number }[] = [];
  /** Requests of any kind that its web server had. */
  webRequests = 0;
  readonly #options: HomeRouterOptions;
  #control!: Socket;
  #ssdp!: Socket;
  #web!: Server;
  #upnpErrors: number[];

  private constructor(options: HomeRouterOptions) {
    this.#options = options;
    this.#upnpErrors = [...(options.upnpErrors ?? [])];
  }

  static async start(options: HomeRouterOptions): Promise<HomeRouter> {
    const router = new HomeRouter(options);
    router.#control = await openUdp();
    router.#control.on("message", (bytes, from) => {
      const answer = router.#answer(bytes);
      if (answer !== undefined) router.#control.send(answer, from.port, from.address);
    });
    router.#web = createServer((request, response) => {
      router.webRequests++;
      let body = "";
      request.on("data", (chunk) => {
        body += String(chunk);
      });
      request.on("end", () => {
        const [status, text] = request.method === "GET" ? [200, DESCRIPTION] : router.#soap(body);
        response.writeHead(status, { "content-type": "text/xml" }).end(text);
      });
    });
    await new Promise<void>((resolve) => router.#web.listen(0, "127.0.0.1", resolve));
    router.#ssdp = await openUdp();
    router.#ssdp.on("message", (_bytes, from) => {
      if (options.upnp !== true) return;
      const { port } = router.#web.address() as AddressInfo;
      const location = options.location ?? `http://127.0.0.1:${port}/description.xml`;
      const text = `HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=120\r\nLOCATION: ${location}\r\nEXT:\r\n\r\n`;
      router.#ssdp.send(text, from.port, from.address);
    });
    return router;
  }

  get points(): RouterLocations {
    return {
      gateways: () => Promise.resolve(["127.0.0.1"]),
      controlPort: this.#control.address().port,
      ssdp: { group: "127.0.0.1", port: this.#ssdp.address().port },
    };
  }

  close(): void {
    this.#control.close();
    this.#ssdp.close();
    this.#web.close();
  }

  #answer(request: Buffer): Buffer | undefined {
    const { pcp, natPmp, lifetimeS: most = 7200, forEver } = this.#options;
    if (request[0] === 2) {
      const internal = request.readUInt16BE(40);
      const wanted = request.readUInt32BE(4);
      this.asked.push({ by: "PCP", lifetimeS: wanted, externalPort: request.readUInt16BE(42) });
      // A router of NAT-PMP answers in its own, shorter form.
      if (pcp === "tooNew") return Buffer.from([0, 0x81, 0, 1, 0, 0, 0, 9]);
      if (pcp === undefined) return undefined;
      const answer = Buffer.from(request);
      answer[1] = 0x81;
      answer.fill(0, 2, 24);
      answer[3] = pcp === "refuses" ? 2 : 0;
      answer.writeUInt32BE(forEver === true ? 0xffff_ffff : Math.min(wanted, most), 4);
      answer.writeUInt16BE(this.#map(internal, wanted), 42);
      answer.fill(0, 44, 54).fill(0xff, 54, 56).set(PUBLIC, 56);
      return answer;
    }
    if (natPmp !== true || request[0] !== 0) return undefined;
    if (request[1] === 0) return Buffer.from([0, 0x80, 0, 0, 0, 0, 0, 9, ...PUBLIC]);
    const internal = request.readUInt16BE(4);
    const wanted = request.readUInt32BE(8);
    this.asked.push({ by: "NAT-PMP", lifetimeS: wanted, externalPort: request.readUInt16BE(6) });
    const answer = Buffer.from([0, 0x81, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
    answer.writeUInt16BE(internal, 8);
    answer.writeUInt16BE(this.#map(internal, wanted), 10);
    answer.writeUInt32BE(Math.min(wanted, most), 12);
    return answer;
  }

  #map(internal: number, lifetimeS: number): number {
    const external = (internal % 60_000) + 2000;
    if (lifetimeS === 0) this.mapped.delete(internal);
    else this.mapped.set(internal, external);
    return external;
  }

  #soap(body: string): [number, string] {
    const field = (name: string): number => Number(new RegExp(`<${name}>(\\d+)<`).exec(body)?.[1]);
    if (body.includes("GetExternalIPAddress"))
      return [200, `<s:Body><NewExternalIPAddress>${PUBLIC_ADDRESS}</NewExternalIPAddress></s:Body>`];
    if (body.includes("u:DeletePortMapping")) {
      for (const [internal, external] of this.mapped)
        if (external === field("NewExternalPort")) this.mapped.delete(internal);
      return [200, "<s:Body/>"];
    }
    this.asked.push({
      by: "UPnP",
      lifetimeS: field("NewLeaseDuration"),
      externalPort: field("NewExternalPort"),
    });
    const error = this.#upnpErrors.shift();
    if (error !== undefined) return [500, `<UPnPError><errorCode>${error}</errorCode></UPnPError>`];
    this.mapped.set(field("NewInternalPort"), field("NewExternalPort"));
    return [200, "<s:Body/>"];
  }
}

const DESCRIPTION = `<?xml version="1.0"?><root><device><serviceList>
<service><serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType><controlURL>/no</controlURL></service>
<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>
<controlURL>/control</controlURL></service></serviceList></device></root>`;

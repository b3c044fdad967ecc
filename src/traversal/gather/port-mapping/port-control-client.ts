/** Asks one router for a public port: by PCP, or by NAT-PMP where the router supports only that. */
import { randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import {
  type MappingRequest,
  natPmpAddressRequest,
  natPmpMapRequest,
  PCP_NONCE_BYTES,
  type PortControlAnswer,
  parsePortControl,
  pcpMapRequest,
} from "../../../wire/port-control.ts";
import type { PortMapping, PortMappingProtocol } from "./port-mapping.ts";

/**
 * When a request is repeated, ms after the first; the last is the deadline.  // RFC 6886 §3.1
 * begins with 250
 */
const REPEAT_AT_MS: readonly number[] = [250, 750];
const GIVE_UP_AFTER_MS = 1500;
/** PCP's head start over NAT-PMP, for routers that ignore unknown protocols. */
const NAT_PMP_AFTER_MS = 300;

type Protocol = "pcp" | "natPmp";

export class PortControlClient implements PortMappingProtocol {
  readonly #router: string;
  readonly #routerPort: number;
  readonly #nonce: Uint8Array = new Uint8Array(randomBytes(PCP_NONCE_BYTES));
  /** The protocol that the router supports. */
  #protocol: Protocol | undefined;

  constructor(router: string, routerPort: number) {
    this.#router = router;
    this.#routerPort = routerPort;
  }

  get name(): string {
    return this.#protocol === "natPmp" ? "NAT-PMP" : "PCP";
  }

  async map(internalPort: number, externalPort: number, lifetimeS: number): Promise<PortMapping | undefined> {
    return await this.#withSocket(async (requester) => {
      const request: MappingRequest = {
        address: requester.localAddress,
        internalPort,
        externalPort,
        lifetimeS,
        nonce: this.#nonce,
      };
      if (this.#protocol !== undefined) return await this.#mapBy(this.#protocol, requester, request);
      const early = requester.whenSilent(NAT_PMP_AFTER_MS);
      const byPcp = this.#mapBy("pcp", requester, request);
      const first = await Promise.race([byPcp, early]);
      if (first !== "silent" && first !== undefined) return first;
      const byNatPmp = await this.#mapBy("natPmp", requester, request);
      return byNatPmp ?? (await byPcp);
    });
  }

  async unmap(internalPort: number): Promise<void> {
    const protocol = this.#protocol;
    if (protocol === undefined) return;
    await this.#withSocket(async (requester) => {
      const address = requester.localAddress;
      const request = { address, internalPort, externalPort: 0, lifetimeS: 0, nonce: this.#nonce };
      const bytes = protocol === "pcp" ? pcpMapRequest(request) : natPmpMapRequest(request);
      await requester.ask(
        bytes,
        (answer) => answer.kind === "mapped" && answer.internalPort === internalPort,
      );
      return undefined;
    });
  }

  async #mapBy(
    protocol: Protocol,
    requester: Asker,
    request: MappingRequest,
  ): Promise<PortMapping | undefined> {
    const bytes = protocol === "pcp" ? pcpMapRequest(request) : natPmpMapRequest(request);
    const answer = await requester.ask(bytes, (one) => {
      // PCP answers are told from NAT-PMP's by their address; refusals have none and end both.
      if (one.kind === "version") return protocol === "pcp";
      if (one.kind === "refused") return true;
      if (one.kind !== "mapped" || one.internalPort !== request.internalPort) return false;
      return protocol === "pcp" ? sameBytes(one.nonce, request.nonce) : one.externalAddress === undefined;
    });
    if (answer?.kind !== "mapped" || answer.externalPort === 0 || answer.lifetimeS === 0) return undefined;
    let address = answer.externalAddress;
    if (protocol === "natPmp") {
      const reported = await requester.ask(natPmpAddressRequest(), (one) => one.kind === "address");
      address = reported?.kind === "address" ? reported.externalAddress : undefined;
    }
    if (address === undefined) return undefined;
    this.#protocol = protocol;
    return { address, port: answer.externalPort, lifetimeS: answer.lifetimeS };
  }

  async #withSocket<T>(use: (requester: Asker) => Promise<T | undefined>): Promise<T | undefined> {
    let requester: Asker;
    try {
      requester = await Asker.open(this.#router, this.#routerPort);
    } catch {
      return undefined;
    }
    try {
      return await use(requester);
    } finally {
      requester.close();
    }
  }
}

/** A socket connected to this router, which learns of a closed port at once. */
class Asker {
  readonly localAddress: string;
  readonly #socket: Socket;
  readonly #waiting: Set<(answer: PortControlAnswer | undefined) => void> = new Set();
  #hasReceived = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.localAddress = socket.address().address;
    socket.on("message", (bytes: Uint8Array) => {
      const answer = parsePortControl(bytes);
      if (answer === undefined) return;
      this.#hasReceived = true;
      for (const reported of [...this.#waiting]) reported(answer);
    });
    // A connected socket reports a closed port: waiting longer is useless.
    socket.on("error", () => {
      for (const reported of [...this.#waiting]) reported(undefined);
    });
  }

  static open(router: string, port: number): Promise<Asker> {
    return new Promise((resolve, reject) => {
      const socket = createSocket("udp4");
      const refused = (error: Error): void => {
        socket.close();
        reject(error);
      };
      socket.once("error", refused);
      // dgram passes a failure (no route) to the callback; a socket that is not connected must not
      // be used.
      socket.connect(port, router, ((error?: Error) => {
        socket.removeAllListeners("error");
        if (error !== undefined) refused(error);
        else resolve(new Asker(socket));
      }) as () => void);
    });
  }

  /** The first matching answer; undefined when none arrives in time or the port is closed. */
  ask(
    bytes: Uint8Array,
    fits: (answer: PortControlAnswer) => boolean,
  ): Promise<PortControlAnswer | undefined> {
    return new Promise((resolve) => {
      const timers = REPEAT_AT_MS.map((atMs) => setTimeout(() => this.#socket.send(bytes), atMs));
      const settle = (answer: PortControlAnswer | undefined): void => {
        if (answer !== undefined && !fits(answer)) return;
        this.#waiting.delete(settle);
        for (const timer of timers) clearTimeout(timer);
        resolve(answer);
      };
      timers.push(setTimeout(() => settle(undefined), GIVE_UP_AFTER_MS));
      this.#waiting.add(settle);
      this.#socket.send(bytes);
    });
  }

  /** Resolves with "silent" when nothing at all has arrived for so long; never otherwise. */
  whenSilent(waitMs: number): Promise<"silent"> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        if (!this.#hasReceived) resolve("silent");
      }, waitMs);
      timer.unref();
    });
  }

  close(): void {
    for (const reported of [...this.#waiting]) reported(undefined);
    this.#socket.close();
  }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

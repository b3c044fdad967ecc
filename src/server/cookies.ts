/**
 * Cookies prove without state that a client receives at its source address. Before a client has
 * echoed one, a server answers its address with nothing else.
 */
import { createHmac, randomBytes } from "node:crypto";
import { equalBytes } from "../base/bytes.ts";
import { COOKIE_BYTES } from "../wire/mailbox-messages.ts";
import { COOKIE_SPAN_MS } from "./limits.ts";

export class Cookies {
  #secret: Buffer = randomBytes(32);
  #earlier: Buffer = randomBytes(32);
  #renewAtMs: number;

  constructor(nowMs: number) {
    this.#renewAtMs = nowMs + COOKIE_SPAN_MS;
  }

  make(nowMs: number, address: string, port: number): Uint8Array {
    this.#renew(nowMs);
    return cookieOf(this.#secret, address, port);
  }

  isGood(nowMs: number, cookie: Uint8Array, address: string, port: number): boolean {
    this.#renew(nowMs);
    return (
      equalBytes(cookie, cookieOf(this.#secret, address, port)) ||
      equalBytes(cookie, cookieOf(this.#earlier, address, port))
    );
  }

  #renew(nowMs: number): void {
    if (nowMs < this.#renewAtMs) return;
    // No request for two spans: the earlier secret has expired, too.
    this.#earlier = nowMs < this.#renewAtMs + COOKIE_SPAN_MS ? this.#secret : randomBytes(32);
    this.#secret = randomBytes(32);
    this.#renewAtMs = nowMs + COOKIE_SPAN_MS;
  }
}

function cookieOf(secret: Buffer, address: string, port: number): Uint8Array {
  const mac = createHmac("sha256", secret).update(`${port} ${address}`).digest();
  return mac.subarray(0, COOKIE_BYTES);
}

/** Two links on this machine, and what goes with them. */
import { once } from "node:events";
import { afterEach } from "vitest";
import type { ConnectOptions, Link, Listener, ListenOptions, TrustOptions } from "../../../src/index.ts";
import { connect, listen } from "../../../src/index.ts";

export const CODE = "42-ocean-lizard-maple";
export const SECRET: Uint8Array = new Uint8Array(32).fill(7);
export const LOOPBACK = "127.0.0.1";

const cleanups: (() => void)[] = [];

afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** A listener on the loopback that is closed behind the test. */
export async function listening(options: Partial<ListenOptions> & TrustOptions): Promise<Listener> {
  const listener = await listen({ localAddress: LOOPBACK, ...options });
  cleanups.push(() => void listener.close());
  listener.on("link", forget);
  return listener;
}

export async function connecting(port: number, options: Partial<ConnectOptions>): Promise<Link> {
  const link = await connect({ host: LOOPBACK, port, timeoutMs: 10_000, ...options });
  forget(link);
  return link;
}

/** Breaks a link off behind the test, whose errors by then interest nobody. */
function forget(link: Link): void {
  cleanups.push(() => {
    link.on("error", () => undefined);
    link.destroy();
  });
}

export interface Pair {
  readonly listener: Listener;
  /** The side that connected. */
  readonly near: Link;
  /** The side that listened. */
  readonly far: Link;
}

export async function linkedPair(
  trust: TrustOptions = { secret: SECRET },
  options: Partial<ConnectOptions> = {},
): Promise<Pair> {
  const listener = await listening(trust);
  const arriving = once(listener, "link");
  const near = await connecting(listener.port, { ...trust, ...options });
  const [far] = (await arriving) as [Link];
  return { listener, near, far };
}

/** The error that an emitter fails with. */
export async function failureOf(link: NodeJS.EventEmitter): Promise<Error & { code?: string }> {
  const [error] = await once(link, "error");
  return error;
}

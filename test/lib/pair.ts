/** Two commands that meet on this machine: the start of most end-to-end tests. */
import { SrudpProcess, type StartOptions } from "./srudp-process.ts";

/** A code to meet by, where it matters nothing which. */
export const CODE = "42-ocean-lizard-maple";

export interface PairOptions {
  /** 4 by default. */
  readonly family?: 4 | 6;
  /** How both know each other; a code by default. */
  readonly trust?: readonly string[];
  readonly listenWords?: readonly string[];
  readonly connectWords?: readonly string[];
  readonly listen?: StartOptions;
  readonly connect?: StartOptions;
  /** Where the connector is sent instead of straight to the listener's port, as `host:port`. */
  readonly dialer?: (port: number) => Promise<string>;
}

export interface Pair {
  readonly listener: SrudpProcess;
  readonly connector: SrudpProcess;
  readonly port: number;
}

/** `host:port` of this machine as the command takes it. */
export function loopback(port: number, family: 4 | 6 = 4): string {
  return family === 6 ? `[::1]:${port}` : `127.0.0.1:${port}`;
}

/** A listener on a free port, once it listens. */
export async function startListener(
  words: readonly string[] = [],
  options: StartOptions = {},
): Promise<{ listener: SrudpProcess; port: number }> {
  const listener = SrudpProcess.start(["listen", "0", ...words], options);
  const { port } = await listener.event("listening");
  return { listener, port };
}

/** Both sides, once both say that they are connected. */
export async function startPair(options: PairOptions = {}): Promise<Pair> {
  const trust = options.trust ?? [];
  const env = options.trust === undefined ? { SRUDP_CODE: CODE } : {};
  const { listener, port } = await startListener([...trust, ...(options.listenWords ?? [])], {
    ...options.listen,
    env: { ...env, ...options.listen?.env },
  });
  const peer = (await options.dialer?.(port)) ?? loopback(port, options.family);
  const connector = SrudpProcess.start(["connect", peer, ...trust, ...(options.connectWords ?? [])], {
    ...options.connect,
    env: { ...env, ...options.connect?.env },
  });
  await Promise.all([connector.event("connected"), listener.event("connected")]);
  return { listener, connector, port };
}

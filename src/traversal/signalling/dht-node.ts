/**
 * A node of a Mainline DHT that stores and looks up mutable items.  // BEP 5, BEP 44
 *
 * bittorrent-dht is an optional dependency and slow to load: it is loaded when a node is first
 * needed.
 */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign, verify } from "node:crypto";
import type { Client } from "bittorrent-dht";
import { SrudpError } from "../../base/errors.ts";
import { resolveHost } from "../../link/resolve.ts";

/** Default bootstrap nodes, run for this purpose. */
const PUBLIC_NODES: readonly string[] = [
  "router.bittorrent.com:6881",
  "router.utorrent.com:6881",
  "dht.transmissionbt.com:6881",
];
const SEED_BYTES = 32;
/** The DER prefix of an Ed25519 key, followed by the 32 bytes of its seed.  // RFC 8410 §7 */
const PKCS8_HEAD: Uint8Array = Uint8Array.of(
  ...[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06],
  ...[0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20],
);

export interface DhtOptions {
  /** `host:port` of the bootstrap nodes; by default the public ones. */
  readonly bootstrap?: readonly string[] | undefined;
  /** False: hosts are addresses, and no name is looked up. */
  readonly names?: boolean | undefined;
  /** Local address; by default all. */
  readonly address?: string | undefined;
}

/**
 * The key under which both peers of a rendezvous point store their items; only they have its secret
 * half.
 */
export class DhtKey {
  readonly publicKey: Buffer;
  readonly #secretKey: KeyObject;

  /** @param seed 32 bytes */
  constructor(seed: Uint8Array) {
    if (seed.length !== SEED_BYTES) throw new SrudpError("ERR_INTERNAL", "an Ed25519 seed has 32 bytes");
    const key = Buffer.concat([PKCS8_HEAD, seed]);
    this.#secretKey = createPrivateKey({ key, format: "der", type: "pkcs8" });
    const { x } = createPublicKey(this.#secretKey).export({ format: "jwk" });
    this.publicKey = Buffer.from(x!, "base64url");
  }

  sign(bytes: Buffer): Buffer {
    return sign(null, bytes, this.#secretKey);
  }

  /** Where an item is stored.  // BEP 44, "mutable items" */
  target(salt: Buffer): Buffer {
    return createHash("sha1").update(this.publicKey).update(salt).digest();
  }
}

export class DhtNode {
  readonly #client: Client;
  #open = true;

  private constructor(client: Client) {
    this.#client = client;
    // Errors of sockets and other nodes are expected; lookups show whether the node works.
    client.on("error", () => undefined);
    client.on("warning", () => undefined);
  }

  /**
   * Joins the DHT; resolves when the bootstrap nodes have answered or timed out. @throws SrudpError
   * ERR_NO_MEETING_PLACE
   */
  static async start(options: DhtOptions = {}, signal?: AbortSignal): Promise<DhtNode> {
    const { bootstrap = PUBLIC_NODES, address } = options;
    let library: typeof import("bittorrent-dht");
    try {
      library = await import("bittorrent-dht");
    } catch (error) {
      throw new SrudpError("ERR_NO_MEETING_PLACE", "The DHT needs the package bittorrent-dht", error);
    }
    const nodes = await resolveNodes(bootstrap, options, signal);
    if (nodes.length === 0 && bootstrap.length > 0) {
      throw new SrudpError("ERR_NO_MEETING_PLACE", "The names of the DHT's first nodes cannot be looked up");
    }
    const client = new library.Client({
      bootstrap: nodes.length === 0 ? false : nodes,
      verify: isSigned,
    });
    const node = new DhtNode(client);
    const ready = new Promise<void>((resolve) => client.once("ready", resolve));
    await new Promise<void>((resolve) => client.listen(0, address, resolve));
    await ready;
    return node;
  }

  /** Number of known nodes. */
  get neighbours(): number {
    return this.#client.nodes.toArray().length;
  }

  get port(): number {
    return this.#client.address().port;
  }

  /**
   * Stores a value of at most 990 bytes at the nodes nearest to its target.
   *
   * @param sequence higher than that of the previous value
   * @returns how many nodes accepted it
   */
  put(key: DhtKey, salt: Buffer, sequence: number, value: Uint8Array): Promise<number> {
    return new Promise((resolve) => {
      if (!this.#open) {
        resolve(0);
        return;
      }
      this.#client.put(
        {
          k: key.publicKey,
          salt,
          seq: sequence,
          v: Buffer.from(value),
          sign: (bytes) => key.sign(bytes),
        },
        (error, _hash, nodes) => resolve(error === null || error === undefined ? nodes : 0),
      );
    });
  }

  /** The newest value that any node has. */
  get(key: DhtKey, salt: Buffer): Promise<Uint8Array | undefined> {
    return new Promise((resolve) => {
      if (!this.#open) {
        resolve(undefined);
        return;
      }
      this.#client.get(key.target(salt), { salt, cache: false }, (_error, response) => {
        const value = response?.v;
        resolve(value instanceof Uint8Array ? value : undefined);
      });
    });
  }

  close(): Promise<void> {
    if (!this.#open) return Promise.resolve();
    this.#open = false;
    return new Promise((resolve) => this.#client.destroy(resolve));
  }
}

/**
 * Resolves the nodes' names here: the library would use worker threads, whose look-ups cannot be
 * cancelled.
 */
async function resolveNodes(
  nodes: readonly string[],
  { names }: DhtOptions,
  signal: AbortSignal | undefined,
): Promise<string[]> {
  const resolved = await Promise.all(
    nodes.map(async (node) => {
      const [, host, port] = /^\[?(.*?)\]?:(\d+)$/.exec(node) ?? [];
      if (host === undefined) return undefined;
      try {
        const [first] = await resolveHost(host, { family: 4, names, signal });
        return `${first!.address}:${port}`;
      } catch {
        return undefined;
      }
    }),
  );
  return resolved.filter((node) => node !== undefined);
}

/** Whether the holder of the key signed this: a node may have changed the item that it stores. */
export function isSigned(signature: Buffer, bytes: Buffer, publicKey: Buffer): boolean {
  try {
    const key = createPublicKey({
      key: { kty: "OKP", crv: "Ed25519", x: publicKey.toString("base64url") },
      format: "jwk",
    });
    return verify(null, bytes, key, signature);
  } catch {
    return false;
  }
}

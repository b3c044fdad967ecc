/** The used part of bittorrent-dht 11, which has no types. */
declare module "bittorrent-dht" {
  import type { EventEmitter } from "node:events";

  /** A mutable item.  // BEP 44 */
  export interface PutOptions {
    readonly k: Buffer;
    readonly salt: Buffer;
    readonly seq: number;
    readonly v: Buffer;
    readonly sign: (bytes: Buffer) => Buffer;
  }

  export interface GetResponse {
    readonly v?: unknown;
    readonly seq?: unknown;
  }

  export class Client extends EventEmitter {
    constructor(options: {
      /** `host:port` of the bootstrap nodes; false for none. */
      readonly bootstrap: readonly string[] | false;
      readonly verify: (signature: Buffer, bytes: Buffer, publicKey: Buffer) => boolean;
    });
    readonly nodes: { toArray(): readonly unknown[] };
    address(): { readonly address: string; readonly port: number };
    listen(port: number, address: string | undefined, onListening: () => void): void;
    put(options: PutOptions, done: (error: Error | null, hash: Buffer, nodes: number) => void): void;
    get(
      key: Buffer,
      options: { readonly salt: Buffer; readonly cache: false },
      done: (error: Error | null, response: GetResponse | null) => void,
    ): void;
    destroy(done?: () => void): void;
  }
}

/** What each peer of a listener may do: what its line in `authorized_peers` says, else what the command says. */
import { Permissions } from "../app/forward/permissions.ts";
import { SrudpError } from "../base/errors.ts";
import { configurationFolder, KeyStore } from "../net/key-store.ts";
import type { Link } from "../net/link.ts";
import { encodeKey, shortKey } from "../wire/key-text.ts";
import type { CommandContext } from "./context.ts";
import type { LinkOptions } from "./options.ts";

export class PeerPermissions {
  readonly #all: Permissions;
  /** By key. */
  readonly #own: ReadonlyMap<string, Permissions>;

  private constructor(all: Permissions, own: ReadonlyMap<string, Permissions>) {
    this.#all = all;
    this.#own = own;
  }

  /** @throws SrudpError ERR_USAGE for an option, ERR_KEY_FILE for a line that cannot be read */
  static async read({ environment }: CommandContext, options: LinkOptions): Promise<PeerPermissions> {
    const own = new Map<string, Permissions>();
    for (const peer of await new KeyStore(configurationFolder(environment)).authorizedPeers()) {
      const { publicKey, expose, permitListen } = peer;
      if (expose.length + permitListen.length === 0) continue;
      try {
        own.set(encodeKey(publicKey), new Permissions(expose, permitListen));
      } catch (error) {
        const what = error instanceof SrudpError ? error.detail : String(error);
        throw new SrudpError("ERR_KEY_FILE", `authorized_peers, ${shortKey(publicKey)}: ${what}`, error);
      }
    }
    return new PeerPermissions(new Permissions(options.expose, options.permitListen), own);
  }

  of(link: Link): Permissions {
    // A key that was made for this link only says nothing; nor does one that is nobody's.
    return (link.auth === "key" ? this.#own.get(encodeKey(link.peer)) : undefined) ?? this.#all;
  }
}

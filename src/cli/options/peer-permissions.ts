/**
 * The permissions of each peer of a listener: those of its line in `authorized_peers`, otherwise
 * those of the command.
 */
import { Permissions } from "../../app/forward/permissions/permissions.ts";
import { SrudpError } from "../../base/errors.ts";
import type { Link } from "../../link/link.ts";
import { type AuthorizedPeer, definesPermissions } from "../../store/authorized-peers.ts";
import { refusedLine } from "../../store/key-lines.ts";
import { configurationFolder, KeyStore } from "../../store/key-store.ts";
import { encodeKey } from "../../wire/key-text.ts";
import type { CommandContext } from "../context.ts";
import type { LinkOptions } from "./common-options.ts";

/** The permissions of one peer, or of all peers without a line of their own. */
export interface PeerPermission {
  readonly forwards: Permissions;
  /** Whether the peer may measure the link. */
  readonly bench: boolean;
  /** The line in `authorized_peers`; undefined if the options of the command apply. */
  readonly line: number | undefined;
}

export class PeerPermissions {
  readonly #all: PeerPermission;
  /** The permissions of peers with a line of their own, by key. */
  readonly #byKey: ReadonlyMap<string, PeerPermission>;

  private constructor(all: PeerPermission, byKey: ReadonlyMap<string, PeerPermission>) {
    this.#all = all;
    this.#byKey = byKey;
  }

  /** @throws SrudpError ERR_USAGE for an option, ERR_KEY_FILE for an invalid line */
  static async read(
    { environment }: CommandContext,
    options: Pick<LinkOptions, "expose" | "permitListen" | "allowBench">,
  ): Promise<PeerPermissions> {
    const store = new KeyStore(configurationFolder(environment));
    const byKey = new Map<string, PeerPermission>();
    for (const peer of await store.authorizedPeers()) {
      if (definesPermissions(peer))
        byKey.set(encodeKey(peer.publicKey), permissionOf(peer, store.authorizedPath));
    }
    const forwards = new Permissions(options.expose, options.permitListen);
    return new PeerPermissions({ forwards, bench: options.allowBench === true, line: undefined }, byKey);
  }

  of(link: Link): PeerPermission {
    // Without authentication by key, the peer's key is ephemeral and identifies no one.
    return link.auth === "key" ? this.ofKey(link.peer) : this.#all;
  }

  ofKey(publicKey: Uint8Array): PeerPermission {
    return this.#byKey.get(encodeKey(publicKey)) ?? this.#all;
  }
}

function permissionOf({ expose, permitListen, bench, line }: AuthorizedPeer, path: string): PeerPermission {
  try {
    return { forwards: new Permissions(expose, permitListen), bench, line };
  } catch (error) {
    if (!(error instanceof SrudpError)) throw error;
    throw refusedLine(path, line, `is not understood: ${error.detail}`);
  }
}

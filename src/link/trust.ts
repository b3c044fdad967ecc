/**
 * Derives handshake credentials from `TrustOptions`, and decides whether to accept a peer's key.
 */
import { randomBytes } from "node:crypto";
import { equalBytes, utf8Encode } from "../base/bytes.ts";
import { SrudpError } from "../base/errors.ts";
import type { KeyPair } from "../crypto/primitives.ts";
import { Gate, type GateConfig } from "../engine/acceptor/gate.ts";
import { sourceOf } from "../engine/acceptor/guess-limits.ts";
import type { Credentials, Mode } from "../engine/handshake/handshake.ts";
import { nodePrimitives } from "../platform/crypto/node-provider.ts";
import type { RemoteAddress } from "../platform/udp/address.ts";
import { parseCode } from "../wire/code.ts";
import type { DatagramOrigin } from "./endpoint.ts";
import type { TrustOptions } from "./link-options.ts";

const SECRET_BYTES = 32;

export class Trust {
  /** The local key pair. */
  readonly identity: KeyPair;
  readonly #options: TrustOptions;
  #credentials: Credentials;

  /**
   * @throws SrudpError ERR_USAGE when the options name no way to authenticate the peer,
   * ERR_CODE_FORMAT, ERR_SECRET_FORMAT
   */
  constructor(options: TrustOptions) {
    this.#options = options;
    this.identity = options.identity ?? newEphemeralIdentity();
    const { code, passphrase, secret, ticket, peer, verifyPeer } = options;
    for (const one of [secret, ticket]) {
      if (one !== undefined && one.length !== SECRET_BYTES) throw new SrudpError("ERR_SECRET_FORMAT");
    }
    this.#credentials = {
      ...((peer !== undefined || verifyPeer !== undefined) && { key: true }),
      ...(secret !== undefined && { secret }),
      ...(ticket !== undefined && { ticket }),
      ...(passphrase !== undefined && { passphrase: utf8Encode(passphrase.normalize("NFC")) }),
    };
    this.setCode(code);
    if (Object.keys(this.#credentials).length === 0) {
      throw new SrudpError("ERR_USAGE", "A link needs a code, a passphrase, a secret or the peer's key");
    }
  }

  /** The credentials that peers may currently use. */
  get credentials(): Credentials {
    return this.#credentials;
  }

  /**
   * The mode that a connector uses: the first of shared secret, ticket, code, passphrase and keys.
   */
  get mode(): Mode {
    const { secret, ticket, code, passphrase } = this.#credentials;
    if (secret !== undefined) return "secret";
    if (ticket !== undefined) return "ticket";
    if (code !== undefined) return "code";
    return passphrase !== undefined ? "passphrase" : "key";
  }

  /** The public key that the peer must have, if there is exactly one. */
  get peerKey(): Uint8Array | undefined {
    const { peer } = this.#options;
    return peer?.length === 1 ? peer[0] : undefined;
  }

  /** Invalidates the ticket, which is valid for one link. */
  spendTicket(): void {
    const { ticket: _spent, ...others } = this.#credentials;
    this.#credentials = others;
  }

  /** Replaces the code. Undefined removes it. */
  setCode(code: string | undefined): void {
    const { code: _before, ...others } = this.#credentials;
    this.#credentials = code === undefined ? others : { ...others, code: utf8Encode(parseCode(code)) };
  }

  /**
   * Whether to accept the peer with `publicKey`. A peer with a pinned key is accepted. A peer that
   * authenticated by a code, a passphrase or a secret is accepted if no keys are pinned. A peer
   * that has only a key needs a pinned key or the approval of `verifyPeer`.
   */
  judge(publicKey: Uint8Array, mode: Mode, remote: RemoteAddress): boolean | Promise<boolean> {
    const { peer, verifyPeer } = this.#options;
    const isPinned = peer?.some((key) => equalBytes(key, publicKey));
    if (isPinned || (mode !== "key" && peer === undefined)) return true;
    if (mode !== "key" || verifyPeer === undefined) return false;
    return verifyPeer(publicKey, remote);
  }
}

/** The configuration of the gate for peers with the credentials of `trust`. */
export function gateConfigOf(trust: Trust, isSilent = false): GateConfig {
  const random = (byteLength: number): Uint8Array => new Uint8Array(randomBytes(byteLength));
  return { random, publicKey: trust.identity.publicKey, isSilent };
}

/** The gate of a side that both calls its peer and accepts its calls. */
export function newGate(nowMs: number, trust: Trust): Gate {
  const gate = new Gate(nowMs, gateConfigOf(trust));
  gate.setCredentials(trust.credentials);
  return gate;
}

/**
 * The address that distinguishes unauthenticated peers, for cookies and half-open connections. For
 * a relayed peer it includes the relay's socket, which stands for one room: all peers behind a
 * rendezvous relay have the same address, and a TURN server may report any address.
 */
export function peerAddressOf({ socket, address }: DatagramOrigin): string {
  return socket.kind === "relay" ? `relay ${socket.index} ${address}` : address;
}

/**
 * The source that password guesses are counted by: the peer's IPv4 address, its IPv6 /64, or its
 * relay room.
 */
export function guessSourceOf({ socket, address }: DatagramOrigin): string {
  const network = sourceOf(address);
  return socket.kind === "relay" ? `relay ${socket.index} ${network}` : network;
}

function newEphemeralIdentity(): KeyPair {
  const secretKey = new Uint8Array(randomBytes(SECRET_BYTES));
  return { secretKey, publicKey: nodePrimitives.x25519.publicKey(secretKey) };
}

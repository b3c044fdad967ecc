/**
 * How a listener authenticates its peers: by all credentials that the options name. Without any it
 * generates a code. It never accepts an unauthenticated peer.
 */
import { randomBytes } from "node:crypto";
import { equalBytes } from "../../base/bytes.ts";
import type { Auth, TrustOptions } from "../../link/link-options.ts";
import { configurationFolder, KeyStore } from "../../store/key-store.ts";
import { Redacted } from "../../store/redacted.ts";
import { readPassphraseFile, readSecretFile, takeEnvironmentCode } from "../../store/secret-sources.ts";
import { generateCode } from "../../wire/code.ts";
import type { CommandContext } from "../context.ts";
import { checkNewName } from "../pairing.ts";
import type { LinkOptions } from "./common-options.ts";
import { codeOfOptions, identityOf, keysOf, type Proof, trustOptionsOf } from "./proofs.ts";

/** The credentials of `listen` for its peers. */
export interface ListenerTrust {
  readonly auths: readonly Auth[];
  readonly options: TrustOptions;
  /** Present if peers may use a code. */
  readonly code: ListenerCode | undefined;
  /** The local public key, if peers may pin it. */
  readonly key: Uint8Array | undefined;
  /**
   * Whether all peers that may connect by key know the local key. The listener then answers no
   * other peer.
   */
  readonly isSilent: boolean;
  /** Keys of the peers that may look for this listener at rendezvous points. */
  readonly meetPeers: readonly Uint8Array[];
  remember(peer: Uint8Array): Promise<void>;
}

interface ListenerCode {
  readonly text: Redacted<string>;
  /** The user gave the code. It cannot be replaced and is never shown. */
  readonly given: boolean;
}

/** Which keys may connect. */
type KeyAdmission =
  | { readonly kind: "none" }
  /** `--accept-new` without any key: only the first key that connects. */
  | { readonly kind: "first" }
  | {
      readonly kind: "listed";
      readonly pinned: readonly Uint8Array[];
      readonly allowed: readonly Uint8Array[];
    }
  /**
   * Saved peers, in addition to a code. Both sides know each other's key already, so accepting them
   * reveals nothing.
   */
  | { readonly kind: "paired" };

/** Generates a one-use code. */
export function newCode(): string {
  return generateCode((byteLength) => new Uint8Array(randomBytes(byteLength)));
}

export async function trustForListener(
  context: CommandContext,
  options: LinkOptions,
): Promise<ListenerTrust> {
  const { secretFile, passphraseFile } = options;
  const store = new KeyStore(configurationFolder(context.environment));
  const environmentCode = takeEnvironmentCode(context.environment);
  if (options.save !== undefined) await checkNewName(store, options.save);
  const pinned = await keysOf(store, options.peer);
  const allowed = await keysOf(store, options.allow);
  for (const { publicKey } of await store.authorizedPeers()) allowed.push(publicKey);
  const paired = (await store.savedPeers.list()).map(({ publicKey }) => publicKey);

  const proofs: Proof[] = [];
  if (secretFile !== undefined) proofs.push({ auth: "secret", secret: await readSecretFile(secretFile) });
  const givenCode = (await codeOfOptions(options)) ?? environmentCode;
  if (passphraseFile !== undefined)
    proofs.push({ auth: "passphrase", passphrase: await readPassphraseFile(passphraseFile) });

  let admission: KeyAdmission = { kind: "none" };
  if (pinned.length > 0 || allowed.length > 0) admission = { kind: "listed", pinned, allowed };
  else if (options.acceptNew) admission = { kind: "first" };
  else if (proofs.length === 0 && paired.length > 0) admission = { kind: "paired" };
  if (admission.kind === "listed" || admission.kind === "first") proofs.push({ auth: "key" });
  if (options.ticket) proofs.push({ auth: "ticket", ticket: new Uint8Array(randomBytes(32)) });
  const code: ListenerCode | undefined =
    givenCode !== undefined
      ? { text: givenCode, given: true }
      : proofs.length === 0
        ? { text: new Redacted(newCode()), given: false }
        : undefined;
  if (code !== undefined) proofs.push({ auth: "code", code: code.text });

  const usesIdentity =
    admission.kind !== "none" || options.identity !== undefined || options.save !== undefined;
  const identity = usesIdentity ? await identityOf(store, options) : undefined;
  const admitted = new AdmittedKeys(admission, paired);
  return {
    auths: proofs.map(({ auth }) => auth),
    options: Object.assign(
      {
        ...(identity !== undefined && { identity }),
        ...(pinned.length > 0 && { peer: pinned }),
        ...(admission.kind !== "none" && { verifyPeer: (key: Uint8Array) => admitted.has(key) }),
      },
      ...proofs.map(trustOptionsOf),
    ),
    code,
    isSilent: options.silent === true || admitted.knowLocalKey,
    meetPeers: admission.kind === "paired" ? paired : allowed,
    key: identity?.publicKey,
    remember: async (peer) => {
      if (admitted.isFirst(peer)) await store.addAuthorizedPeer(peer, "first to come");
    },
  };
}

/** The keys that may connect. */
class AdmittedKeys {
  readonly #admission: KeyAdmission;
  readonly #paired: readonly Uint8Array[];
  /** The first key that connected, if only that key is admitted. */
  #first: Uint8Array | undefined;

  constructor(admission: KeyAdmission, paired: readonly Uint8Array[]) {
    this.#admission = admission;
    this.#paired = paired;
  }

  has(key: Uint8Array): boolean {
    switch (this.#admission.kind) {
      case "none":
        return false;
      case "first":
        this.#first ??= key;
        return equalBytes(this.#first, key);
      case "listed":
        return isAmong(key, this.#admission.pinned) || isAmong(key, this.#admission.allowed);
      case "paired":
        return isAmong(key, this.#paired);
    }
  }

  isFirst(key: Uint8Array): boolean {
    return this.#first !== undefined && equalBytes(this.#first, key);
  }

  /** Whether the owners of all admitted keys have saved the local key. */
  get knowLocalKey(): boolean {
    switch (this.#admission.kind) {
      case "first":
        return false;
      case "listed":
        return [...this.#admission.pinned, ...this.#admission.allowed].every((key) =>
          isAmong(key, this.#paired),
        );
      default:
        return true;
    }
  }
}

function isAmong(key: Uint8Array, keys: readonly Uint8Array[]): boolean {
  return keys.some((one) => equalBytes(one, key));
}

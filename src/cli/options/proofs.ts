/**
 * The methods of authenticating a peer, and the options from which their secrets and keys are read.
 */

import { SrudpError } from "../../base/errors.ts";
import type { TrustOptions } from "../../link/link-options.ts";
import type { Identity, KeyStore } from "../../store/key-store.ts";
import type { Redacted } from "../../store/redacted.ts";
import { isPeerName } from "../../store/saved-peers.ts";
import { readCodeDescriptor, readCodeFile } from "../../store/secret-sources.ts";
import { decodeKey } from "../../wire/key-text.ts";
import type { LinkOptions } from "./common-options.ts";
import { readIdentityFile } from "./identity-file.ts";

/** One method of authentication, with its secret. Keys come from the identity. */
export type Proof =
  | { readonly auth: "secret"; readonly secret: Redacted<Uint8Array> }
  | { readonly auth: "passphrase"; readonly passphrase: Redacted<string> }
  | { readonly auth: "ticket"; readonly ticket: Uint8Array }
  | { readonly auth: "code"; readonly code: Redacted<string> }
  | { readonly auth: "key" };

/** The library's options for an authentication method. */
export function trustOptionsOf(proof: Proof): TrustOptions {
  switch (proof.auth) {
    case "secret":
      return { secret: proof.secret.reveal() };
    case "passphrase":
      return { passphrase: proof.passphrase.reveal() };
    case "ticket":
      return { ticket: proof.ticket };
    case "code":
      return { code: proof.code.reveal() };
    case "key":
      return {};
  }
}

/** The keys that `--peer` or `--allow` name. @throws SrudpError ERR_NAME_UNKNOWN, ERR_KEY_FORMAT */
export async function keysOf(store: KeyStore, words: readonly string[] = []): Promise<Uint8Array[]> {
  const keys: Uint8Array[] = [];
  for (const word of words) {
    if (!isPeerName(word)) keys.push(decodeKey(word));
    else {
      const saved = await store.savedPeers.find(word);
      if (saved === undefined) throw new SrudpError("ERR_NAME_UNKNOWN", word);
      keys.push(saved.publicKey);
    }
  }
  return keys;
}

/** The local identity: that of `--identity`, otherwise the user's. */
export async function identityOf(store: KeyStore, options: LinkOptions): Promise<Identity> {
  return options.identity === undefined ? store.identity() : readIdentityFile(options.identity);
}

/** The code that an option names. It takes precedence over the environment. */
export async function codeOfOptions(options: LinkOptions): Promise<Redacted<string> | undefined> {
  if (options.codeFile !== undefined) return readCodeFile(options.codeFile);
  return options.codeFd === undefined ? undefined : readCodeDescriptor(options.codeFd);
}

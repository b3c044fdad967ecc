/**
 * How a connector authenticates its peer: by the first of shared secret, ticket or code,
 * passphrase, and keys. With none of them it asks for a code on the terminal.
 */
import { equalBytes } from "../../base/bytes.ts";
import { SrudpError } from "../../base/errors.ts";
import type { Auth, TrustOptions } from "../../link/link-options.ts";
import { configurationFolder, KeyStore } from "../../store/key-store.ts";
import { Redacted } from "../../store/redacted.ts";
import { readPassphraseFile, readSecretFile, takeEnvironmentCode } from "../../store/secret-sources.ts";
import { encodeKey } from "../../wire/key-text.ts";
import type { CommandContext } from "../context.ts";
import { checkNewName } from "../pairing.ts";
import { askCode, askYesOrNo } from "../terminal/prompt.ts";
import type { LinkOptions } from "./common-options.ts";
import { codeOfOptions, identityOf, keysOf, type Proof, trustOptionsOf } from "./proofs.ts";

/** The credentials of `connect` for its peer. */
export interface ConnectorTrust {
  readonly auth: Auth;
  readonly options: TrustOptions;
  /** Saves a key that was accepted for the first time. */
  remember(): Promise<void>;
  /** Converts the error to one that is reported to the user in terms of the command line. */
  explain(error: SrudpError): SrudpError;
}

/** How the peer will be authenticated. */
type ConnectorPlan =
  | { readonly kind: "proof"; readonly proof: Proof }
  /**
   * The known key of the peer (`known`), or, without one, a key that the user has to accept at its
   * first use.
   */
  | { readonly kind: "firstUse"; readonly known: Uint8Array | undefined }
  /** The user types a code. */
  | { readonly kind: "askCode" };

/**
 * @param remote `host:port`, the name under which the peer is remembered
 * @param beforeAsking called before the user is asked about a key, while the link is being opened
 * @param operand a code in normal form, or the secret of a ticket, given instead of the peer
 */
export async function trustForConnector(
  context: CommandContext,
  options: LinkOptions,
  remote: string,
  beforeAsking: () => void,
  operand: { readonly code?: string; readonly ticket?: Uint8Array } = {},
): Promise<ConnectorTrust> {
  const store = new KeyStore(configurationFolder(context.environment));
  const environmentCode = takeEnvironmentCode(context.environment);
  const pinned = await keysOf(store, options.peer);
  if (options.save !== undefined) await checkNewName(store, options.save);
  const usesIdentity = pinned.length > 0 || options.identity !== undefined || options.save !== undefined;
  const keys: TrustOptions = {
    ...(pinned.length > 0 && { peer: pinned }),
    ...(usesIdentity && { identity: await identityOf(store, options) }),
  };
  const plan = await planFor(store, options, { remote, pinned, operand, environmentCode });
  switch (plan.kind) {
    case "proof":
      return trustInProof(plan.proof, keys);
    case "firstUse":
      return trustOnFirstUse(context, store, remote, plan.known, options, beforeAsking);
    case "askCode": {
      const code = await askCode(`Code for ${remote}: `, context.interrupt.signal);
      return trustInProof({ auth: "code", code }, keys);
    }
  }
}

interface Given {
  readonly remote: string;
  readonly pinned: readonly Uint8Array[];
  readonly operand: { readonly code?: string; readonly ticket?: Uint8Array };
  readonly environmentCode: Redacted<string> | undefined;
}

async function planFor(store: KeyStore, options: LinkOptions, given: Given): Promise<ConnectorPlan> {
  const { secretFile, passphraseFile } = options;
  const { operand } = given;
  const by = (proof: Proof): ConnectorPlan => ({ kind: "proof", proof });
  if (secretFile !== undefined) return by({ auth: "secret", secret: await readSecretFile(secretFile) });
  if (operand.ticket !== undefined) return by({ auth: "ticket", ticket: operand.ticket });
  if (operand.code !== undefined) return by({ auth: "code", code: new Redacted(operand.code) });
  const code = (await codeOfOptions(options)) ?? given.environmentCode;
  if (code !== undefined) return by({ auth: "code", code });
  if (passphraseFile !== undefined)
    return by({ auth: "passphrase", passphrase: await readPassphraseFile(passphraseFile) });
  if (given.pinned.length > 0) return by({ auth: "key" });
  const known = await store.knownPeer(given.remote);
  const isByKey = known !== undefined || options.acceptNew || options.identity !== undefined;
  return isByKey ? { kind: "firstUse", known } : { kind: "askCode" };
}

function trustInProof(proof: Proof, keys: TrustOptions): ConnectorTrust {
  return {
    auth: proof.auth,
    options: { ...keys, ...trustOptionsOf(proof) },
    remember: async () => undefined,
    explain: (error) => {
      // A listener does not answer a wrong secret, so that probing cannot detect it.
      if (error.code !== "ERR_TIMEOUT" || proof.auth !== "secret") return error;
      return new SrudpError("ERR_TIMEOUT", "The peer is not there, or its secret is another one", error);
    },
  };
}

async function trustOnFirstUse(
  context: CommandContext,
  store: KeyStore,
  remote: string,
  known: Uint8Array | undefined,
  options: LinkOptions,
  beforeAsking: () => void,
): Promise<ConnectorTrust> {
  const { reporter, interrupt } = context;
  let accepted: Uint8Array | undefined;
  const verifyPeer = async (key: Uint8Array): Promise<boolean> => {
    if (known !== undefined) {
      // A changed key is never replaced or offered for acceptance, because it may be a
      // machine-in-the-middle attack.
      if (equalBytes(known, key)) return true;
      throw changedKey(remote, known, key);
    }
    beforeAsking();
    const question = `The key of ${remote} is not known yet:\n  ${encodeKey(key)}\n\`srudp key\` prints it there. Is it right (yes, no)? `;
    const isRight = options.acceptNew === true || (await askYesOrNo(question, interrupt.signal)) === true;
    if (!isRight) throw new SrudpError("ERR_PEER_UNKNOWN", `${remote} has the key ${encodeKey(key)}`);
    accepted = key;
    return true;
  };
  return {
    auth: "key",
    options: { identity: await identityOf(store, options), verifyPeer },
    remember: async () => {
      if (accepted === undefined) return;
      await store.addKnownPeer(remote, accepted);
      const fields = { remote, peer: encodeKey(accepted) };
      reporter.event("remembered", fields, `the key of ${remote} is remembered in known_peers`);
    },
    explain: (error) => error,
  };
}

function changedKey(remote: string, known: Uint8Array, key: Uint8Array): SrudpError {
  const detail = `${remote} had the key ${encodeKey(known)} and now has ${encodeKey(key)}`;
  return new SrudpError("ERR_PEER_KEY", detail);
}

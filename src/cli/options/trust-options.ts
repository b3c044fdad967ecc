/**
 * Which of the ways to trust a peer is used, and with what.
 *
 * A connector uses one: the shared secret, else the code, else the passphrase, else keys; with none it asks
 * for a code. A listener accepts each that it was given, and makes a code where it was given none. There
 * is no way without.
 */
import { randomBytes } from "node:crypto";
import { equalBytes } from "../../base/bytes.ts";
import { SrudpError } from "../../base/errors.ts";
import type { Auth, TrustOptions } from "../../link/link-options.ts";
import { configurationFolder, type Identity, KeyStore } from "../../store/key-store.ts";
import { Redacted } from "../../store/redacted.ts";
import { isPeerName } from "../../store/saved-peers.ts";
import {
  readCodeDescriptor,
  readCodeFile,
  readPassphraseFile,
  readSecretFile,
  takeEnvironmentCode,
} from "../../store/secret-sources.ts";
import { generateCode } from "../../wire/code.ts";
import { decodeKey, encodeKey } from "../../wire/key-text.ts";
import type { CommandContext } from "../context.ts";
import { checkNewName } from "../pairing.ts";
import { askCode, askYesOrNo } from "../terminal/prompt.ts";
import type { LinkOptions } from "./common-options.ts";
import { readIdentityFile } from "./identity-file.ts";

/** What `connect` trusts its peer by. */
export interface ConnectorTrust {
  readonly auth: Auth;
  readonly options: TrustOptions;
  /** Writes down a key that was accepted for the first time. */
  remember(): Promise<void>;
  /** The error as the person has to hear it, who knows nothing of handshakes. */
  explain(error: SrudpError): SrudpError;
}

/** What `listen` trusts its peers by. */
export interface ListenerTrust {
  readonly auths: readonly Auth[];
  readonly options: TrustOptions;
  /** Present when a code is among them. */
  readonly code: ListenerCode | undefined;
  /** Own public key, where peers may pin it. */
  readonly key: Uint8Array | undefined;
  /** Whoever may come by key knows this side's: to others nobody is here. */
  readonly isSilent: boolean;
  /** Keys of those who may look for this side at the meeting places. */
  readonly meetPeers: readonly Uint8Array[];
  remember(peer: Uint8Array): Promise<void>;
}

interface ListenerCode {
  readonly text: Redacted<string>;
  /** Given from outside: it cannot be replaced and is never shown. */
  readonly given: boolean;
}

/** A fresh one-use code. */
export function newCode(): string {
  return generateCode((byteLength) => new Uint8Array(randomBytes(byteLength)));
}

/**
 * @param remote `host:port` as the peer is remembered
 * @param beforeAsking called when the person is to be asked about a key, while the link is being made
 * @param operand a code in normal form, or a ticket's secret, that stands in the place of the peer
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
  const withPin: TrustOptions = {
    ...(pinned.length > 0 && { peer: pinned }),
    ...(usesIdentity && { identity: await ownIdentity(store, options) }),
  };
  const plainly = (auth: Auth, trust: TrustOptions): ConnectorTrust => ({
    auth,
    options: { ...withPin, ...trust },
    remember: async () => undefined,
    explain: (error) => explainFor(auth, error),
  });

  if (options.secretFile !== undefined) {
    return plainly("secret", { secret: (await readSecretFile(options.secretFile)).reveal() });
  }
  if (operand.ticket !== undefined) return plainly("ticket", { ticket: operand.ticket });
  if (operand.code !== undefined) return plainly("code", { code: operand.code });
  const code = (await givenCode(options)) ?? environmentCode;
  if (code !== undefined) return plainly("code", { code: code.reveal() });
  if (options.passphraseFile !== undefined) {
    return plainly("passphrase", { passphrase: (await readPassphraseFile(options.passphraseFile)).reveal() });
  }
  if (pinned.length > 0) return plainly("key", withPin);
  const known = await store.knownPeer(remote);
  if (known !== undefined || options.acceptNew || options.identity !== undefined) {
    return trustOnFirstUse(context, store, remote, known, options, beforeAsking);
  }
  const asked = await askCode(`Code for ${remote}: `, context.interrupt.signal);
  return plainly("code", { code: asked.reveal() });
}

export async function trustForListener(
  context: CommandContext,
  options: LinkOptions,
): Promise<ListenerTrust> {
  const store = new KeyStore(configurationFolder(context.environment));
  const environmentCode = takeEnvironmentCode(context.environment);
  if (options.save !== undefined) await checkNewName(store, options.save);
  const pinned = await keysOf(store, options.peer);
  const allowed = await keysOf(store, options.allow);
  for (const { publicKey } of await store.authorizedPeers()) allowed.push(publicKey);
  const paired = (await store.savedPeers.list()).map(({ publicKey }) => publicKey);

  const secret = options.secretFile === undefined ? undefined : await readSecretFile(options.secretFile);
  const given = (await givenCode(options)) ?? environmentCode;
  const passphrase =
    options.passphraseFile === undefined ? undefined : await readPassphraseFile(options.passphraseFile);
  const byKey = pinned.length > 0 || allowed.length > 0 || options.acceptNew === true;
  // Paired peers may come wherever a code may: each side knows the other's key, so nothing is given away.
  const byPairing = !byKey && secret === undefined && passphrase === undefined && paired.length > 0;
  const usesIdentity = byKey || byPairing || options.identity !== undefined || options.save !== undefined;
  const identity = usesIdentity ? await ownIdentity(store, options) : undefined;

  let code: ListenerCode | undefined;
  if (given !== undefined) code = { text: given, given: true };
  else if (secret === undefined && passphrase === undefined && !byKey && !options.ticket)
    code = { text: new Redacted(newCode()), given: false };

  // With --accept-new the door stands open once: the first key that comes is the one that may come again.
  let first: Uint8Array | undefined;
  const isOpen = options.acceptNew === true && allowed.length === 0 && pinned.length === 0;
  const mayCome = (key: Uint8Array): boolean => {
    if (isOpen) {
      first ??= key;
      return equalBytes(first, key);
    }
    return isAmong(key, byPairing ? paired : [...pinned, ...allowed]);
  };
  const knowUs = byPairing || [...pinned, ...allowed].every((key) => isAmong(key, paired));
  return {
    auths: [
      ...(secret === undefined ? [] : (["secret"] as const)),
      ...(passphrase === undefined ? [] : (["passphrase"] as const)),
      ...(byKey ? (["key"] as const) : []),
      ...(options.ticket ? (["ticket"] as const) : []),
      ...(code === undefined ? [] : (["code"] as const)),
    ],
    options: {
      ...(identity !== undefined && { identity }),
      ...(secret !== undefined && { secret: secret.reveal() }),
      ...(passphrase !== undefined && { passphrase: passphrase.reveal() }),
      ...(options.ticket && { ticket: new Uint8Array(randomBytes(32)) }),
      ...(code !== undefined && { code: code.text.reveal() }),
      ...(pinned.length > 0 && { peer: pinned }),
      ...((byKey || byPairing) && { verifyPeer: mayCome }),
    },
    code,
    isSilent: options.silent === true || (knowUs && !isOpen),
    meetPeers: byPairing ? paired : allowed,
    key: identity?.publicKey,
    remember: async (peer) => {
      if (isOpen && first !== undefined && equalBytes(first, peer))
        await store.addAuthorizedPeer(peer, "first to come");
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
      // Never asked about and never replaced: this is what an attacker in the middle looks like.
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
    options: { identity: await ownIdentity(store, options), verifyPeer },
    remember: async () => {
      if (accepted === undefined) return;
      await store.addKnownPeer(remote, accepted);
      const fields = { remote, peer: encodeKey(accepted) };
      reporter.event("remembered", fields, `the key of ${remote} is remembered in known_peers`);
    },
    explain: (error) => explainFor("key", error),
  };
}

function changedKey(remote: string, known: Uint8Array, key: Uint8Array): SrudpError {
  const detail = `${remote} had the key ${encodeKey(known)} and now has ${encodeKey(key)}`;
  return new SrudpError("ERR_PEER_KEY", detail);
}

function explainFor(auth: Auth, error: SrudpError): SrudpError {
  // A listener is silent to a wrong secret, so that nobody can find it by asking.
  if (error.code !== "ERR_TIMEOUT" || auth !== "secret") return error;
  return new SrudpError("ERR_TIMEOUT", "The peer is not there, or its secret is another one", error);
}

/** The keys of what `--peer` and `--allow` name. @throws SrudpError ERR_NAME_UNKNOWN, ERR_KEY_FORMAT */
async function keysOf(store: KeyStore, words: readonly string[] = []): Promise<Uint8Array[]> {
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

function isAmong(key: Uint8Array, keys: readonly Uint8Array[]): boolean {
  return keys.some((one) => equalBytes(one, key));
}

async function ownIdentity(store: KeyStore, options: LinkOptions): Promise<Identity> {
  return options.identity === undefined ? store.identity() : readIdentityFile(options.identity);
}

/** What was asked for by option goes before the environment. */
async function givenCode(options: LinkOptions): Promise<Redacted<string> | undefined> {
  if (options.codeFile !== undefined) return readCodeFile(options.codeFile);
  return options.codeFd === undefined ? undefined : readCodeDescriptor(options.codeFd);
}

/** `srudp peers`: lists, adds, removes and checks known peers. The list goes to stdout. */
import { SrudpError } from "../../base/errors.ts";
import { configurationFolder, KeyStore } from "../../store/key-store.ts";
import { decodeKey, encodeKey } from "../../wire/key-text.ts";
import type { CommandContext } from "../context.ts";
import { formatPeer, parsePeer, usage } from "../options/operands.ts";
import { checkNewName } from "../pairing.ts";
import { escapeText } from "../terminal/escape.ts";
import { printLines } from "../terminal/print-lines.ts";
import { checkPeer, type PeersCheckOptions } from "./peers-check.ts";

export type PeersAction = "list" | "add" | "forget" | "check";

/**
 * Why a peer is listed: paired by name (unconfirmed until the peer reports that it saved the local
 * key), trusted on first use, or allowed to connect.
 */
interface Entry {
  readonly kind: "paired" | "unconfirmed" | "known" | "allowed";
  readonly name: string;
  readonly key: string;
  readonly address: string | undefined;
}

/** @returns the exit status */
export async function runPeers(
  context: CommandContext,
  action: PeersAction,
  operands: readonly string[],
  options: PeersCheckOptions,
): Promise<number> {
  const store = new KeyStore(configurationFolder(context.environment));
  switch (action) {
    case "list":
      await printLines(formatEntries(await entriesOf(store), options.json === true));
      return 0;
    case "add":
      await add(store, operands);
      return 0;
    case "forget":
      await forget(context, store, operands[0]!);
      return 0;
    case "check":
      return checkPeer(context, store, operands, options);
  }
}

async function entriesOf(store: KeyStore): Promise<Entry[]> {
  const paired = await store.savedPeers.list();
  const known = await store.knownPeers();
  const allowed = await store.authorizedPeers();
  return [
    ...paired.map(({ name, publicKey, address, isUnconfirmed }): Entry => {
      return { kind: isUnconfirmed ? "unconfirmed" : "paired", name, key: encodeKey(publicKey), address };
    }),
    ...known.map(({ remote, publicKey }): Entry => {
      return { kind: "known", name: remote, key: encodeKey(publicKey), address: remote };
    }),
    ...allowed.map(({ name, publicKey }): Entry => {
      return {
        kind: "allowed",
        name: name === "" ? "-" : name,
        key: encodeKey(publicKey),
        address: undefined,
      };
    }),
  ];
}

function formatEntries(entries: readonly Entry[], asJson: boolean): string[] {
  if (asJson) return entries.map((entry) => JSON.stringify(entry));
  const width = Math.max(0, ...entries.map(({ name }) => name.length));
  return entries.map(({ kind, name, key, address }) =>
    [escapeText(name).padEnd(width), kind.padEnd(7), key, kind === "known" ? "" : (address ?? "")]
      .join("  ")
      .trimEnd(),
  );
}

/**
 * Adds a peer whose key was received out of band. The peer must add the local key in the same way.
 */
async function add(store: KeyStore, [name, key, ...address]: readonly string[]): Promise<void> {
  const publicKey = decodeKey(key!);
  await checkNewName(store, name!);
  let reachedAt: string | undefined;
  if (address.length > 0) {
    const peer = parsePeer(address);
    if (peer.kind !== "address") throw usage("The address of a peer is host:port");
    reachedAt = formatPeer(peer.host, peer.port);
  }
  // Creates the local key, because the peer needs it.
  await store.identity();
  await store.savedPeers.add({ name: name!, publicKey, address: reachedAt });
}

/** Removes a peer by name, `host:port` or key. */
async function forget({ reporter }: CommandContext, store: KeyStore, word: string): Promise<void> {
  const wanted = word.toLowerCase();
  const entries = await entriesOf(store);
  const found = entries.filter(
    ({ name, key, address }) => name.toLowerCase() === wanted || key === wanted || address === wanted,
  );
  if (found.length === 0) throw new SrudpError("ERR_NAME_UNKNOWN", escapeText(word));
  for (const key of new Set(found.map((entry) => entry.key))) {
    const lines = await store.forget(decodeKey(key));
    reporter.event("forgotten", { peer: key, lines }, `forgotten: ${key}`);
  }
}

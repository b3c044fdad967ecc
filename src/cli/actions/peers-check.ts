/**
 * `srudp peers check`: reports whether a peer may reach a target through this machine, and by which
 * rule.
 */
import type { Allowed } from "../../app/forward/permissions/permissions.ts";
import { parseTarget } from "../../app/forward/spec.ts";
import { SrudpError } from "../../base/errors.ts";
import { type Address, formatTarget } from "../../link/forward-records.ts";
import { quotePath } from "../../platform/private-file.ts";
import type { KeyStore } from "../../store/key-store.ts";
import { isPeerName } from "../../store/saved-peers.ts";
import { decodeKey } from "../../wire/key-text.ts";
import type { CommandContext } from "../context.ts";
import { exitStatusFor } from "../failures.ts";
import { PeerPermissions } from "../options/peer-permissions.ts";
import { escapeText } from "../terminal/escape.ts";
import { printLines } from "../terminal/print-lines.ts";

export interface PeersCheckOptions {
  readonly json?: true;
  /** Same as for `listen`. */
  readonly expose?: readonly string[];
}

/** @returns the exit status: 0 if the target may be reached */
export async function checkPeer(
  context: CommandContext,
  store: KeyStore,
  [peer, targetText]: readonly string[],
  { json, expose = [] }: PeersCheckOptions,
): Promise<number> {
  const target = targetOf(targetText!);
  const publicKey = await keyOf(store, peer!);
  const { forwards, line } = (await PeerPermissions.read(context, { expose })).ofKey(publicKey);
  const source =
    line === undefined
      ? "the options of `srudp listen`"
      : `line ${line} of ${quotePath(store.authorizedPath)}`;
  const option = line === undefined ? "--expose " : "expose=";
  let allowed: Allowed | undefined;
  let reason = "";
  try {
    allowed = await forwards.allow(target);
  } catch (error) {
    if (!(error instanceof SrudpError)) throw error;
    const rules = forwards.exposed.map((entry) => option + entry).join(", ");
    if (error.code === "ERR_TARGET_UNKNOWN") reason = "its name is not known here";
    else if (rules !== "") reason = `none of ${rules} covers it`;
    else if (line === undefined) reason = "nothing is exposed; give --expose as to `srudp listen`";
    else reason = "the line exposes nothing";
  }
  const asked = formatTarget(target);
  if (json) {
    const rule = allowed && option + allowed.entry;
    const dials = allowed && formatTarget(allowed.address);
    const fields = { isAllowed: allowed !== undefined, target: asked, source, rule, dials };
    await printLines([JSON.stringify(reason === "" ? fields : { ...fields, reason })]);
  } else {
    const verdict = allowed
      ? `allowed by ${option}${allowed.entry} (${source}); dials ${formatTarget(allowed.address)}`
      : `not allowed by ${source}: ${reason}`;
    await printLines([escapeText(`${asked}: ${verdict}`)]);
  }
  return allowed ? 0 : exitStatusFor("ERR_TARGET_FORBIDDEN");
}

/** Parses host:port, host:port/udp, or the path of a socket. */
function targetOf(text: string): Address {
  const suffix = /^[^/]*:\d+\/(tcp|udp)$/.exec(text)?.[1];
  const target = parseTarget(suffix === undefined ? text : text.slice(0, -"/udp".length), "TARGET");
  return suffix === "udp" && target.kind === "tcp" ? { ...target, kind: "udp" } : target;
}

/** Parses a key as text, the name of a saved peer, or a name in authorized_peers. */
async function keyOf(store: KeyStore, word: string): Promise<Uint8Array> {
  if (/^srudp1/i.test(word)) return decodeKey(word);
  const saved = isPeerName(word) ? await store.savedPeers.find(word) : undefined;
  if (saved !== undefined) return saved.publicKey;
  const named = (await store.authorizedPeers()).filter(
    ({ name }) => name.toLowerCase() === word.toLowerCase(),
  );
  if (named.length !== 1 || word === "") throw new SrudpError("ERR_NAME_UNKNOWN", escapeText(word));
  return named[0]!.publicKey;
}

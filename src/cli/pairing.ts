/**
 * Pairing (`--save NAME`): both sides keep each other's key, and need no code from then on.
 *
 * A side that saves shows its lasting key and says so in a control record; one that does not has a key for this
 * link only, which is worth nothing later. So each keeps the other only when it has heard the record.
 */
import { SrudpError } from "../base/errors.ts";
import type { KeyStore } from "../net/key-store.ts";
import type { Link } from "../net/link.ts";
import { isPeerName } from "../net/saved-peers.ts";
import { encodeKey } from "../wire/key-text.ts";
import type { CommandContext } from "./context.ts";
import { escapeText } from "./escape.ts";
import { usage } from "./operands.ts";

/** Control record, empty body: "I keep your key; mine is the one that I shall have next time." */
const PAIRING_RECORD = 16;

/**
 * Refuses a name that cannot be kept before anything is sent.
 *
 * @throws SrudpError ERR_USAGE, ERR_NAME_TAKEN
 */
export async function checkNewName(store: KeyStore, name: string): Promise<void> {
  if (!isPeerName(name)) {
    throw usage(
      `"${escapeText(name)}" cannot be a peer's name: a letter, then letters, digits, ".", "_", "-"`,
    );
  }
  if ((await store.savedPeers.find(name)) !== undefined) throw new SrudpError("ERR_NAME_TAKEN", name);
}

/**
 * Says that this side keeps the peer under `name`, and keeps it as soon as the peer says the same.
 *
 * @param address where the peer can be reached again, as it was typed
 * @returns settled when the peer is kept, or the link has ended without that
 * @throws SrudpError ERR_NAME_TAKEN, ERR_KEY_FILE
 */
export function pair(
  { reporter }: CommandContext,
  store: KeyStore,
  link: Link,
  name: string,
  address: string | undefined,
): Promise<void> {
  const publicKey = link.peer;
  return new Promise((resolve, reject) => {
    let isHeard = false;
    link.on("record", (type) => {
      if (type !== PAIRING_RECORD || isHeard) return;
      isHeard = true;
      store.savedPeers.add({ name, publicKey, address }).then(() => {
        const fields = { name, peer: encodeKey(publicKey), address };
        reporter.event("paired", fields, `paired with ${name}: from now on no code is needed`);
        resolve();
      }, reject);
    });
    link.once("close", () => {
      if (!isHeard) {
        const prose = `${name} was not saved: the other side has to give --save and a name as well`;
        reporter.event("unpaired", { name, peer: encodeKey(publicKey) }, prose);
      }
      if (!isHeard) resolve();
    });
    link.sendRecord(PAIRING_RECORD, new Uint8Array(0));
  });
}

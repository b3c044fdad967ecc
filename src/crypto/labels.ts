/**
 * Every label that enters a hash, a KDF or an AEAD, in one table. A label separates one use of a
 * key from all others. The bytes are part of the wire protocol: a changed label is a changed
 * protocol.
 *
 * `docs/protocol.md`, "Labels", lists the same strings; a test compares the two.
 */

/** Labels that are used unchanged, and prefixes that `labelOf` completes. */
export const LABELS = {
  /** Names the protocol in Noise's prologue. The wire version is in the header fields. */
  protocol: "srudp/1",
  /** Names the algorithms in Noise's prologue. */
  suite: "25519_ChaChaPoly_SHA256 CPACE-X25519-SHA512",
  /** CPace's channel identifier. */
  pake: "srudp/1 pake",
  /** Noise's psk from CPace's key. */
  pakePsk: "srudp/1 pake psk",
  /** Gives a code and a passphrase of the same letters different passwords. */
  codePassword: "srudp/1 code",
  passphrasePassword: "srudp/1 passphrase",
  /** The first rekey secret, and the prologue of each key update. */
  rekey: "srudp/1 rekey",
  /** The rekey secrets after the first. */
  rekeySecret: "srudp/1 rekey secret",
  /** The secret from which both peers export other secrets. */
  exporter: "srudp/1 exporter",
  /** Prefix: an exported secret for the use that follows. */
  exported: "srudp/1 exported",
  /** The use of the exported secret from which a link's rendezvous point is derived. */
  exportedForRendezvous: "meeting place",
  /** Keys of mac1, by the material that they are derived from. */
  gateSecret: "srudp/1 gate secret",
  gateKey: "srudp/1 gate key",
  gatePublic: "srudp/1 gate public",
  /** The key that seals a cookie sent to the initiator. */
  cookie: "srudp/1 cookie",
  /**
   * Integrity field of handshake packets and notices. No version: each version must read the
   * others' packets.
   */
  integrity: "srudp integrity",
  /** Prefix: associated data of a sealed signal; the author's role follows. */
  signal: "srudp signal",
  /** Rendezvous points, by the secret that they are derived from. */
  pointOfCode: "srudp/1 place of code",
  pointOfPair: "srudp/1 place of pair",
  pointOfTicket: "srudp/1 place of ticket",
  pointOfLink: "srudp/1 place of link",
  /** Name of a relay room. */
  relayRoom: "srudp/1 relay room",
  /** MAC key of connectivity checks. */
  checks: "srudp/1 checks",
  /** Name of a rendezvous point in LAN messages. */
  lan: "srudp/0 lan",
  /** Prefix: port of a time slot; the base port and the slot's number follow. */
  slot: "srudp slot",
} as const;

/** Completes a prefix with its use, as in `srudp signal initiator`. */
export function labelOf(prefix: string, ...parts: readonly (string | number)[]): string {
  return [prefix, ...parts].join(" ");
}

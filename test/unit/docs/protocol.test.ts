/** docs/protocol.md against the code, in both directions: nothing is missing from the document, and nothing is invented. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { REQUEST } from "../../../src/app/bench.ts";
import { ERRORS, type ErrorCode, errorReceivedAs } from "../../../src/base/errors.ts";
import { PAIRING_RECORD } from "../../../src/cli/pairing.ts";
import { LABELS } from "../../../src/crypto/labels.ts";
import { DEFAULT_PARAMETERS, encodeParameters } from "../../../src/engine/connection/transport-parameters.ts";
import { PIPE_RECORD, RECEIPT_TYPE, STREAM_KIND } from "../../../src/link/control-records.ts";
import { FORWARD_RECORD } from "../../../src/link/forward-records.ts";
import { FRAME } from "../../../src/wire/frames.ts";
import { HANDSHAKE_KINDS, MODES, NOTICE_REASONS } from "../../../src/wire/handshake-packet.ts";
import { MAILBOX_KIND, REFUSAL } from "../../../src/wire/mailbox-messages.ts";
import {
  CHECK_REQUEST,
  CHECK_RESPONSE,
  PACKET_COOKIE,
  PACKET_DATA,
  PACKET_HANDSHAKE,
  PACKET_NOTICE,
  PACKET_RENDEZVOUS,
} from "../../../src/wire/packet.ts";
import { CHANNELS } from "../../../src/wire/turn-channel.ts";
import { rootFolder } from "../../lib/paths.ts";

const root = fileURLToPath(rootFolder);
const text = readFileSync(join(root, "docs/protocol.md"), "utf8");

/** Cells of the table whose first line has these headings, row by row, backticks removed. */
function tableOf(...headings: readonly string[]): string[][] {
  const lines = text.split("\n");
  const cellsOf = (line: string): string[] =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim().replaceAll("`", ""));
  const at = lines.findIndex(
    (line) => line.startsWith("|") && headings.every((one, i) => cellsOf(line)[i] === one),
  );
  expect(at, `table with the headings ${headings.join(", ")}`).toBeGreaterThan(0);
  const end = lines.findIndex((line, i) => i > at && !line.startsWith("|"));
  return lines.slice(at + 2, end).map(cellsOf);
}

/** `name → number` of a table whose first column is the number. */
function numbered(...headings: readonly string[]): Record<string, number> {
  return Object.fromEntries(tableOf(...headings).map(([number, name]) => [name!, Number(number)]));
}

/** `name → index` of an array that is indexed by the number on the wire. */
function indexed(names: readonly (string | undefined)[]): Record<string, number> {
  return Object.fromEntries(
    names.flatMap((name, index) => (name === undefined ? [] : [[name, index] as const])),
  );
}

const hex = (value: number): string => `0x${value.toString(16).toUpperCase().padStart(2, "0")}`;
const range = (from: number, to: number): string => `${hex(from)}–${hex(to)}`;

describe("docs/protocol.md", () => {
  it("lists every label of the code and no other", () => {
    const listed = tableOf("label", "use").map(([label]) => label!);
    expect(listed.sort()).toEqual(Object.values<string>(LABELS).sort());
  });

  it("names no label outside the table of labels", () => {
    const known = Object.values<string>(LABELS);
    const named = [...text.matchAll(/["`](srudp\/\d[^"`]*)["`]/g)].map(([, label]) => label!);
    expect(named.length).toBeGreaterThan(known.length);
    expect(named.filter((label) => !known.includes(label))).toEqual([]);
  });

  it("is the only place beside the table of the code where labels are written out", () => {
    const files = readdirSync(join(root, "src"), { recursive: true, encoding: "utf8" }).filter((file) =>
      file.endsWith(".ts"),
    );
    expect(files.length).toBeGreaterThan(100);
    const withLabels = files.filter((file) =>
      /["`]srudp(?:\/\d| (?:integrity|signal|slot))\b/.test(readFileSync(join(root, "src", file), "utf8")),
    );
    expect(withLabels).toEqual(["crypto/labels.ts"]);
  });

  it("has the first byte of every packet", () => {
    const lastKind = Math.max(...Object.values(MAILBOX_KIND));
    expect(tableOf("first byte", "protocol").map(([byte, name]) => [byte, name!.split(" (")[0]])).toEqual([
      ["0x00–0x3F", "STUN"],
      [range(CHANNELS.low >>> 8, CHANNELS.high >>> 8), "TURN channel data"],
      [range(PACKET_DATA, PACKET_DATA | 0x0f), "data packet"],
      [range(PACKET_HANDSHAKE, PACKET_HANDSHAKE | 0x0f), "handshake packet"],
      [hex(PACKET_NOTICE), "notice"],
      [hex(PACKET_COOKIE), "cookie"],
      [hex(CHECK_REQUEST), "connectivity check, request"],
      [hex(CHECK_RESPONSE), "connectivity check, response"],
      [range(PACKET_RENDEZVOUS, PACKET_RENDEZVOUS | lastKind), "mailbox and relay of a rendezvous server"],
    ]);
  });

  it("has every frame type and no other", () => {
    const listed = Object.fromEntries(
      tableOf("type", "frame").map(([type, name]) => [name!, Number(type!.split("–")[0])]),
    );
    const coded = Object.entries(FRAME).map(([name, type]) => [
      name === "padding" ? "PADDING" : name.replace(/[A-Z]/g, "_$&").toUpperCase(),
      type,
    ]);
    expect(listed).toEqual(Object.fromEntries(coded));
  });

  it("has every error that goes over the wire, with its code and what the receiver reports", () => {
    const listed = tableOf("code", "sender's error", "receiver reports").map(([wire, sent, received]) => [
      sent,
      Number(wire),
      received,
    ]);
    const coded = (Object.keys(ERRORS) as ErrorCode[]).flatMap((code) => {
      const { wire } = ERRORS[code];
      return wire === undefined ? [] : [[code, wire, errorReceivedAs(wire)] as const];
    });
    expect(listed).toEqual([...coded].sort((a, b) => a[1] - b[1]));
  });

  it("has every kind of handshake packet, mode and notice", () => {
    expect(numbered("kind", "name", "from", "body")).toEqual(indexed(HANDSHAKE_KINDS));
    expect(numbered("mode", "authenticated by")).toEqual(indexed(MODES));
    expect(numbered("reason", "name")).toEqual(indexed(NOTICE_REASONS));
  });

  it("has every kind of stream, control record and bench request", () => {
    expect(numbered("kind", "stream")).toEqual(STREAM_KIND);
    expect(numbered("type", "record")).toEqual({
      delivered: RECEIPT_TYPE,
      ...FORWARD_RECORD,
      ...PAIRING_RECORD,
      ...PIPE_RECORD,
    });
    expect(numbered("request", "name")).toEqual(REQUEST);
  });

  it("has every kind of mailbox message and every refusal", () => {
    expect(numbered("kind", "name", "from", "after the head")).toEqual(MAILBOX_KIND);
    expect(numbered("refusal", "name")).toEqual(REFUSAL);
  });

  it("has every transport parameter, in the order in which they are sent", () => {
    // All values differ and take one byte each, so the ids can be read off.
    const names = Object.keys(DEFAULT_PARAMETERS) as (keyof typeof DEFAULT_PARAMETERS)[];
    const values = Object.fromEntries(names.map((name, index) => [name, index + 1]));
    const bytes = encodeParameters(values as unknown as typeof DEFAULT_PARAMETERS);
    const coded = Array.from({ length: bytes.length / 3 }, (_, i) => [
      bytes[3 * i]!,
      names[bytes[3 * i + 2]! - 1],
    ]);
    expect(coded).toHaveLength(names.length);
    expect(tableOf("id", "parameter").map(([id, name]) => [Number(id), name])).toEqual(coded);
  });

  it("has every size and limit of src/wire with its value", async () => {
    const foreign = /stun|port-control|turn-channel|ip-address/;
    const files = readdirSync(join(root, "src/wire")).filter((file) => !foreign.test(file));
    const coded: Record<string, number> = {};
    for (const file of files) {
      const exported = (await import(`../../../src/wire/${file.slice(0, -3)}.ts`)) as Record<string, unknown>;
      for (const [name, value] of Object.entries(exported)) {
        // First bytes have a table of their own.
        if (typeof value === "number" && !/^(?:PACKET_(?!OVERHEAD|NUMBER)|CHECK_RE)/.test(name))
          coded[name] = value;
      }
    }
    const listed = tableOf("constant", "value").map(([name, value]) => {
      const [base, exponent] = value!.split("^").map(Number);
      return [name!, exponent === undefined ? base! : base! ** exponent] as const;
    });
    expect(listed.length).toBeGreaterThan(30);
    expect(Object.fromEntries(listed)).toEqual(coded);
  });
});

/** Traces of real links, as `--qlog` leaves them behind. */
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { CODE, loopback, startPair } from "../lib/pair.ts";
import { endAll, SrudpProcess, temporaryFolder } from "../lib/srudp-process.ts";
import { unusedPort } from "../lib/udp.ts";

afterEach(endAll);

interface QlogEvent {
  readonly time: number;
  readonly name: string;
  // biome-ignore lint/suspicious/noExplicitAny: the fields depend on the event, and a wrong one fails its test
  readonly data: any;
}

/** The events of the one trace in `folder` of this vantage point. */
function trace(folder: string, type: "client" | "server"): QlogEvent[] {
  const names = readdirSync(folder).filter((name) => name.endsWith(`_${type}.sqlog`));
  expect(names.length).toBe(1);
  expect(names[0]).toMatch(/^[0-9a-f]{16}_/);
  const file = join(folder, names[0]!);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const [before, header, ...records] = readFileSync(file, "utf8").split("\x1e");
  expect(before).toBe("");
  expect(JSON.parse(header!)).toMatchObject({
    file_schema: "urn:ietf:params:qlog:file:sequential",
    serialization_format: "application/qlog+json-seq",
    trace: { common_fields: { group_id: names[0]!.slice(0, 16) }, vantage_point: { type } },
  });
  expect(records.every((record) => record.endsWith("\n"))).toBe(true);
  return records.map((record) => JSON.parse(record));
}

/** Length of each data packet by its number. */
function packets(events: readonly QlogEvent[], name: string): Map<number, number> {
  const found = events.filter((event) => event.name === name && event.data.header.packet_type === "1RTT");
  return new Map(found.map(({ data }) => [data.header.packet_number, data.raw.length]));
}

describe("--qlog", () => {
  it("leaves a whole trace of both ends behind, which agree with each other", async () => {
    const folder = join(temporaryFolder(), "traces");
    const { listener, connector } = await startPair({
      listenWords: ["--qlog", folder],
      connectWords: ["--qlog", folder],
    });
    const bytes = Buffer.alloc(1_000_000, "words that stay out of it ");
    await connector.input.write(bytes);
    connector.input.end();
    listener.input.end();
    expect((await listener.output.rest()).equals(bytes)).toBe(true);
    expect(await connector.exit()).toBe(0);
    expect(await listener.exit()).toBe(0);

    const near = trace(folder, "client");
    const far = trace(folder, "server");
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      const sent = packets(from, "quic:packet_sent");
      const received = packets(to, "quic:packet_received");
      expect(received.size).toBeGreaterThan(10);
      for (const [packetNumber, length] of received) expect(sent.get(packetNumber)).toBe(length);
      // Written in the last moment of the process.
      expect(to.some(({ name }) => name === "quic:connection_closed")).toBe(true);
      expect(JSON.stringify(to).includes("stay out")).toBe(false);
      for (let index = 1; index < to.length; index++) {
        expect(to[index]!.time).toBeGreaterThanOrEqual(to[index - 1]!.time);
      }
    }
    const streamed = near
      .filter(({ name }) => name === "quic:packet_sent")
      .flatMap(({ data }) => data.frames)
      .filter(({ frame_type, stream_id }) => frame_type === "stream" && stream_id === 4)
      .map(({ offset, raw }) => offset + raw.length);
    expect(Math.max(...streamed)).toBeGreaterThanOrEqual(bytes.length);
  });

  it("keeps the trace of a call that nobody answered", async () => {
    const folder = temporaryFolder();
    const port = await unusedPort();
    const connector = SrudpProcess.start(["connect", loopback(port), "-w", "1", "--qlog", folder], {
      env: { SRUDP_CODE: CODE },
    });
    expect(await connector.failure()).toMatchObject({ status: 75, code: "ERR_TIMEOUT" });
    const events = trace(folder, "client");
    expect(events.filter(({ name }) => name === "quic:packet_sent").length).toBeGreaterThan(1);
    expect(events.filter(({ name }) => name === "quic:packet_received")).toEqual([]);
  });

  it("of a folder that cannot be written to fails before anything else: 66", async () => {
    const file = join(temporaryFolder(), "no folder");
    writeFileSync(file, "");
    for (const words of [
      ["listen", "0"],
      ["connect", loopback(await unusedPort())],
    ]) {
      const command = SrudpProcess.start([...words, "--qlog", file], { env: { SRUDP_CODE: CODE } });
      const failed = await command.failure();
      expect(failed).toMatchObject({ status: 73, code: "ERR_FILE_UNWRITABLE" });
      expect(failed.message).toContain("no folder");
      expect(command.events.some(({ event }) => event === "listening")).toBe(false);
    }
  });
});

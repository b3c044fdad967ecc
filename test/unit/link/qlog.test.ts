import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { toHex } from "../../../src/base/bytes.ts";
import { connect, listen } from "../../../src/index.ts";
import { prepareQlogDirectory, QlogFile } from "../../../src/link/qlog/qlog-file.ts";
import { makeEnd, type QlogEvent, recordsOf, runTracedLink } from "./qlog-link.ts";

const folders: string[] = [];

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "srudp-qlog-"));
  folders.push(folder);
  return folder;
}

afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

/** Mandatory fields of `data`, of each event that may come.  // draft-ietf-quic-qlog-quic-events-12 */
const MANDATORY: Readonly<Record<string, readonly string[]>> = {
  "quic:connection_started": ["local", "remote"],
  "quic:connection_closed": [],
  "quic:connection_state_updated": ["new"],
  "quic:tuple_assigned": ["tuple_id"],
  "quic:mtu_updated": ["new"],
  "quic:parameters_set": [],
  "quic:packet_sent": ["header"],
  "quic:packet_received": ["header"],
  "quic:packet_dropped": [],
  "quic:packet_buffered": [],
  "quic:packet_lost": [],
  "quic:key_updated": ["key_type"],
  "quic:recovery_metrics_updated": [],
  "quic:congestion_state_updated": ["new"],
  "quic:migration_state_updated": ["new"],
  // Of the former version 0.3, beside its successor above.
  "recovery:metrics_updated": [],
};
/** Mandatory fields of a frame. */
const MANDATORY_OF_FRAME: Readonly<Record<string, readonly string[]>> = {
  padding: [],
  ping: [],
  ack: [],
  crypto: ["offset", "raw"],
  stream: ["stream_id"],
  max_data: ["maximum"],
  max_stream_data: ["stream_id", "maximum"],
  max_streams: ["stream_type", "maximum"],
  new_connection_id: ["sequence_number", "retire_prior_to", "connection_id"],
  retire_connection_id: ["sequence_number"],
  path_challenge: [],
  path_response: [],
  connection_close: [],
  // Ours, or of drafts without names for them.
  ack_frequency: [],
  immediate_ack: [],
  rekey: [],
};
const ONE_RTT = ({ data }: QlogEvent): boolean => data.header.packet_type === "1RTT";

const BUSY = {
  seed: 7,
  lossRate: 0.03,
  repeatRate: 0.02,
  damageRate: 0.02,
  bytes: new Uint8Array(600_000),
  mtuCeilingBytes: 1452,
  rekeyAfterPackets: 150,
  movesAtMs: 300,
};

describe("the trace of a link", () => {
  it("is a JSON text sequence under the drafts' header, which 0.3 can read as well", () => {
    const { near, far } = runTracedLink({});
    for (const [{ sink }, type] of [
      [near, "client"],
      [far, "server"],
    ] as const) {
      const header = recordsOf(sink.text)[0];
      expect(header).toEqual({
        file_schema: "urn:ietf:params:qlog:file:sequential",
        serialization_format: "application/qlog+json-seq",
        qlog_version: "0.3",
        qlog_format: "JSON-SEQ",
        title: `srudp ${type === "client" ? "initiator" : "responder"}`,
        trace: {
          common_fields: {
            group_id: toHex(near.connection.connectionId),
            time_format: "relative_to_epoch",
            reference_time: {
              clock_type: "monotonic",
              epoch: "unknown",
              wall_clock_time: "2026-01-02T03:04:05.678Z",
            },
          },
          vantage_point: { name: "srudp", type },
          event_schemas: ["urn:ietf:params:qlog:events:quic-12", "urn:ietf:params:qlog:events:loglevel"],
        },
      });
      // Main schema §3: what a file is stands at its beginning.
      expect(sink.text.indexOf('"JSON-SEQ"')).toBeLessThan(256);
      expect(sink.name).toBe(`${toHex(near.connection.connectionId)}_${type}.sqlog`);
      expect(sink.isClosed).toBe(true);
    }
  });

  it("tells events of the schema with their mandatory fields, in the order of time", () => {
    const { near, far } = runTracedLink(BUSY);
    const seen = new Set<string>();
    const frames = new Set<string>();
    for (const { events } of [near.sink, far.sink]) {
      let lastTime = 0;
      for (const event of events) {
        seen.add(event.name);
        expect(MANDATORY).toHaveProperty([event.name]);
        for (const field of MANDATORY[event.name]!) expect(event.data).toHaveProperty(field);
        expect(event.time).toBeGreaterThanOrEqual(lastTime);
        lastTime = event.time;
        for (const frame of event.data.frames ?? []) {
          frames.add(frame.frame_type);
          expect(MANDATORY_OF_FRAME).toHaveProperty([frame.frame_type]);
          for (const field of MANDATORY_OF_FRAME[frame.frame_type]!) expect(frame).toHaveProperty(field);
        }
      }
    }
    const never = ["quic:packet_buffered"];
    expect([...seen].sort()).toEqual(
      Object.keys(MANDATORY)
        .filter((name) => !never.includes(name))
        .sort(),
    );
    expect([...frames]).toEqual(
      expect.arrayContaining(["ack", "stream", "crypto", "rekey", "path_challenge"]),
    );
  });

  it("files each event where readers of 0.3 look for it", () => {
    const { sink } = runTracedLink(BUSY).near;
    const found = (category: string, name: string): number =>
      sink.events.filter((event) => {
        const [former, type] = event.name.split(":");
        return (event.category ?? former) === category && type === name;
      }).length;
    for (const [category, name] of [
      ["transport", "packet_sent"],
      ["transport", "packet_received"],
      ["transport", "parameters_set"],
      ["recovery", "packet_lost"],
      ["recovery", "metrics_updated"],
      ["recovery", "congestion_state_updated"],
      ["security", "key_updated"],
      ["connectivity", "connection_started"],
    ] as const) {
      expect(found(category, name), `${category}:${name}`).toBeGreaterThan(0);
    }
    expect(found("recovery", "metrics_updated")).toBe(found("recovery", "recovery_metrics_updated"));
    // Without their owner no limit is drawn.
    expect(sink.named("quic:parameters_set").map(({ data }) => [data.owner, data.initiator])).toEqual([
      ["local", "local"],
      ["remote", "remote"],
    ]);
  });

  it("counts the packets that the statistics count", () => {
    const { near, far } = runTracedLink(BUSY);
    for (const { connection, sink } of [near, far]) {
      const { stats } = connection;
      const sent = sink.named("quic:packet_sent").filter(ONE_RTT);
      const lost = sink.named("quic:packet_lost").filter(({ data }) => data.is_mtu_probe_packet !== true);
      expect(sent.length).toBe(stats.sentPackets);
      expect(sent.reduce((bytes, { data }) => bytes + data.raw.length, 0)).toBe(stats.sentBytes);
      expect(sink.named("quic:packet_received").filter(ONE_RTT).length).toBe(stats.receivedPackets);
      expect(sink.named("quic:packet_dropped").length).toBe(stats.droppedPackets);
      expect(lost.length).toBe(stats.lostPackets);
    }
    expect(near.connection.stats.lostPackets).toBeGreaterThan(0);
    expect(far.connection.stats.droppedPackets).toBeGreaterThan(0);
    const reasons = new Set(far.sink.named("quic:packet_dropped").map(({ data }) => data.trigger));
    expect([...reasons]).toEqual(expect.arrayContaining(["duplicate", "decryption_failure"]));
  });

  it("receives at one end what the other sent, packet by packet", () => {
    const { near, far } = runTracedLink({ seed: 3, rekeyAfterPackets: 40, bytes: new Uint8Array(200_000) });
    const packets = (events: QlogEvent[]): string[] =>
      events
        .filter(ONE_RTT)
        .map(({ data: { header, raw, frames } }) => JSON.stringify([header, raw, frames]));
    const sent = packets(near.sink.named("quic:packet_sent"));
    expect(packets(far.sink.named("quic:packet_received"))).toEqual(
      sent.slice(0, far.connection.stats.receivedPackets),
    );
    expect(packets(near.sink.named("quic:packet_received"))).toEqual(
      packets(far.sink.named("quic:packet_sent")),
    );
    // The numbers of stream frames add up to the stream, with nothing in it twice.
    const streamed = far.sink
      .named("quic:packet_received")
      .flatMap(({ data }) => data.frames)
      .filter(({ frame_type }) => frame_type === "stream");
    expect(streamed.reduce((bytes, { raw }) => bytes + raw.length, 0)).toBe(200_000);
  });

  it("tells the estimates that the statistics end with", () => {
    const { near } = runTracedLink({ seed: 5, lossRate: 0.02, bytes: new Uint8Array(400_000) });
    const reported: Record<string, number> = {};
    for (const { data } of near.sink.named("quic:recovery_metrics_updated")) Object.assign(reported, data);
    const { stats } = near.connection;
    expect(reported.min_rtt).toBeCloseTo(stats.minRttMs, 2);
    expect(reported.smoothed_rtt).toBeCloseTo(stats.rttMs, 2);
    expect(reported.rtt_variance).toBeCloseTo(stats.rttVarMs, 2);
    expect(reported.congestion_window).toBe(Math.round(stats.congestionWindowBytes));
    const phases = near.sink.named("quic:congestion_state_updated").map(({ data }) => data.new);
    expect(phases[0]).toBe("slowStart");
    expect(phases.at(-1)).toBe(stats.congestionPhase);
    expect(phases.length).toBeGreaterThan(1);
  });

  it("tells key updates of both directions and who asked for them", () => {
    const { near, far } = runTracedLink(BUSY);
    for (const { connection, sink } of [near, far]) {
      const updates = sink.named("quic:key_updated").map(({ data }) => data);
      expect(updates.length).toBe(2 * (connection.epoch + 1));
      expect(updates.at(-1)).toMatchObject({ key_type: "server_1rtt_secret", key_phase: connection.epoch });
      for (const update of updates) {
        expect(
          Object.keys(update).filter((field) => !["key_type", "key_phase", "trigger"].includes(field)),
        ).toEqual([]);
      }
    }
    const triggers = (events: QlogEvent[]): unknown[] => events.map(({ data }) => data.trigger);
    expect(near.connection.epoch).toBeGreaterThan(0);
    expect(triggers(near.sink.named("quic:key_updated"))).toContain("local_update");
    expect(triggers(far.sink.named("quic:key_updated"))).toContain("remote_update");
  });

  it("tells a peer's move to another port from its beginning to its end", () => {
    const { sink } = runTracedLink(BUSY).far;
    const [started] = sink.named("quic:connection_started");
    expect(started!.data.remote).toMatchObject({ ip_v4: "192.0.2.1", port_v4: 1111 });
    const [tuple] = sink.named("quic:tuple_assigned");
    expect(tuple!.data).toMatchObject({ tuple_id: "1", tuple_remote: { ip_v4: "192.0.2.1", port_v4: 2222 } });
    expect(sink.named("quic:migration_state_updated").map(({ data }) => data.new)).toEqual([
      "migration_started",
      "migration_complete",
    ]);
  });

  it("tells how it ended, and at whose end", () => {
    const { near, far } = runTracedLink({ reason: 'enough "said"' });
    expect(far.sink.named("quic:connection_closed").map(({ data }) => data)).toEqual([
      { initiator: "local", error_code: 0, reason: 'enough "said"', trigger: "application" },
    ]);
    expect(near.sink.named("quic:connection_closed")[0]!.data).toMatchObject({ initiator: "remote" });
    const states = (events: QlogEvent[]): unknown[] => events.map(({ data }) => data.new);
    const before = ["attempted", "handshake_complete", "handshake_confirmed"];
    expect(states(far.sink.named("quic:connection_state_updated"))).toEqual([...before, "closing", "closed"]);
    expect(states(near.sink.named("quic:connection_state_updated"))).toEqual([
      ...before,
      "draining",
      "closed",
    ]);
  });

  it("holds no payload, no key and no token", () => {
    const bytes = new Uint8Array(50_000);
    const marker = new TextEncoder().encode("plain words that nobody else may read");
    for (let at = 0; at + marker.length < bytes.length; at += marker.length) bytes.set(marker, at);
    const secret = Uint8Array.from({ length: 32 }, (_, index) => 200 - index);
    const { near, far } = runTracedLink({ ...BUSY, bytes, secrets: [secret, secret], movesAtMs: 50 });
    const { sendKey, receiveKey, rekeySecret, exporterSecret, handshakeHash } = near.connection.peer!;
    for (const { text } of [near.sink, far.sink]) {
      for (const hidden of [
        marker,
        secret,
        sendKey,
        receiveKey,
        rekeySecret,
        exporterSecret,
        handshakeHash,
      ]) {
        expect(new Set(hidden).size).toBeGreaterThan(8);
        for (const form of ["latin1", "hex", "base64", "base64url"] as const) {
          expect(text.includes(Buffer.from(hidden.subarray(0, 12)).toString(form))).toBe(false);
        }
      }
    }
    const challenges = near.sink.events
      .flatMap(({ data }) => data.frames ?? [])
      .filter(({ frame_type }) => frame_type.startsWith("path_"));
    expect(challenges.length).toBeGreaterThan(0);
    for (const frame of challenges) expect(Object.keys(frame)).toEqual(["frame_type"]);
  });

  it("of a call that came to nothing is kept by who called, not by who was called", () => {
    const near = makeEnd({}, "initiator");
    const far = makeEnd({}, "responder");
    const path = { address: "192.0.2.1", port: 9, socket: 0 };
    const transmit = { buffer: new Uint8Array(1500), length: 0, segmentBytes: 0, path };
    expect(near.connection.pollTransmit(5000, transmit)).toBe(true);
    far.connection.handleDatagram(5010, path, transmit.buffer.slice(0, transmit.length));
    near.connection.close(6000, 0, "closed early");
    far.connection.close(6000, 0, "");
    expect(near.sink.named("quic:packet_sent").length).toBe(1);
    expect(near.sink.events.at(-1)).toMatchObject({ time: 1000, data: { new: "closed" } });
    expect(near.sink.isClosed).toBe(true);
    expect(far.sink.name).toBeUndefined();
    expect(far.sink.isClosed).toBe(true);
  });

  it("says where events are missing, and how many", () => {
    const { sink, qlog } = makeEnd({}, "initiator");
    const drop = (): void => qlog.packetDropped(5001, 30, "invalid");
    drop();
    sink.refuses = () => true;
    drop();
    drop();
    drop();
    sink.refuses = () => false;
    drop();
    qlog.closed(5002, "closed", "local", undefined, 0, "");
    expect(qlog.droppedEvents).toBe(3);
    expect(sink.events.slice(0, 3).map(({ name }) => name)).toEqual([
      "quic:packet_dropped",
      "loglevel:warning",
      "quic:packet_dropped",
    ]);
    expect(sink.events[1]!.data.message).toMatch(/^3 events /);
  });
});

describe("the file of a trace", () => {
  const RECORD = `\x1e${JSON.stringify({ time: 0, name: "loglevel:info", data: { message: "x".repeat(972) } })}\n`;

  it("is for its owner only, whole and in order", async () => {
    const folder = temporaryFolder();
    const file = new QlogFile(folder);
    file.write("one ");
    file.open("name.sqlog", "header ");
    file.write("two ");
    let expected = "header one two ";
    for (let number = 0; number < 30; number++) {
      const text = `${number}${".".repeat(10_000)}`;
      expected += text;
      expect(file.write(text)).toBe(true);
      await new Promise((resolve) => setImmediate(resolve));
    }
    file.close();
    await file.finished;
    expect(file.write("late")).toBe(false);
    expect(readFileSync(join(folder, "name.sqlog"), "utf8")).toBe(expected);
    expect(statSync(join(folder, "name.sqlog")).mode & 0o777).toBe(0o600);
  });

  it("never waits for the disk: what it cannot hold is dropped and counted", async () => {
    const folder = temporaryFolder();
    const file = new QlogFile(folder);
    file.open("slow.sqlog", RECORD);
    // No write can end before this loop does, so it stands for a disk that does nothing.
    let taken = 1;
    for (let record = 0; record < 10_000; record++) if (file.write(RECORD)) taken++;
    expect(taken * RECORD.length).toBeGreaterThan(4_000_000);
    expect(taken * RECORD.length).toBeLessThan(4_200_000);
    expect(file.droppedRecords).toBe(10_001 - taken);
    file.close();
    await file.finished;
    expect(recordsOf(readFileSync(join(folder, "slow.sqlog"), "utf8")).length).toBe(taken);
  });

  it("holds little before it has a name, and leaves nothing when it never gets one", async () => {
    const folder = temporaryFolder();
    const file = new QlogFile(folder);
    while (file.write(RECORD));
    expect(file.droppedRecords).toBe(1);
    file.close();
    await file.finished;
    expect(readdirSync(folder)).toEqual([]);
  });

  it("that cannot be made is given up, and nobody is disturbed", async () => {
    const file = new QlogFile(join(temporaryFolder(), "gone"));
    file.open("name.sqlog", RECORD);
    file.write(RECORD);
    await file.finished;
    expect(file.droppedRecords).toBe(2);
    expect(file.write(RECORD)).toBe(false);
    file.close();
  });

  it("takes no place of another file", async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, "name.sqlog"), "somebody's");
    const file = new QlogFile(folder);
    file.open("name.sqlog", RECORD);
    await file.finished;
    expect(readFileSync(join(folder, "name.sqlog"), "utf8")).toBe("somebody's");
  });
});

describe("the folder of traces", () => {
  it("is made where there is none, for its owner only", async () => {
    const folder = join(temporaryFolder(), "a", "b");
    await prepareQlogDirectory(folder);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    await prepareQlogDirectory(folder);
  });

  it("that is none ends connect and listen before they touch the network", async () => {
    const file = join(temporaryFolder(), "a file");
    writeFileSync(file, "");
    const secret = new Uint8Array(32).fill(1);
    for (const qlogDirectory of [file, join(file, "below")]) {
      const failure = { code: "ERR_FILE_UNWRITABLE", message: expect.stringContaining("a file") };
      await expect(listen({ localAddress: "127.0.0.1", secret, qlogDirectory })).rejects.toMatchObject(
        failure,
      );
      // A name that cannot be looked up would be another error, had it been tried.
      const options = { host: "no such host", port: 1, secret, qlogDirectory };
      await expect(connect(options)).rejects.toMatchObject(failure);
    }
  });
});

/** The first record of a qlog file.  // draft-ietf-quic-qlog-main-schema §5, §7.1, §11.2; RFC 7464 */

/** RFC 7464 §2.2: precedes every record. A line feed ends the record. */
export const RECORD_SEPARATOR = "\x1e";

const FILE_SCHEMA = "urn:ietf:params:qlog:file:sequential";
const SERIALIZATION_FORMAT = "application/qlog+json-seq";
const EVENT_SCHEMAS: readonly string[] = [
  "urn:ietf:params:qlog:events:quic-12",
  "urn:ietf:params:qlog:events:loglevel",
];
/** The older version that tools such as qvis support. */
const FORMER_VERSION = { qlog_version: "0.3", qlog_format: "JSON-SEQ" } as const;

/**
 * The header of one connection's trace.
 *
 * @param originalId the connection ID that the initiator chose and that both ends know
 * @param startDate the date at the start of the trace
 */
export function qlogHeader(originalId: string, type: "client" | "server", startDate: Date): string {
  const header = {
    // §3: these two fields come first, so that tools recognize the file type by its beginning.
    file_schema: FILE_SCHEMA,
    serialization_format: SERIALIZATION_FORMAT,
    ...FORMER_VERSION,
    title: `srudp ${type === "client" ? "initiator" : "responder"}`,
    trace: {
      common_fields: {
        group_id: originalId,
        time_format: "relative_to_epoch",
        reference_time: {
          clock_type: "monotonic",
          epoch: "unknown",
          wall_clock_time: startDate.toISOString(),
        },
      },
      vantage_point: { name: "srudp", type },
      event_schemas: EVENT_SCHEMAS,
    },
  };
  return `${RECORD_SEPARATOR}${JSON.stringify(header)}\n`;
}

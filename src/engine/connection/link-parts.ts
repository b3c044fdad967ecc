/** The parts of an established connection that its receiving and sending halves share. */
import type { KeyUpdate } from "../handshake/key-update.ts";
import type { PathControl } from "../path/path-control.ts";
import type { Activity } from "../path/path-life.ts";
import type { ReceivedPackets } from "../recovery/received-packets.ts";
import type { Recovery } from "../recovery/recovery.ts";
import type { Streams } from "../streams/streams.ts";
import type { ConnectionIds } from "./connection-ids.ts";
import type { Datagrams } from "./datagrams.ts";
import type { Tracer } from "./tracer.ts";

export interface LinkParts {
  readonly recovery: Recovery;
  readonly received: ReceivedPackets;
  readonly streams: Streams;
  readonly datagrams: Datagrams;
  readonly keys: KeyUpdate;
  readonly ids: ConnectionIds;
  readonly paths: PathControl;
  readonly activity: Activity;
  readonly tracer: Tracer | undefined;
}

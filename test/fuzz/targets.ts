/** Every fuzzer, in the order of the layers that they try. */
import { connectionIdJunk, connectionIds } from "./connection-ids.ts";
import { controlRecords } from "./control-records.ts";
import { controllers } from "./controllers.ts";
import { damagedHandshakes } from "./damaged-handshakes.ts";
import { frames } from "./frames.ts";
import { handshakePackets, notices } from "./handshake-packets.ts";
import { damagedPackets, hostileFrames } from "./hostile-links.ts";
import { hostileStreams } from "./hostile-streams.ts";
import { keyUpdates, rekeyJunk } from "./key-updates.ts";
import { mtuSearches } from "./mtu-searches.ts";
import { packetHeaders } from "./packet-headers.ts";
import { parameters } from "./parameters.ts";
import { pathControls } from "./path-controls.ts";
import { rangeSets, replayWindows } from "./range-sets.ts";
import { receiveStreams } from "./receive-streams.ts";
import { receivedPackets } from "./received-packets.ts";
import { recoveries } from "./recoveries.ts";
import { mailboxMessages, rendezvousDesks } from "./rendezvous-desks.ts";
import { sendStreams } from "./send-streams.ts";
import { sentPackets } from "./sent-packets.ts";
import { stunMessages } from "./stun-messages.ts";
import type { FuzzTarget } from "./target.ts";
import { codes, keyTexts, utf8 } from "./texts.ts";
import { varints } from "./varints.ts";

export const TARGETS: readonly FuzzTarget[] = [
  varints,
  packetHeaders,
  frames,
  handshakePackets,
  notices,
  parameters,
  codes,
  keyTexts,
  utf8,
  stunMessages,
  mailboxMessages,
  controlRecords,
  rangeSets,
  replayWindows,
  sentPackets,
  sendStreams,
  receiveStreams,
  hostileStreams,
  recoveries,
  receivedPackets,
  controllers,
  keyUpdates,
  rekeyJunk,
  connectionIds,
  connectionIdJunk,
  pathControls,
  mtuSearches,
  damagedHandshakes,
  damagedPackets,
  hostileFrames,
  rendezvousDesks,
];

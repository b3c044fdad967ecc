/** Options and events of NAT traversal, for a peer without an address. */
import { NO_DIRECT_PATH, type TraversalEvent, type TraversalOptions } from "../../link/traversal-options.ts";
import { withRemedy } from "../failures.ts";
import type { Reporter } from "../terminal/reporter.ts";
import type { LinkOptions } from "./common-options.ts";

/** The library's options for NAT traversal. */
export function traversalOptionsOf(options: LinkOptions, reporter: Reporter): TraversalOptions {
  const only = options.directOnly ? "direct" : options.relayOnly ? "relay" : undefined;
  return {
    ...(options.rendezvous !== undefined && { rendezvous: options.rendezvous }),
    ...(options.stun !== undefined && { stun: options.stun }),
    ...(options.turn !== undefined && { turn: options.turn }),
    ...(options.dhtBootstrap !== undefined && { dhtBootstrap: options.dhtBootstrap }),
    ...(options.dht === false && { dht: false }),
    ...(options.lan === false && { lan: false }),
    ...(options.portMapping === false && { portMapping: false }),
    ...(options.spray === false && { spray: false }),
    ...(only !== undefined && { only }),
    onNote: (note) => reportNote(reporter, note),
  };
}

function meetingProse({ channel, trouble }: Extract<TraversalEvent, { kind: "meeting" }>): string {
  const way = WAY_NAMES[channel] ?? channel;
  return trouble === undefined ? `${way} works again` : `${way}: ${trouble}; retrying`;
}

const WAY_NAMES: Readonly<Record<string, string>> = {
  mailbox: "rendezvous server",
  dht: "DHT",
  lan: "local network",
};

function reportNote(reporter: Reporter, note: TraversalEvent): void {
  const { kind, ...fields } = note;
  switch (note.kind) {
    case "meeting":
      reporter.event("meeting", fields, meetingProse(note));
      break;
    case "clock":
      reporter.event("clock", { aheadMs: note.aheadMs }, note.text);
      break;
    case "candidate":
      reporter.event("candidate", fields, `own address: ${note.text}`, "debug");
      break;
    case "behaviour":
      reporter.event(
        "nat",
        fields,
        `own NAT: mapping ${note.mapping}, filtering ${note.filtering}`,
        "detail",
      );
      break;
    case "signal": {
      const who = note.from === "peer" ? "the peer tells" : "told the peer";
      reporter.event("signal", fields, `${who} ${note.candidates} addresses`, "detail");
      break;
    }
    case "pair": {
      const rttMs = Math.round(note.rttMs * 10) / 10;
      const prose = `a path works: ${note.path} to ${note.remote}, ${rttMs} ms`;
      reporter.event("pair", { ...fields, rttMs }, prose, "detail");
      break;
    }
    case "indirect":
      reporter.event("indirect", fields, `no direct path: ${NO_DIRECT_PATH[note.reason]}`, "detail");
      break;
    case "missing": {
      const part = withRemedy(note.part, "ERR_RELAY_REFUSED");
      reporter.event("missing", { part }, `not there: ${part}`, "detail");
      break;
    }
  }
}

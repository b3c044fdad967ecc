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
    onNote: (event) => reportTraversalEvent(reporter, event),
  };
}

function channelProse({ channel, trouble }: Extract<TraversalEvent, { kind: "meeting" }>): string {
  const name = CHANNEL_NAMES[channel] ?? channel;
  return trouble === undefined ? `${name} works again` : `${name}: ${trouble}; retrying`;
}

const CHANNEL_NAMES: Readonly<Record<string, string>> = {
  mailbox: "rendezvous server",
  dht: "DHT",
  lan: "local network",
};

function reportTraversalEvent(reporter: Reporter, event: TraversalEvent): void {
  const { kind, ...fields } = event;
  switch (event.kind) {
    case "meeting":
      reporter.event("meeting", fields, channelProse(event));
      break;
    case "clock":
      reporter.event("clock", { aheadMs: event.aheadMs }, event.text);
      break;
    case "candidate":
      reporter.event("candidate", fields, `own address: ${event.text}`, "debug");
      break;
    case "behaviour":
      reporter.event(
        "nat",
        fields,
        `own NAT: mapping ${event.mapping}, filtering ${event.filtering}`,
        "detail",
      );
      break;
    case "signal": {
      const who = event.from === "peer" ? "the peer tells" : "told the peer";
      reporter.event("signal", fields, `${who} ${event.candidates} addresses`, "detail");
      break;
    }
    case "pair": {
      const rttMs = Math.round(event.rttMs * 10) / 10;
      const prose = `a path works: ${event.path} to ${event.remote}, ${rttMs} ms`;
      reporter.event("pair", { ...fields, rttMs }, prose, "detail");
      break;
    }
    case "indirect":
      reporter.event("indirect", fields, `no direct path: ${NO_DIRECT_PATH[event.reason]}`, "detail");
      break;
    case "missing": {
      const part = withRemedy(event.part, "ERR_RELAY_REFUSED");
      reporter.event("missing", { part }, `not there: ${part}`, "detail");
      break;
    }
  }
}

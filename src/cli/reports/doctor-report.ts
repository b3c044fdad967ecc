/** Formats the results of the doctor. */

import type { Diagnosis, FamilyDiagnosis } from "../../traversal/doctor/diagnosis.ts";
import type { PeerProbe } from "../../traversal/doctor/peer-probe.ts";
import {
  judge,
  type Prediction,
  type Remedy,
  type Standing,
  type Verdict,
} from "../../traversal/doctor/prediction.ts";
import type { Dependence, NatBehaviour } from "../../wire/nat-behaviour-codec.ts";
import { escapeText } from "../terminal/escape.ts";

/** Width of the longest label. */
const LABEL_WIDTH = 8;

const MAPPING: Readonly<Record<Dependence, string>> = {
  endpointIndependent: "one public port for all peers",
  addressDependent: "a public port for each peer's address",
  addressAndPortDependent: "a public port for each peer",
  unknown: "too few servers answered to tell how ports are mapped",
};

const FILTERING: Readonly<Record<Dependence, string>> = {
  endpointIndependent: "everybody gets in",
  addressDependent: "only addresses that were sent to get in",
  addressAndPortDependent: "only who was sent to gets in",
  unknown: "who gets in is not known (no server could test it)",
};

const STANDINGS: Readonly<Record<Standing, string>> = {
  open: "A public address, and no filter: every peer can come in.",
  firewall: "A public address behind a firewall: direct links work with nearly every peer.",
  mappedPort: "The router leads a port in: direct links work with nearly every peer.",
  easyNat: "An easy NAT: direct links work with nearly every peer.",
  countingNat: "A NAT that counts its ports up: direct links mostly work, unless the peer's NAT is hard too.",
  hardNat:
    "A hard NAT, with a random port for each peer: direct links take luck and some seconds, and none come about with another hard NAT.",
  udpBlocked: "No server answers by UDP: direct links leave this network for nobody.",
  unknown: "Too few servers answered to say how this network stands.",
};

const REMEDIES: Readonly<Record<Remedy, string | undefined>> = {
  none: undefined,
  openPortHere:
    "turn on UPnP, NAT-PMP or PCP on this side's router, or lead a UDP port in by hand and use it with -p",
  openPortThere: "turn on UPnP, NAT-PMP or PCP on the peer's router, or lead a UDP port in there by hand",
  relay: "give both sides a relay: --rendezvous or --turn",
  relayByTcp: "a relay that is reached by TCP or TLS: --rendezvous wss://… or --turn turns:…",
  spray: "leave out --no-spray",
  moreStun: "name a STUN server that answers: --stun host:port",
};

const REASONS: Readonly<Record<Prediction["reason"], string>> = {
  sameNetwork: "both are in one network",
  ipv6: "both have IPv6",
  reachable: "one of the two can be reached by everybody",
  udpBlocked: "UDP does not get out of one of the networks",
  simultaneous: "both send at once, and each NAT lets the other in",
  predictedPorts: "the next ports of a NAT that counts can be guessed",
  birthday: "many ports are tried at random against the hard NAT",
  relay: "no packet of either finds the other's port",
};

/** The lines of the report about this machine. */
export function describeDiagnosis(diagnosis: Diagnosis, { standing, remedy }: Verdict): string[] {
  const { mappedPort } = diagnosis;
  const lines = [...describeFamily("IPv4", diagnosis.ipv4), ...describeFamily("IPv6", diagnosis.ipv6)];
  if (mappedPort === null) lines.push(labelled("Router", "gives no public port (PCP, NAT-PMP, UPnP)"));
  else if (mappedPort !== undefined) {
    const { by, address, port } = mappedPort;
    lines.push(labelled("Router", `gives a public port by ${by}: ${address}:${port}`));
  }
  for (const { relay, works, tookMs, reason } of diagnosis.relays)
    lines.push(labelled("Relay", works ? `${relay} works, after ${tookMs} ms` : escapeText(reason ?? relay)));
  if (diagnosis.silentServers.length > 0)
    lines.push(labelled("Silent", diagnosis.silentServers.map(escapeText).join(", ")));
  return [...lines, "", STANDINGS[standing], ...remedyLines(remedy)];
}

/** The lines about a peer. */
export function describePeerProbe({ peer, paths }: PeerProbe, prediction: Prediction): string[] {
  const { path, outcome, reason, remedy } = prediction;
  const route = { lan: "on the local network", direct: "directly", relay: "by a relay" }[path];
  const odds = {
    likely: `will go ${route}`,
    chance: `may go ${route}, with luck`,
    unlikely: `will go ${route} at best`,
    unknown: `cannot be foretold; it is tried ${route}`,
  }[outcome];
  const tried = paths.map(
    (one) => `${one.path} to ${one.remote} works, ${Math.round(one.rttMs * 10) / 10} ms`,
  );
  return [
    "",
    labelled("Peer", STANDINGS[judge(peer).standing]),
    ...(peer.behaviour.mapping === "unknown" ? [] : [labelled("", describeNat(peer.behaviour))]),
    labelled("Link", `${odds}: ${REASONS[reason]}`),
    ...(tried.length > 0 ? tried : ["no path worked just now"]).map((text) => labelled("Tried", text)),
    ...remedyLines(remedy),
  ];
}

function describeFamily(name: string, family: FamilyDiagnosis): string[] {
  const { udp, hosts, behaviour } = family;
  const own = hosts.join(", ");
  if (udp === "absent") return [labelled(name, "this machine has no address of it")];
  if (udp === "silent") return [labelled(name, `no server answers; own addresses ${own}`)];
  const kind = family.isTranslated
    ? `seen as ${family.public.join(", ")}; own addresses ${own}`
    : `no NAT: ${own}`;
  const lines = [labelled(name, kind), labelled("", describeNat(behaviour))];
  if (behaviour.hairpin !== undefined && family.isTranslated) {
    lines.push(
      labelled(
        "",
        `packets to the own public address ${behaviour.hairpin ? "come back (hairpin)" : "do not come back"}`,
      ),
    );
  }
  return lines;
}

function describeNat(nat: NatBehaviour): string {
  const ports =
    nat.mapping === "endpointIndependent"
      ? nat.portPattern === "preserved"
        ? ", the same as here"
        : ""
      : nat.portPattern === "sequential"
        ? `, counted by ${nat.portStep ?? 1}`
        : nat.portPattern === "random"
          ? `, at random${nat.portBlock === undefined ? "" : ` from about ${nat.portBlock.low} to ${nat.portBlock.high}`}`
          : "";
  return `${MAPPING[nat.mapping]}${ports}; ${FILTERING[nat.filtering]}`;
}

function remedyLines(remedy: Remedy): string[] {
  const text = REMEDIES[remedy];
  return text === undefined ? [] : [`Remedy: ${text}.`];
}

function labelled(label: string, text: string): string {
  return label.padEnd(LABEL_WIDTH) + text;
}

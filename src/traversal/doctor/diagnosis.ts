/** Diagnoses this machine's network: addresses, NATs, the router and relays. */
import { SrudpError } from "../../base/errors.ts";
import { bindListening } from "../../link/bind.ts";
import type { CommonOptions } from "../../link/link-options.ts";
import type { Candidate } from "../../wire/candidate-codec.ts";
import type { NatBehaviour } from "../../wire/nat-behaviour-codec.ts";
import { Gatherer } from "../gather/gatherer.ts";
import { isOwnAddress } from "../gather/host-candidates.ts";
import { PortMapper } from "../gather/port-mapping/port-mapper.ts";
import type { StunServer } from "../gather/stun-server.ts";
import { openTurn } from "../relay/open-turn.ts";
import { describeTurn, parseTurnUri } from "../relay/turn-server.ts";
import type { Side } from "./prediction.ts";

export interface DiagnosisOptions {
  readonly stunServers: readonly StunServer[];
  /** Relays to try, as URIs. */
  readonly turn: readonly string[];
  /** False: routers are not asked for a port. */
  readonly portMapping: boolean;
  readonly common: CommonOptions;
}

/** One address family. */
export interface FamilyDiagnosis {
  /** `absent`: this machine has no address of the family; `silent`: no server answered. */
  readonly udp: "works" | "silent" | "absent";
  readonly hosts: readonly string[];
  /** As seen by servers, `address:port`. */
  readonly public: readonly string[];
  /** Whether the public address differs from all local ones. */
  readonly isTranslated: boolean;
  readonly behaviour: NatBehaviour;
}

export interface RelayDiagnosis {
  /** Without user name and password. */
  readonly relay: string;
  readonly works: boolean;
  readonly tookMs?: number;
  readonly reason?: string;
}

export interface Diagnosis {
  readonly ipv4: FamilyDiagnosis;
  readonly ipv6: FamilyDiagnosis;
  /** Undefined: not asked; null: no router granted one. */
  readonly mappedPort:
    | { readonly address: string; readonly port: number; readonly by: string }
    | null
    | undefined;
  readonly relays: readonly RelayDiagnosis[];
  readonly silentServers: readonly string[];
  /** What a peer would be sent. */
  readonly side: Side;
}

/**
 * Takes about five seconds at most. Port mappings are released at the end.
 *
 * @throws SrudpError ERR_BIND; the options' signal's reason
 */
export async function diagnose(options: DiagnosisOptions): Promise<Diagnosis> {
  const { common } = options;
  const endpoint = await bindListening(common);
  const gatherer = new Gatherer(endpoint, {
    stunServers: options.stunServers,
    isNumeric: common.resolve === false,
  });
  const silent = new Set<string>();
  gatherer.onSilentServer = ({ host, port }) =>
    silent.add(host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`);
  try {
    gatherer.start(endpoint.sockets);
    const relays = Promise.all(options.turn.map((uri) => tryRelay(uri, common)));
    const ipv4Port = endpoint.sockets.find(({ family }) => family === 4)?.local.port;
    const mapped = options.portMapping && ipv4Port !== undefined ? tryMapping(ipv4Port) : undefined;
    await gatherer.done;
    const mappedPort = await mapped;
    common.signal?.throwIfAborted();
    const candidates = gatherer.candidates.map(({ candidate }) => candidate);
    if (mappedPort)
      candidates.push({ kind: "portMapped", family: 4, address: mappedPort.address, port: mappedPort.port });
    const ipv4 = diagnoseFamily(4, candidates, gatherer.behaviour(4));
    return {
      ipv4,
      ipv6: diagnoseFamily(6, candidates, gatherer.behaviour(6)),
      mappedPort,
      relays: await relays,
      silentServers: [...silent],
      side: { behaviour: ipv4.behaviour, candidates },
    };
  } finally {
    await gatherer.close();
    endpoint.close();
  }
}

function diagnoseFamily(
  family: 4 | 6,
  candidates: readonly Candidate[],
  behaviour: NatBehaviour,
): FamilyDiagnosis {
  const ofKind = (kind: string): Candidate[] =>
    candidates.filter((candidate) => candidate.family === family && candidate.kind === kind);
  const seen = ofKind("serverReflexive");
  const hosts = ofKind("host").map(({ address }) => address);
  return {
    udp: seen.length > 0 ? "works" : hosts.length > 0 && !hosts.every(isLoopback) ? "silent" : "absent",
    hosts,
    public: seen.map(({ address, port }) => (family === 6 ? `[${address}]:${port}` : `${address}:${port}`)),
    isTranslated: seen.some(({ address }) => !isOwnAddress(address)),
    behaviour,
  };
}

function isLoopback(address: string): boolean {
  return address === "::1" || address.startsWith("127.");
}

async function tryMapping(port: number): Promise<Diagnosis["mappedPort"]> {
  const mapper = new PortMapper(port);
  let found: Diagnosis["mappedPort"] = null;
  mapper.onMapped = (mapping, by) => {
    found = { address: mapping.address, port: mapping.port, by };
  };
  await mapper.start();
  await mapper.close();
  return found;
}

async function tryRelay(uri: string, { resolve, signal }: CommonOptions): Promise<RelayDiagnosis> {
  const relay = describeTurn(parseTurnUri(uri));
  const startMs = performance.now();
  try {
    const socket = await openTurn(uri, {
      isNumeric: resolve === false,
      ...(signal !== undefined && { signal }),
    });
    socket.close();
    return { relay, works: true, tookMs: Math.round(performance.now() - startMs) };
  } catch (error) {
    if (!(error instanceof SrudpError)) throw error;
    return { relay, works: false, reason: error.message };
  }
}

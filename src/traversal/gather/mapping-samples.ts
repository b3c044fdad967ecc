/**
 * Infers how a NAT maps ports from what several servers saw of a socket.  // RFC 4787 §4, RFC 5780
 * §4.3
 *
 * A missing reply proves nothing, so only answers count: three, from two addresses where available,
 * or fewer when no more can arrive. One deviating answer of four is taken for the server's mistake.
 */
import type { Dependence, NatBehaviour, PortPattern } from "../../wire/nat-behaviour-codec.ts";

/** What one server saw, in the order of the requests. */
export interface MappingSample {
  readonly serverAddress: string;
  readonly serverPort: number;
  readonly address: string;
  readonly port: number;
}

export type MappingBehaviour = Pick<
  NatBehaviour,
  "mapping" | "portPattern" | "portStep" | "portBlock" | "isHard"
>;

/** Enough answers to decide without waiting for more. */
export const ENOUGH_SAMPLES = 4;
const MIN_SAMPLES = 3;
/** Largest distance between consecutive mappings that counts as sequential allocation. */
const LARGEST_STEP = 10;
/** Ports within this distance form a block; four random ports do so once in 30,000 times. */
const LARGEST_BLOCK = 2048;
const MIN_BLOCK_SAMPLES = 4;
const MIN_PORT = 1024;
const MAX_PORT = 65535;

const UNKNOWN: MappingBehaviour = { mapping: "unknown", portPattern: "unknown", isHard: false };

/**
 * @param localPort of the socket
 * @param samples of that socket, in the order of the requests
 * @param extraPorts public ports of further sockets that were opened right afterwards, in order
 * @param isFinal no more answers can arrive, so two are enough
 */
export function classifyMapping(
  localPort: number,
  samples: readonly MappingSample[],
  extraPorts: readonly number[],
  isFinal: boolean,
): MappingBehaviour {
  if (samples.length < (isFinal ? 2 : MIN_SAMPLES)) return UNKNOWN;
  const mapping = dependenceOf(samples);
  if (mapping === "unknown") return UNKNOWN;
  if (mapping === "endpointIndependent") {
    const { port } = mostFrequent(samples);
    return { mapping, portPattern: port === localPort ? "preserved" : "consistent", isHard: false };
  }
  const ports = [...samples.map((sample) => sample.port), ...extraPorts];
  const step = stepOf(samples.map((sample) => sample.port));
  if (step !== undefined) return { mapping, portPattern: "sequential", portStep: step, isHard: false };
  const pattern: PortPattern = "random";
  const portBlock = blockOf(ports);
  return { mapping, portPattern: pattern, isHard: true, ...(portBlock === undefined ? {} : { portBlock }) };
}

/** The public address that most servers saw. */
export function mostFrequent(samples: readonly MappingSample[]): MappingSample {
  const counts = new Map<string, { count: number; sample: MappingSample }>();
  let best = { count: 0, sample: samples[0]! };
  for (const sample of samples) {
    const key = `${sample.address} ${sample.port}`;
    const entry = counts.get(key) ?? { count: 0, sample };
    entry.count++;
    counts.set(key, entry);
    if (entry.count > best.count) best = entry;
  }
  return best.sample;
}

/** The likely ports of the next mappings. */
export function predictPorts(behaviour: MappingBehaviour, lastPort: number, count: number): number[] {
  const { portStep } = behaviour;
  if (behaviour.portPattern !== "sequential" || portStep === undefined) return [];
  const ports: number[] = [];
  for (let i = 1; i <= count; i++) {
    const port = lastPort + i * portStep;
    if (port >= MIN_PORT && port <= MAX_PORT) ports.push(port);
  }
  return ports;
}

function dependenceOf(samples: readonly MappingSample[]): Dependence {
  const usual = mostFrequent(samples);
  const agreeing = samples.filter(({ address, port }) => address === usual.address && port === usual.port);
  if (agreeing.length === samples.length) return "endpointIndependent";
  // Three of four samples agree: the deviating one is a server's mistake, or belongs to a mapping
  // that was just dropped.
  if (samples.length >= ENOUGH_SAMPLES && agreeing.length >= MIN_SAMPLES) return "endpointIndependent";
  const firstOfServer = new Map<string, MappingSample>();
  let hasSeveralPorts = false;
  for (const sample of samples) {
    const first = firstOfServer.get(sample.serverAddress);
    if (first === undefined) firstOfServer.set(sample.serverAddress, sample);
    else {
      hasSeveralPorts = true;
      if (first.port !== sample.port) return "addressAndPortDependent";
    }
  }
  // Two servers on the same port cannot distinguish the two dependences; address and port
  // dependence is by far the commoner.
  return hasSeveralPorts ? "addressDependent" : "addressAndPortDependent";
}

/** The step of sequential ports, including steps by other traffic; undefined for other ports. */
function stepOf(ports: readonly number[]): number | undefined {
  const steps: number[] = [];
  for (let i = 1; i < ports.length; i++) steps.push(ports[i]! - ports[i - 1]!);
  // Servers that see the same port (address-dependent mapping) do not predict the next.
  const moving = steps.filter((step) => step !== 0);
  const first = moving[0];
  if (first === undefined) return undefined;
  const isMonotonic = moving.every((step) => step > 0 === first > 0 && Math.abs(step) <= LARGEST_STEP);
  if (!isMonotonic) return undefined;
  return moving.reduce((least, step) => (Math.abs(step) < Math.abs(least) ? step : least));
}

/** The narrow range that all ports come from, if there is one. */
function blockOf(ports: readonly number[]): { low: number; high: number } | undefined {
  const distinct = [...new Set(ports)];
  if (distinct.length < MIN_BLOCK_SAMPLES) return undefined;
  const low = Math.min(...distinct);
  const high = Math.max(...distinct);
  if (high - low >= LARGEST_BLOCK) return undefined;
  // The block extends about as far beyond the outermost samples as the samples lie apart.
  const margin = Math.ceil((high - low) / (distinct.length - 1));
  return { low: Math.max(MIN_PORT, low - margin), high: Math.min(MAX_PORT, high + margin) };
}

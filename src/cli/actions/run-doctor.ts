/**
 * `srudp doctor`: reports the local network conditions and, with a peer's code, the expected link
 * to that peer.
 */

import { readCodeDescriptor, readCodeFile, takeEnvironmentCode } from "../../store/secret-sources.ts";
import { diagnose, type RelayDiagnosis } from "../../traversal/doctor/diagnosis.ts";
import { probePeer } from "../../traversal/doctor/peer-probe.ts";
import { judge, predict } from "../../traversal/doctor/prediction.ts";
import { stunServersOf } from "../../traversal/traversal.ts";
import type { CommandContext } from "../context.ts";
import { withRemedy } from "../failures.ts";
import type { LinkOptions } from "../options/common-options.ts";
import { traversalOptionsOf } from "../options/finding-options.ts";
import { linkOptionsOf } from "../options/link-setup.ts";
import { parsePeer, usage } from "../options/operands.ts";
import { turnOptionsOf } from "../options/turn-options.ts";
import { describeDiagnosis, describePeerProbe } from "../reports/doctor-report.ts";
import { jsonLine } from "../terminal/escape.ts";
import { printLines } from "../terminal/print-lines.ts";

/** Time limit for the peer's answer without `-w`. */
const PEER_TIMEOUT_MS = 60_000;

/** @returns the exit status */
export async function runDoctor(
  context: CommandContext,
  operands: readonly string[],
  options: LinkOptions,
): Promise<number> {
  const { reporter, interrupt, environment } = context;
  const code = await codeOf(operands, options, environment);
  const turn = await turnOptionsOf(options, environment);
  const common = { ...linkOptionsOf(options, context), signal: interrupt.signal };
  const meet = traversalOptionsOf({ ...options, turn }, reporter);
  const found = await diagnose({
    stunServers: stunServersOf(meet),
    turn,
    portMapping: options.portMapping !== false,
    common,
  });
  const diagnosis = { ...found, relays: found.relays.map(withRelayRemedy) };
  const verdict = judge(diagnosis.side);
  const { side, ...reported } = diagnosis;
  const local = { ...reported, mappedPort: reported.mappedPort ?? null, verdict };
  if (!reporter.json) await printLines(describeDiagnosis(diagnosis, verdict));
  else if (code === undefined) await printLines([jsonLine({ event: "doctor", ...local })]);
  if (code === undefined) return 0;
  const timeoutMs = options.timeout ?? PEER_TIMEOUT_MS;
  const peerProbe = await probePeer(code, meet, { ...common, timeoutMs });
  const prediction = predict(side, peerProbe.peer, options.spray !== false);
  const { paths, indirect } = peerProbe;
  const ofPeer = { nat: peerProbe.peer.behaviour, verdict: judge(peerProbe.peer) };
  const event = { event: "doctor", ...local, peer: ofPeer, prediction, paths, indirect };
  await printLines(reporter.json ? [jsonLine(event)] : describePeerProbe(peerProbe, prediction));
  return 0;
}

function withRelayRemedy(relay: RelayDiagnosis): RelayDiagnosis {
  const { reason } = relay;
  return reason === undefined ? relay : { ...relay, reason: withRemedy(reason, "ERR_RELAY_REFUSED") };
}

/**
 * The peer's code, from the operands, an option or the environment; undefined if none was given.
 */
async function codeOf(
  operands: readonly string[],
  { codeFile, codeFd }: LinkOptions,
  environment: NodeJS.ProcessEnv,
): Promise<string | undefined> {
  const peer = parsePeer(operands);
  const ofEnvironment = takeEnvironmentCode(environment);
  if (peer.kind === "code") return peer.code;
  if (peer.kind !== "none") throw usage("The doctor meets a peer by the code of its `srudp listen`");
  if (codeFile !== undefined) return (await readCodeFile(codeFile)).reveal();
  if (codeFd !== undefined) return (await readCodeDescriptor(codeFd)).reveal();
  return ofEnvironment?.reveal();
}

/** `srudp status`: lists the links of the current user's running processes. */
import { type RunningProcess, runningProcesses } from "../../app/control/control-client.ts";
import { controlFolder } from "../../app/control/control-folder.ts";
import type { LinkStatus, ProcessStatus } from "../../app/control/control-messages.ts";
import type { ForwardStatus } from "../../app/forward/forwarder.ts";
import { SrudpError } from "../../base/errors.ts";
import { decodeKey, shortKey } from "../../wire/key-text.ts";
import type { CommandContext } from "../context.ts";
import { escapeText, jsonLine } from "../terminal/escape.ts";
import { formatBytes } from "../terminal/progress.ts";

/**
 * @returns the exit status
 * @throws SrudpError ERR_CONTROL_FOLDER; ERR_CONTROL_ANSWER, after the processes that answered were
 * listed
 */
export async function runStatus(context: CommandContext, options: { json?: true }): Promise<number> {
  const running = await runningProcesses(controlFolder(context.environment));
  const listed = running.filter(({ state }) => !isUnreadable(state));
  const lines = listed.flatMap((one) => (options.json ? [jsonLine(jsonOf(one))] : linesOf(one)));
  if (running.length === 0 && !options.json) context.reporter.event("idle", {}, "nothing is running");
  if (lines.length > 0) process.stdout.write(`${lines.join("\n")}\n`);
  const unreadable = running.find(({ state }) => isUnreadable(state));
  if (unreadable !== undefined) throw new SrudpError("ERR_CONTROL_ANSWER", `Process ${unreadable.pid}`);
  return 0;
}

function isUnreadable(state: ProcessStatus | SrudpError): boolean {
  return state instanceof SrudpError && state.code === "ERR_CONTROL_ANSWER";
}

function jsonOf({ pid, state }: RunningProcess): object {
  return state instanceof SrudpError ? { pid, isAnswering: false } : { ...state, isAnswering: true };
}

function linesOf({ pid, state }: RunningProcess): string[] {
  if (state instanceof SrudpError) return [`${pid} not answering`];
  const { command, name, faults, links, forwards } = state;
  return [
    escapeText(`${pid} ${command} ${name}${faults > 0 ? `, ${counted(faults, "internal error")}` : ""}`),
    ...(links.length === 0 ? ["  no link"] : links.flatMap(linesOfLink)),
    ...forwards.map(lineOfForward),
  ];
}

function linesOfLink(link: LinkStatus): string[] {
  return [lineOf(link), ...link.forwards.map((one) => `  ${lineOfForward(one)}`)];
}

function lineOfForward({ name, bind, target, isOpen, connections }: ForwardStatus): string {
  const state = isOpen ? counted(connections, "connection") : "not open";
  return escapeText(`  ${name}  ${bind} to ${target}, ${state}`);
}

function lineOf(link: LinkStatus): string {
  const parts = [
    `link ${link.id}: ${link.path} ${link.remote}`,
    `${link.auth} ${shownKey(link.peer)}`,
    link.isAlive ? `${link.rttMs} ms` : "no answer",
    `${link.lossPct} % lost`,
    `out ${formatBytes(link.sentBytes)} (${formatBytes(link.sentPerSecond)}/s)`,
    `in ${formatBytes(link.receivedBytes)} (${formatBytes(link.receivedPerSecond)}/s)`,
  ];
  if (link.connections > 0) parts.push(counted(link.connections, "connection"));
  if (link.ports.length > 0) parts.push(`ports ${link.ports.join(" ")}`);
  return escapeText(`  ${parts.join(" · ")}`);
}

/** Shortens a key. Other text is returned unchanged. */
function shownKey(text: string): string {
  try {
    return shortKey(decodeKey(text));
  } catch {
    return text;
  }
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

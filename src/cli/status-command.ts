/** `srudp status`: the links of this user's running processes. */
import { runningProcesses } from "../app/control/control-client.ts";
import { controlFolder } from "../app/control/control-folder.ts";
import type { LinkStatus, ProcessStatus } from "../app/control/control-records.ts";
import type { ForwardStatus } from "../app/forward/forwarder.ts";
import { decodeKey, shortKey } from "../wire/key-text.ts";
import type { CommandContext } from "./context.ts";
import { escapeText } from "./escape.ts";
import { formatBytes } from "./progress.ts";

/** @returns the status to exit with */
export async function runStatus(context: CommandContext, options: { json?: true }): Promise<number> {
  const running = await runningProcesses(controlFolder(context.environment));
  const lines = running.flatMap(({ status }) => (options.json ? [JSON.stringify(status)] : linesOf(status)));
  if (running.length === 0 && !options.json) context.reporter.event("idle", {}, "nothing is running");
  if (lines.length > 0) process.stdout.write(`${lines.join("\n")}\n`);
  return 0;
}

function linesOf({ pid, command, name, links, forwards }: ProcessStatus): string[] {
  return [
    escapeText(`${pid} ${command} ${name}`),
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
    `${link.auth} ${shortKey(decodeKey(link.peer))}`,
    link.isAlive ? `${link.rttMs} ms` : "no answer",
    `${link.lossPct} % lost`,
    `out ${formatBytes(link.sentBytes)} (${formatBytes(link.sentPerSecond)}/s)`,
    `in ${formatBytes(link.receivedBytes)} (${formatBytes(link.receivedPerSecond)}/s)`,
  ];
  if (link.connections > 0) parts.push(counted(link.connections, "connection"));
  if (link.ports.length > 0) parts.push(`ports ${link.ports.join(" ")}`);
  return escapeText(`  ${parts.join(" · ")}`);
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

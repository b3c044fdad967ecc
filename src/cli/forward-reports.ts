/** What is told of forwards, on whichever side. */
import type { ForwardStatus } from "../app/forward/forwarder.ts";
import type { ForwardFailure } from "../app/forward/watcher.ts";
import { escapeText } from "./escape.ts";
import type { Reporter } from "./reporter.ts";

/** Failures can come as fast as clients try: of the same kind, one is told in so long. */
const SAME_FAILURE_MS = 1000;
const KINDS_LIMIT = 256;

/** A forward stands. */
export function reportForwarding(reporter: Reporter, { kind, bind, target }: ForwardStatus): void {
  const where = kind === "remote" ? "the peer's port" : "";
  const prose = `forwarding ${where}${where === "" ? "" : " "}${bind} to ${kind === "local" ? "the peer's " : ""}${target}`;
  reporter.event("forwarding", { kind, bind, target }, escapeText(prose));
}

/** Tells of connections and ports that did not come about, of each kind at most one in a second. */
export function failureReport(reporter: Reporter): (failure: ForwardFailure, peer?: string) => void {
  const lastMs = new Map<string, number>();
  return ({ by, target, error }, peer) => {
    const key = `${by} ${error.code} ${target} ${peer}`;
    const now = performance.now();
    if (now - (lastMs.get(key) ?? Number.NEGATIVE_INFINITY) < SAME_FAILURE_MS) return;
    if (lastMs.size >= KINDS_LIMIT) lastMs.clear();
    lastMs.set(key, now);
    const { code, message } = error;
    const whose = by === "peer" ? `refused to ${peer ?? "the peer"}: ` : "not forwarded: ";
    reporter.event("unforwarded", { by, target, code, message, peer }, escapeText(whose + message));
  };
}

/** Reports on forwards, on both sides of a link. */
import type { ForwardStatus } from "../../app/forward/forwarder.ts";
import type { ForwardKind } from "../../app/forward/spec.ts";
import type { ForwardFailure } from "../../app/forward/watcher.ts";
import { messageOf } from "../failures.ts";
import { escapeText } from "../terminal/escape.ts";
import type { Reporter } from "../terminal/reporter.ts";

/** Minimum interval between reports of the same kind. Clients may cause failures at any rate. */
const SAME_FAILURE_MS = 1000;
const KINDS_LIMIT = 256;

/** Reports that a forward is open. */
export function reportForwarding(reporter: Reporter, { kind, bind, target }: ForwardStatus): void {
  const where = kind === "remote" ? `the peer's port ${bind}` : bind;
  const destination = target === "socks" ? SOCKS[kind] : kind === "local" ? `the peer's ${target}` : target;
  reporter.event("forwarding", { kind, bind, target }, escapeText(`forwarding ${where} to ${destination}`));
}

/** The text for the target of a SOCKS proxy. */
const SOCKS: Readonly<Record<ForwardKind, string>> = {
  local: "",
  remote: "whatever is asked for by SOCKS, from here",
  dynamic: "whatever is asked for by SOCKS, from the peer",
};

const REMEDIES: Readonly<Record<ForwardFailure["what"], string>> = {
  connection: "name it with --expose",
  port: "name it with --permit-listen",
  bench: "listen with --allow-bench",
};

/** Reports refused connections and ports, at most one per second of each kind. */
export function failureReport(reporter: Reporter): (failure: ForwardFailure, peer?: string) => void {
  const lastMs = new Map<string, number>();
  return ({ by, what, target, error }, peer) => {
    const key = `${by} ${error.code} ${target} ${peer}`;
    const now = performance.now();
    if (now - (lastMs.get(key) ?? Number.NEGATIVE_INFINITY) < SAME_FAILURE_MS) return;
    if (lastMs.size >= KINDS_LIMIT) lastMs.clear();
    lastMs.set(key, now);
    const { code } = error;
    const message = messageOf(error);
    // This side refused the request, so the remedy is on this side.
    const remedy = `${target}; to allow it, ${REMEDIES[what]}`;
    const isForbidden = code === "ERR_TARGET_FORBIDDEN" || code === "ERR_BENCH_FORBIDDEN";
    const prose =
      by === "own"
        ? `not forwarded: ${message}`
        : `refused to ${peer ?? "the peer"}: ${isForbidden ? remedy : message}`;
    reporter.event("unforwarded", { by, target, code, message, peer }, escapeText(prose));
  };
}

/** The command that the other side of a listener types: a pipe to it, or forwards where the listener exposes something. */
import type { LinkOptions } from "../options/common-options.ts";

/** Ports below are for root alone, as a rule: the other side's is so many higher. */
const PRIVILEGED_PORTS = 1024;
const PRIVILEGED_OFFSET = 8000;

/** The words before the peer, and those behind it, each with the blank that parts them from it. */
export function otherSide({ expose = [], permitListen = [] }: LinkOptions): {
  before: string;
  behind: string;
} {
  const forward = forwardTo(expose[0], permitListen[0]);
  return forward === undefined
    ? { before: "srudp connect ", behind: "" }
    : { before: "srudp forward ", behind: ` ${forward}` };
}

function forwardTo(exposed: string | undefined, permitted: string | undefined): string | undefined {
  if (exposed === undefined) return permitted === undefined ? undefined : "-R PORT:HOST:PORT";
  if (exposed.startsWith("/")) return `-L PORT:${exposed}`;
  const parts = /^(.+):(\d+)(?:-\d+)?(\/udp)?$/.exec(exposed);
  // What a pattern covers is for the other side to say.
  if (parts === null || parts[1]!.includes("*") || parts[1]!.includes("/")) return "-D 1080";
  const [, host, text, protocol = ""] = parts;
  const port = Number(text);
  const own = port < PRIVILEGED_PORTS ? port + PRIVILEGED_OFFSET : port;
  return `-L ${own}:${host}:${port}${protocol}`;
}

/** The part that all commands with a link share: the library's options and the first event. */

import type { CommonOptions } from "../../link/link-options.ts";
import { primitives } from "../../platform/crypto/provider.ts";
import { offloadNames } from "../../platform/udp/offload.ts";
import { WIRE_VERSION } from "../../wire/handshake-packet.ts";
import type { CommandContext } from "../context.ts";
import type { LinkOptions } from "./common-options.ts";

/** Reports the first event of every command that opens a link. */
export function reportStart({ reporter, version }: CommandContext): void {
  const cipher = primitives().name;
  const offload = offloadNames();
  const parts = [`srudp ${version}`, `protocol ${WIRE_VERSION}`, `node ${process.versions.node}`];
  const prose = `${parts.join(", ")}; cipher by ${cipher}; UDP offload: ${offload}`;
  reporter.event("hello", { version, protocol: WIRE_VERSION, cipher, offload }, prose, "detail");
}

/** The library's options for sockets and packets. */
export function linkOptionsOf(options: LinkOptions, { faults }: CommandContext): CommonOptions {
  const family = options[4] ? 4 : options[6] ? 6 : undefined;
  return {
    onFault: faults.report,
    ...(family !== undefined && { family }),
    ...(options.source !== undefined && { localAddress: options.source }),
    ...(options.localPort !== undefined && { localPort: options.localPort }),
    ...(options.idleTimeout !== undefined && { idleTimeoutMs: options.idleTimeout }),
    ...(options.congestion !== undefined && { congestion: options.congestion }),
    ...(options.numeric && { resolve: false }),
    ...(options.qlog !== undefined && { qlogDirectory: options.qlog }),
  };
}

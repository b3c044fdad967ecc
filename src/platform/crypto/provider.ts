/**
 * Selects the implementation of the primitives for this process, once, when it is first needed: the
 * fastest one that works. All implementations produce the same bytes.
 *
 * SRUDP_PROVIDER=openssl|node|noble selects one explicitly, for measurements or if the automatic
 * choice causes problems. It is documented with the environment of the command.
 */
import { SrudpError } from "../../base/errors.ts";
import { noblePrimitives } from "../../crypto/noble.ts";
import type { Primitives } from "../../crypto/primitives.ts";
import { nodePrimitives } from "./node-provider.ts";
import { opensslPrimitives } from "./openssl-provider.ts";

let chosen: Primitives | undefined;

/**
 * The primitives in use. `name` identifies the implementation. Throws ERR_USAGE when SRUDP_PROVIDER
 * names an implementation that is not available.
 */
export function primitives(): Primitives {
  chosen ??= choose(process.env.SRUDP_PROVIDER);
  return chosen;
}

/** The primitives called `name`, or the fastest ones. @throws SrudpError ERR_USAGE */
export function choose(name: string | undefined): Primitives {
  switch (name) {
    case undefined:
    case "":
      return opensslPrimitives() ?? nodePrimitives;
    case "openssl": {
      const primitives = opensslPrimitives();
      if (primitives !== undefined) return primitives;
      throw new SrudpError("ERR_USAGE", "SRUDP_PROVIDER=openssl needs the optional package koffi");
    }
    case "node":
      return nodePrimitives;
    case "noble":
      return noblePrimitives;
    default:
      throw new SrudpError("ERR_USAGE", `SRUDP_PROVIDER is openssl, node or noble, not ${name}`);
  }
}

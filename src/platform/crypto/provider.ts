/**
 * Which implementation of the primitives this process runs on: chosen once, at the first need, the fastest
 * that works. All seal the same bytes.
 *
 * SRUDP_PROVIDER=openssl|node|noble asks for one of them, for measurements and for a machine on which the
 * choice does not suit; it is documented with the command's environment.
 */
import { SrudpError } from "../../base/errors.ts";
import { noblePrimitives } from "../../crypto/noble.ts";
import type { Primitives } from "../../crypto/primitives.ts";
import { nodePrimitives } from "./node-provider.ts";
import { opensslPrimitives } from "./openssl-provider.ts";

let chosen: Primitives | undefined;

/** The primitives in use; `name` says which. Throws ERR_USAGE where SRUDP_PROVIDER names what is not there. */
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

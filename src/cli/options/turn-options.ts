/** Reads TURN relays from options, a file and the environment. A URI may contain a password. */
import { parseTurnUri, readTurnFile, takeEnvironmentTurn } from "../../traversal/relay/turn-server.ts";
import type { LinkOptions } from "./common-options.ts";

/**
 * All TURN URIs, those of the command line first.
 *
 * @throws SrudpError ERR_USAGE, ERR_FILE_UNREADABLE, ERR_KEY_FILE
 */
export async function turnOptionsOf(
  { turn = [], turnFile }: Pick<LinkOptions, "turn" | "turnFile">,
  environment: NodeJS.ProcessEnv,
): Promise<string[]> {
  for (const uri of turn) parseTurnUri(uri);
  const ofEnvironment = takeEnvironmentTurn(environment);
  return [...turn, ...(turnFile === undefined ? [] : await readTurnFile(turnFile)), ...ofEnvironment];
}

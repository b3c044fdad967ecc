/**
 * URIs of TURN servers, and the sources of their passwords.  // RFC 7065
 *
 *     turn:host[:port][?transport=udp|tcp]      turns:host[:port]        turn:user:password@host…
 *
 * Every user of a machine can read the command line of a process. A URI with a password may
 * therefore also come from a private file, one URI a line, or from the variable SRUDP_TURN, several
 * separated by blanks. The variable is removed so that no child process inherits it. User name and
 * password are percent-encoded: `%40` stands for @.
 */
import { SrudpError } from "../../base/errors.ts";
import { quotePath, readPrivateFile } from "../../platform/private-file.ts";
import { Redacted } from "../../store/redacted.ts";

/** "any": UDP, and TCP too when UDP takes long. */
export type TurnTransport = "any" | "udp" | "tcp" | "tls";

export interface TurnCredentials {
  readonly username: string;
  readonly password: string;
}

export interface TurnServer {
  readonly host: string;
  readonly port: number;
  readonly transport: TurnTransport;
  /** Undefined: the server needs no credentials. */
  readonly credentials: Redacted<TurnCredentials> | undefined;
}

const TURN_PORT = 3478;
const TURNS_PORT = 5349;
const SHAPE =
  /^(turns?):(?:([^\s@]*)@)?(?:\[([0-9a-f:.]+)\]|([^\s:/?@[\]]+))(?::(\d{1,5}))?(?:\?transport=(udp|tcp))?$/i;

/**
 * Parses a URI. The error message repeats none of it, since it may hold a password.
 *
 * @throws SrudpError ERR_USAGE
 */
export function parseTurnUri(text: string): TurnServer {
  const parts = SHAPE.exec(text);
  if (parts === null)
    throw wrong("A TURN server is written turn:[user:password@]host[:port][?transport=udp|tcp]");
  const [, scheme, userPart, v6, name, portText, transportText] = parts;
  const isTls = scheme!.toLowerCase() === "turns";
  const port = portText === undefined ? (isTls ? TURNS_PORT : TURN_PORT) : Number(portText);
  if (port < 1 || port > 65535) throw wrong("A TURN server's port is a number from 1 to 65535");
  const asked = transportText?.toLowerCase();
  if (isTls && asked === "udp") throw wrong("turns: goes by TLS, which needs ?transport=tcp or none");
  return {
    host: v6 ?? name!,
    port,
    transport: isTls ? "tls" : asked === "udp" || asked === "tcp" ? asked : "any",
    credentials: userPart === undefined ? undefined : new Redacted(parseUserPart(userPart)),
  };
}

/**
 * The URIs in a private file, one a line; empty lines and lines that begin with # are ignored.
 *
 * @throws SrudpError ERR_FILE_UNREADABLE, ERR_KEY_FILE, ERR_USAGE
 */
export async function readTurnFile(path: string): Promise<string[]> {
  const text = await readPrivateFile(path);
  if (text === undefined) throw new SrudpError("ERR_FILE_UNREADABLE", `There is no ${quotePath(path)}`);
  const uris = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
  for (const uri of uris) parseTurnUri(uri);
  return uris;
}

/** The URIs in `SRUDP_TURN`, which is removed from `environment`. @throws SrudpError ERR_USAGE */
export function takeEnvironmentTurn(environment: NodeJS.ProcessEnv): string[] {
  const text = environment.SRUDP_TURN;
  delete environment.SRUDP_TURN;
  const uris = (text ?? "").split(/\s+/).filter((uri) => uri !== "");
  for (const uri of uris) parseTurnUri(uri);
  return uris;
}

/** The server without its credentials, for messages. */
export function describeTurn({ host, port, transport }: TurnServer): string {
  const shown = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  if (transport === "tls") return `turns:${shown}`;
  return transport === "any" ? `turn:${shown}` : `turn:${shown}?transport=${transport}`;
}

function parseUserPart(text: string): TurnCredentials {
  const colonAt = text.indexOf(":");
  if (colonAt < 1) throw wrong("A TURN server's user is written user:password@");
  try {
    return {
      username: decodeURIComponent(text.slice(0, colonAt)),
      password: decodeURIComponent(text.slice(colonAt + 1)),
    };
  } catch {
    throw wrong("A % in a TURN server's user or password is written %25");
  }
}

function wrong(detail: string): SrudpError {
  return new SrudpError("ERR_USAGE", detail);
}

/**
 * The grammar of -L, -R and -D. It is the grammar of ssh(1) with two additions: a forward may end
 * in `/udp`, and a port alone leads to the peer's first exposed target.
 *
 *     -L [bind:]port:host:hostport   -L [bind:]port:socket   -L socket:host:hostport   -L socket:socket   -L [bind:]port
 *     -R the same, but [bind:]port alone is a SOCKS proxy here for the peer's programs
 *     -D [bind:]port                 -D socket
 *
 * A field that contains a slash is the path of a socket. `\` escapes the next character. IPv6
 * addresses are written in brackets. Without a bind address the port is bound to loopback. An empty
 * bind address, or `*`, means every interface.
 */
import { SrudpError } from "../../base/errors.ts";
import { type Address, formatTarget } from "../../link/forward-records.ts";
import { socketPathError } from "../../platform/socket-path.ts";

/**
 * The destination of a forwarded port: an address, the peer's first exposed target, or the target
 * of a SOCKS request.
 */
export type Destination = Address | { readonly kind: "first" } | { readonly kind: "socks" };

export type ForwardKind = "local" | "remote" | "dynamic";

/** A forward that the user requested. */
export interface ForwardSpec {
  readonly kind: ForwardKind;
  /**
   * The option and its argument in canonical spelling. This name identifies the forward when it is
   * cancelled.
   */
  readonly name: string;
  readonly bind: Address;
  readonly destination: Destination;
}

/** The option letter of each kind. */
const OPTIONS: Readonly<Record<string, ForwardKind>> = { L: "local", R: "remote", D: "dynamic" };

/** Parses the argument of `-L`, `-R` or `-D`. @throws SrudpError ERR_USAGE */
export function parseForward(option: "L" | "R" | "D", text: string): ForwardSpec {
  const kind = OPTIONS[option]!;
  const name = `-${option} ${text}`;
  const suffix = /\/(udp|tcp)$/.exec(text);
  // The path of a socket may end in /udp or /tcp. Then the ending is part of the path.
  const isPath = suffix !== null && /(?:^|:)[^:]*\/[^:]*\/(?:udp|tcp)$/.test(text);
  const protocol = suffix !== null && !isPath ? suffix[1]! : "tcp";
  const fields = splitFields(suffix !== null && !isPath ? text.slice(0, suffix.index) : text, name);
  const spec = { kind, name, ...readFields(kind, fields, name) };
  return protocol === "udp" ? asUdp(spec) : spec;
}

/** The target of `-W text`: host:port, or the path of a socket. @throws SrudpError ERR_USAGE */
export function parseTarget(text: string, option: string = "-W"): Address {
  const name = `${option} ${text}`;
  const [host, port, ...rest] = splitFields(text, name);
  if (host?.isPath && port === undefined) return { kind: "unix", path: pathOf(host, name) };
  if (host === undefined || host.text === "" || port === undefined || rest.length > 0)
    throw bad(name, "it takes host:port");
  return { kind: "tcp", host: host.text, port: portOf(port, name, false) };
}

/** The text that shows a destination to users and in events. */
export function formatDestination(destination: Destination): string {
  return destination.kind === "socks" ? "socks" : formatTarget(destination);
}

interface Field {
  readonly text: string;
  readonly isPath: boolean;
}

interface Ends {
  readonly bind: Address;
  readonly destination: Destination;
}

function readFields(kind: ForwardKind, fields: readonly Field[], name: string): Ends {
  const alone: Destination = kind === "local" ? { kind: "first" } : { kind: "socks" };
  const [a, b, c, d] = fields;
  const mayBeZero = true;
  const bindAt = (host: Field | undefined, port: Field): Address => ({
    kind: "tcp",
    host: host === undefined ? "" : host.text === "" ? "*" : host.text,
    port: portOf(port, name, mayBeZero),
  });
  const destinationTo = (host: Field, port: Field): Destination => {
    if (host.text === "" || host.isPath) throw bad(name, "the target's host is missing");
    return { kind: "tcp", host: host.text, port: portOf(port, name, false) };
  };
  const path = (field: Field): Address => ({ kind: "unix", path: pathOf(field, name) });
  if (a === undefined || fields.length > 4) throw bad(name, "it has too many parts");
  if (b === undefined) return { bind: a.isPath ? path(a) : bindAt(undefined, a), destination: alone };
  if (kind === "dynamic") {
    if (c !== undefined || a.isPath || b.isPath) throw bad(name, "-D takes [bind:]port");
    return { bind: bindAt(a, b), destination: alone };
  }
  if (c === undefined) {
    if (b.isPath) return { bind: a.isPath ? path(a) : bindAt(undefined, a), destination: path(b) };
    if (a.isPath) throw bad(name, "the target's port is missing");
    // Other programs read this as port:host. Here `port` would be an unusual bind address.
    if (isNumber(a)) throw bad(name, `it lacks the target's host, as in ${a.text}:localhost:${b.text}`);
    return { bind: bindAt(a, b), destination: alone };
  }
  if (d === undefined) {
    if (a.isPath) return { bind: path(a), destination: destinationTo(b, c) };
    if (c.isPath) return { bind: bindAt(a, b), destination: path(c) };
    return { bind: bindAt(undefined, a), destination: destinationTo(b, c) };
  }
  return { bind: bindAt(a, b), destination: destinationTo(c, d) };
}

function asUdp(spec: ForwardSpec): ForwardSpec {
  const { bind, destination } = spec;
  if (bind.kind !== "tcp" || destination.kind !== "tcp")
    throw bad(spec.name, "/udp needs a port on both sides");
  return { ...spec, bind: { ...bind, kind: "udp" }, destination: { ...destination, kind: "udp" } };
}

/** Splits at colons, except within brackets and after a backslash. */
function splitFields(text: string, name: string): Field[] {
  const fields: Field[] = [];
  let current = "";
  let isBracketed = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!;
    if (character === "\\" && at + 1 < text.length) current += text[++at]!;
    else if (character === "[" && current === "") isBracketed = true;
    else if (character === "]" && isBracketed) {
      isBracketed = false;
      if (at + 1 < text.length && text[at + 1] !== ":") throw bad(name, "a colon is missing behind ]");
    } else if (character === ":" && !isBracketed) {
      fields.push({ text: current, isPath: current.includes("/") });
      current = "";
    } else current += character;
  }
  if (isBracketed) throw bad(name, "a bracket is not closed");
  fields.push({ text: current, isPath: current.includes("/") });
  return fields;
}

function pathOf({ text }: Field, name: string): string {
  const error = socketPathError(text);
  if (error !== undefined) throw bad(name, error.message);
  return text;
}

function isNumber({ text }: Field): boolean {
  return /^\d+$/.test(text);
}

function portOf(field: Field, name: string, mayBeZero: boolean): number {
  const port = /^\d{1,5}$/.test(field.text) ? Number(field.text) : -1;
  if (port < (mayBeZero ? 0 : 1) || port > 65_535) throw bad(name, `"${field.text}" is not a port`);
  return port;
}

function bad(name: string, detail: string): SrudpError {
  return new SrudpError("ERR_USAGE", `${name}: ${detail}`);
}

/**
 * The library: an authenticated, encrypted link over UDP that is used like a socket.
 *
 *     const listener = await listen({ port: 4242, code: "42-ocean-lizard-maple" });
 *     for await (const link of listener) link.pipe(link);
 *
 *     const link = await connect({ host: "a.example.org", port: 4242, code: "42-ocean-lizard-maple" });
 *     link.end("hello");
 */

export type { PathMove } from "./base/path.ts";
export type { Receipt } from "./link/control-records.ts";
export { Link, type LinkEvents, type LinkStats } from "./link/link.ts";
export type {
  Auth,
  CommonOptions,
  ConnectOptions,
  ListenOptions,
  MeetOptions,
  TrustOptions,
} from "./link/link-options.ts";
export { Stream } from "./link/stream.ts";
export type { TraversalEvent, TraversalOptions } from "./link/traversal-options.ts";
export { connect } from "./open/connect.ts";
export { Listener, type ListenerEvents, listen } from "./open/listener.ts";
export { meet } from "./open/meet.ts";
export * from "./open/vocabulary.ts";
export { formatAddress, type RemoteAddress } from "./platform/udp/address.ts";

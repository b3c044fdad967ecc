/**
 * The library: an authenticated, encrypted link over UDP that is used like a socket.
 *
 *     const listener = await listen({ port: 4242, code: "42-ocean-lizard-maple" });
 *     for await (const link of listener) link.pipe(link);
 *
 *     const link = await connect({ host: "a.example.org", port: 4242, code: "42-ocean-lizard-maple" });
 *     link.end("hello");
 */
export { formatAddress, type RemoteAddress } from "./net/address.ts";
export { connect } from "./net/connect.ts";
export type { Receipt } from "./net/control.ts";
export { Link, type LinkEvents, type LinkStats } from "./net/link.ts";
export type { PathMove } from "./net/link-core.ts";
export { Listener, type ListenerEvents, listen } from "./net/listener.ts";
export { meet } from "./net/meet.ts";
export type {
  Auth,
  CommonOptions,
  ConnectOptions,
  ListenOptions,
  MeetOptions,
  TrustOptions,
} from "./net/options.ts";
export type { ReachNote, ReachOptions } from "./net/reach/options.ts";
export { Stream } from "./net/stream.ts";
export * from "./net/vocabulary.ts";

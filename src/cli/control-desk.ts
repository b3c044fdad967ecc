/** What a running command shows of itself over its control socket, and the changes that it takes there. */
import { controlFolder } from "../app/control/control-folder.ts";
import type { ControlAnswer, ControlRequest, LinkStatus } from "../app/control/control-records.ts";
import { serveControl } from "../app/control/control-server.ts";
import type { ForwardPeer } from "../app/forward/forward-peer.ts";
import type { Forwarder } from "../app/forward/forwarder.ts";
import { parseForward } from "../app/forward/spec.ts";
import { SrudpError } from "../base/errors.ts";
import { formatAddress } from "../net/address.ts";
import { formatTarget } from "../net/forward-wire.ts";
import type { Link } from "../net/link.ts";
import { encodeKey } from "../wire/key-text.ts";
import type { CommandContext } from "./context.ts";
import { asSrudpError } from "./exit.ts";

/** Rates are measured over so long when somebody asks. */
const RATE_WINDOW_MS = 250;

export class ControlDesk {
  readonly #command: string;
  readonly #name: string;
  readonly #forwarder: Forwarder | undefined;
  readonly #links: Map<Link, ForwardPeer | undefined> = new Map();

  /**
   * Opens the desk. Where there can be no socket, that is told with -v, and the command goes on without.
   *
   * @param name what the command was given: the peer, or the port
   * @param forwarder whose forwards may be changed
   */
  constructor(
    { reporter, environment }: CommandContext,
    command: string,
    name: string,
    forwarder?: Forwarder,
  ) {
    this.#command = command;
    this.#name = name;
    this.#forwarder = forwarder;
    serveControl(controlFolder(environment), (request) => this.#answer(request)).catch((thrown: unknown) => {
      const reason = thrown instanceof SrudpError ? thrown.message : String(thrown);
      reporter.event("uncontrolled", { reason }, `no control socket: ${reason}`, "detail");
    });
  }

  /** Shows `link` until it is over. */
  show(link: Link, peer?: ForwardPeer): void {
    this.#links.set(link, peer);
    link.once("close", () => this.#links.delete(link));
  }

  async #answer(request: ControlRequest): Promise<ControlAnswer> {
    if (request.do === "status") {
      const links = await Promise.all([...this.#links].map(([link, peer]) => statusOf(link, peer)));
      const forwards = this.#forwarder?.status ?? [];
      return { status: { pid: process.pid, command: this.#command, name: this.#name, links, forwards } };
    }
    if (request.do !== "add" && request.do !== "cancel") throw new SrudpError("ERR_USAGE");
    const forwarder = this.#forwarder;
    if (forwarder === undefined)
      throw new SrudpError("ERR_USAGE", "Only the forwards of `srudp forward` can be changed");
    const spec = parseForward(request.option, request.forward);
    try {
      if (request.do === "add") return { forward: await forwarder.add(spec) };
    } catch (thrown) {
      throw asSrudpError(thrown);
    }
    if (!forwarder.cancel(spec.name)) throw new SrudpError("ERR_USAGE", `There is no ${spec.name}`);
    return { forward: undefined };
  }
}

async function statusOf(link: Link, peer: ForwardPeer | undefined): Promise<LinkStatus> {
  const before = link.stats();
  await new Promise((resolve) => setTimeout(resolve, RATE_WINDOW_MS));
  const { sentBytes, receivedBytes, sentPackets, lostPackets, rttMs } = link.stats();
  const perSecond = (bytes: number): number => Math.round((1000 * bytes) / RATE_WINDOW_MS);
  return {
    peer: encodeKey(link.peer),
    remote: formatAddress(link.remote),
    path: link.path,
    auth: link.auth,
    rttMs: Math.round(10 * rttMs) / 10,
    lossPct: sentPackets === 0 ? 0 : Math.round((10_000 * lostPackets) / sentPackets) / 100,
    sentBytes,
    receivedBytes,
    sentPerSecond: perSecond(sentBytes - before.sentBytes),
    receivedPerSecond: perSecond(receivedBytes - before.receivedBytes),
    connections: peer?.connections.size ?? 0,
    ports: (peer?.askedPorts ?? []).map(formatTarget),
  };
}

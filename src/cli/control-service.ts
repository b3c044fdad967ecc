/** Serves the control socket of a running command: reports its status and changes its forwards. */
import { getEventListeners } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { controlFolder } from "../app/control/control-folder.ts";
import type {
  ControlAnswer,
  ControlRequest,
  LinkStatus,
  ProcessResources,
} from "../app/control/control-messages.ts";
import { serveControl } from "../app/control/control-socket.ts";
import type { ForwardPeer } from "../app/forward/forward-peer.ts";
import { Forwarder } from "../app/forward/forwarder.ts";
import { answers } from "../app/forward/liveness.ts";
import { parseForward } from "../app/forward/spec.ts";
import { SrudpError } from "../base/errors.ts";
import { formatTarget } from "../link/forward-records.ts";
import { openTraceCount } from "../link/qlog/qlog-file.ts";
import { pendingHookCount } from "../platform/shutdown-hooks.ts";
import { formatAddress } from "../platform/udp/address.ts";
import { encodeKey } from "../wire/key-text.ts";
import type { CommandContext } from "./context.ts";
import { asSrudpError } from "./exit.ts";
import { messageOf } from "./failures.ts";
import type { FaultReports } from "./faults.ts";
import { failureReport, reportForwarding } from "./reports/forward-reports.ts";
import type { Reporter } from "./terminal/reporter.ts";

/** The window over which rates are measured for a status request. */
const RATE_WINDOW_MS = 250;
/**
 * The time that a peer gets to answer a ping for a status request: a constant, plus a number of
 * round trips.
 */
const ANSWER_MS = 700;
const ANSWER_ROUND_TRIPS = 3;
const MAX_ANSWER_MS = 2000;

/** A link, and the forwards that end with it. */
interface Shown {
  readonly id: number;
  readonly peer: ForwardPeer;
  /** Created when the first forward is added. */
  forwarder: Forwarder | undefined;
}

/** An object that outlives links and counts the entries it holds. */
interface CountedOwner {
  readonly counts: Readonly<Record<string, number>>;
}

export class ControlService {
  /** The command's peer or port. */
  name: string;
  readonly #reporter: Reporter;
  readonly #faults: FaultReports;
  readonly #command: string;
  readonly #standing: Forwarder | undefined;
  readonly #interrupt: AbortSignal;
  readonly #owners: Map<string, CountedOwner> = new Map();
  readonly #shown: Set<Shown> = new Set();
  #nextId = 1;

  /**
   * Opens the control socket. The socket exists when the promise resolves, so a program that reads
   * the command's events can connect. If the socket cannot be opened, the command continues without
   * it, and -v reports the error.
   *
   * @param name the command's peer or port
   * @param standing forwards that outlive links; without it, each link has its own
   */
  static async open(
    context: CommandContext,
    command: string,
    name: string,
    standing?: Forwarder,
  ): Promise<ControlService> {
    const { reporter, environment } = context;
    const controlService = new ControlService(context, command, name, standing);
    try {
      await serveControl(controlFolder(environment), (request) => controlService.#answer(request));
    } catch (thrown) {
      const reason = thrown instanceof SrudpError ? messageOf(thrown) : String(thrown);
      reporter.event("uncontrolled", { reason }, `no control socket: ${reason}`, "detail");
    }
    return controlService;
  }

  private constructor(
    { reporter, faults, interrupt }: CommandContext,
    command: string,
    name: string,
    standing: Forwarder | undefined,
  ) {
    this.#reporter = reporter;
    this.#faults = faults;
    this.#interrupt = interrupt.signal;
    this.#command = command;
    this.name = name;
    this.#standing = standing;
  }

  /** Includes the counts of `owner`, each as `name.count`, in the answer to `resources`. */
  include(name: string, owner: CountedOwner): void {
    this.#owners.set(name, owner);
  }

  /** Includes the link of `peer` in the status until it ends. */
  show(peer: ForwardPeer): void {
    const shown: Shown = { id: this.#nextId++, peer, forwarder: undefined };
    this.#shown.add(shown);
    peer.link.once("close", () => {
      this.#shown.delete(shown);
      shown.forwarder?.close();
    });
  }

  async #answer(request: ControlRequest): Promise<ControlAnswer> {
    if (request.do === "status") {
      const links = await Promise.all([...this.#shown].map(statusOf));
      const forwards = this.#standing?.status ?? [];
      const { count: faults } = this.#faults;
      return {
        status: { pid: process.pid, command: this.#command, name: this.name, faults, links, forwards },
      };
    }
    if (request.do === "resources") return { resources: this.#resources() };
    const spec = parseForward(request.option, request.forward);
    const forwarder = this.#standing ?? this.#forwarderOf(request.link);
    try {
      if (request.do === "add") return { forward: await forwarder.add(spec) };
    } catch (thrown) {
      throw asSrudpError(thrown);
    }
    if (!forwarder.cancel(spec.name)) throw new SrudpError("ERR_USAGE", `There is no ${spec.name}`);
    return { forward: undefined };
  }

  #resources(): ProcessResources {
    const active: Record<string, number> = {};
    for (const type of process.getActiveResourcesInfo()) active[type] = (active[type] ?? 0) + 1;
    const counts: Record<string, number> = {
      shownLinks: this.#shown.size,
      hooks: pendingHookCount(),
      traces: openTraceCount(),
      interruptListeners: getEventListeners(this.#interrupt, "abort").length,
      processListeners: process
        .eventNames()
        .reduce((sum, event) => sum + process.listenerCount(event as "exit"), 0),
    };
    const owners: [string, CountedOwner][] = [...this.#owners];
    for (const { id, peer } of this.#shown) owners.push([`link${id}`, peer]);
    for (const [owner, { counts: held }] of owners)
      for (const [name, count] of Object.entries(held)) counts[`${owner}.${name}`] = count;
    return { active, counts };
  }

  /** The forwards of the link with this number, or of the only link. @throws SrudpError ERR_USAGE */
  #forwarderOf(id: number | undefined): Forwarder {
    const [shown, another] = [...this.#shown].filter((one) => id === undefined || one.id === id);
    if (shown === undefined)
      throw new SrudpError("ERR_USAGE", id === undefined ? "There is no link yet" : `There is no link ${id}`);
    if (another !== undefined) {
      const all = [...this.#shown].map(({ id, peer }) => `${id} (${formatAddress(peer.link.remote)})`);
      throw new SrudpError("ERR_USAGE", `Several links: name one of them with --link, ${all.join(", ")}`);
    }
    if (shown.forwarder === undefined) {
      shown.forwarder = new Forwarder({
        failed: failureReport(this.#reporter),
        forwarding: (status) => reportForwarding(this.#reporter, status),
      });
      shown.forwarder.use(shown.peer);
    }
    return shown.forwarder;
  }
}

async function statusOf({ id, peer, forwarder }: Shown): Promise<LinkStatus> {
  const { link } = peer;
  const before = link.stats();
  await sleep(RATE_WINDOW_MS);
  const after = link.stats();
  const { sentBytes, receivedBytes, sentPackets, lostPackets, rttMs } = after;
  const isAlive =
    after.receivedPackets > before.receivedPackets ||
    (await answers(link, Math.min(MAX_ANSWER_MS, ANSWER_MS + ANSWER_ROUND_TRIPS * rttMs)));
  const perSecond = (bytes: number): number => Math.round((1000 * bytes) / RATE_WINDOW_MS);
  return {
    id,
    peer: encodeKey(link.peer),
    remote: formatAddress(link.remote),
    path: link.path,
    auth: link.auth,
    isAlive,
    rttMs: Math.round(10 * rttMs) / 10,
    lossPct: sentPackets === 0 ? 0 : Math.round((10_000 * lostPackets) / sentPackets) / 100,
    sentBytes,
    receivedBytes,
    sentPerSecond: perSecond(sentBytes - before.sentBytes),
    receivedPerSecond: perSecond(receivedBytes - before.receivedBytes),
    connections: peer.connections.size,
    ports: peer.remotePorts.map(formatTarget),
    forwards: forwarder?.status ?? [],
  };
}

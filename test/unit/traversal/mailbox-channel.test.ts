/** Subscriptions to rendezvous points with fake clients of servers and fake timers: which servers they use, and when. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { SrudpError } from "../../../src/base/errors.ts";
import { digestOf } from "../../../src/platform/blob-digest.ts";
import type { SignallingRole } from "../../../src/traversal/signalling/channel.ts";
import { MailboxChannel } from "../../../src/traversal/signalling/mailbox-channel.ts";
import type { RendezvousClient } from "../../../src/traversal/signalling/rendezvous-client.ts";
import { pointOfLink } from "../../../src/traversal/signalling/rendezvous-point.ts";
import { orderServers, parseRendezvousUrl } from "../../../src/traversal/signalling/rendezvous-url.ts";
import {
  decodeRequest,
  encodeReply,
  type MailboxSide,
  type Meet,
  REFUSAL,
} from "../../../src/wire/mailbox-messages.ts";

/** What subscriptions use of a client. */
type UsedOfClient = Pick<
  RendezvousClient,
  | ("isReady" | "transport" | "cookie" | "newTransaction" | "send" | "suspect" | "close")
  | ("onReady" | "onTrouble" | "onMessage")
>;

class FakeClient implements Record<keyof UsedOfClient, unknown> {
  isReady = true;
  readonly url: string;
  readonly transport = "udp";
  readonly cookie = new Uint8Array(16);
  readonly sent: Uint8Array[] = [];
  suspicions = 0;
  isClosed = false;
  onReady: (() => void) | undefined;
  onTrouble: ((error: SrudpError) => void) | undefined;
  onMessage: ((bytes: Uint8Array) => boolean) | undefined;

  constructor({ text }: { text: string }) {
    this.url = text;
    clients.push(this);
  }

  /** The requests of one kind, in order. */
  requests(kind: "meet" | "leave" = "meet"): Meet[] {
    return this.sent.map((bytes) => decodeRequest(bytes)).filter((one) => one?.kind === kind) as Meet[];
  }

  newTransaction(): Uint8Array {
    return new Uint8Array(8);
  }

  send(bytes: Uint8Array): void {
    this.sent.push(bytes.slice());
  }

  suspect(): void {
    this.suspicions++;
  }

  close(): void {
    this.isClosed = true;
  }

  /** The server's answer to the newest request: it has the local blob `held`, and `blob` of the peer. */
  answer({ held = NOTHING, blob = NOTHING, point = POINT.id, side = 0 as MailboxSide } = {}): boolean {
    return this.onMessage!(
      encodeReply({
        kind: "state",
        transaction: new Uint8Array(8),
        point,
        side,
        localDigest: held.length === 0 ? new Uint8Array(8) : digestOf(held),
        peerDigest: blob.length === 0 ? new Uint8Array(8) : digestOf(blob),
        blob,
      }),
    );
  }

  refuse(reason: number): void {
    const transaction = new Uint8Array(8);
    this.onMessage!(encodeReply({ kind: "refused", transaction, point: POINT.id, side: 0, reason }));
  }
}

const clients: FakeClient[] = [];

vi.mock("../../../src/traversal/signalling/rendezvous-client.ts", () => ({
  RendezvousClient: class {
    constructor(url: { text: string }) {
      // biome-ignore lint/correctness/noConstructorReturn: the double is the client
      return new FakeClient(url);
    }
  },
}));

const NOTHING = new Uint8Array(0);
const POINT = pointOfLink(new Uint8Array(32).fill(1));
const SERVERS = ["udp://a:3478", "udp://b:3478", "udp://c:3478", "udp://d:3478"];
/** The servers in the order of the point. */
const ORDER = orderServers(SERVERS.map(parseRendezvousUrl), POINT.id).map(({ text }) => text);
const UNREACHABLE = new SrudpError("ERR_NO_MEETING_PLACE");
const BLOB = Uint8Array.of(1, 2, 3);
const PEER_BLOB = Uint8Array.of(4, 5, 6);

beforeEach(() => {
  vi.useFakeTimers();
  clients.length = 0;
});
afterEach(() => void vi.useRealTimers());

function subscribed(servers: readonly string[] = SERVERS, role: SignallingRole = "initiator") {
  const channel = new MailboxChannel(servers);
  const subscription = channel.meet(POINT, role);
  const blobs: Uint8Array[] = [];
  const troubles: SrudpError[] = [];
  const onContact = vi.fn();
  Object.assign(subscription, {
    onBlob: (blob: Uint8Array) => blobs.push(blob),
    onTrouble: (error: SrudpError) => troubles.push(error),
    onContact,
  });
  return { channel, subscription, blobs, troubles, onContact };
}

const used = () => clients.map(({ url }) => url);

describe("the servers of a rendezvous point", () => {
  it("are begun with the first in the order of the point", () => {
    subscribed();
    expect(used()).toEqual(ORDER.slice(0, 1));
  });

  it("are extended by the next one when the first is not reached within 2 s", () => {
    subscribed();
    clients[0]!.isReady = false;
    vi.advanceTimersByTime(1999);
    expect(used()).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(used()).toEqual(ORDER.slice(0, 2));
  });

  it("are extended by the next one when no peer has appeared at the first within 5 s", () => {
    subscribed();
    vi.advanceTimersByTime(4999);
    expect(used()).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(used()).toEqual(ORDER.slice(0, 2));
  });

  it("are not extended once a peer has appeared", () => {
    subscribed();
    clients[0]!.answer({ blob: PEER_BLOB });
    vi.advanceTimersByTime(60_000);
    expect(used()).toEqual(ORDER.slice(0, 1));
  });

  it("are extended at once when one fails", () => {
    const { troubles } = subscribed();
    clients[0]!.onTrouble!(UNREACHABLE);
    expect(used()).toEqual(ORDER.slice(0, 2));
    expect(troubles).toEqual([]);
  });

  it("are three at most", () => {
    subscribed();
    vi.advanceTimersByTime(600_000);
    expect(used()).toEqual(ORDER.slice(0, 3));
  });

  it("are reported as trouble when all of them fail", () => {
    const { troubles } = subscribed();
    for (let i = 0; i < 3; i++) clients[i]!.onTrouble!(UNREACHABLE);
    expect(troubles).toEqual([UNREACHABLE]);
  });

  it("are no trouble while one of them answers", () => {
    const { troubles, onContact } = subscribed();
    clients[0]!.onTrouble!(UNREACHABLE);
    clients[1]!.onTrouble!(UNREACHABLE);
    clients[0]!.answer();
    expect(onContact).toHaveBeenCalledOnce();
    clients[2]!.onTrouble!(UNREACHABLE);
    expect(troubles).toEqual([]);
  });

  it("share one client among the subscriptions of a channel", () => {
    const { channel } = subscribed(SERVERS.slice(0, 1));
    channel.meet(pointOfLink(new Uint8Array(32).fill(2)), "initiator");
    expect(clients).toHaveLength(1);
  });

  it("that failed before are reported to a later subscription, after it has its callbacks", async () => {
    const { channel } = subscribed(SERVERS.slice(0, 1));
    clients[0]!.onTrouble!(UNREACHABLE);
    const later = channel.meet(POINT, "initiator");
    const onTrouble = vi.fn();
    later.onTrouble = onTrouble;
    await Promise.resolve();
    expect(onTrouble).toHaveBeenCalledExactlyOnceWith(UNREACHABLE);
  });
});

describe("a blob that is published", () => {
  it("is sent until the server confirms it, and no more after that", () => {
    const { subscription } = subscribed();
    subscription.publish(BLOB);
    vi.advanceTimersByTime(250);
    const [client] = clients;
    const sent = client!.requests().slice(1);
    expect(sent.map(({ blob }) => blob)).toEqual([BLOB, BLOB]);
    expect(sent[0]!.localDigest).toEqual(digestOf(BLOB));
    client!.answer({ held: BLOB });
    vi.advanceTimersByTime(15_000);
    const later = client!.requests().slice(3);
    expect(later.map(({ blob }) => blob)).toEqual([NOTHING]);
  });

  it("is sent again when the server has lost it", () => {
    const { subscription } = subscribed();
    subscription.publish(BLOB);
    const [client] = clients;
    client!.answer({ held: BLOB });
    client!.answer();
    vi.advanceTimersByTime(15_000);
    expect(client!.requests().at(-1)!.blob).toEqual(BLOB);
  });

  it("is sent to servers that are added later, too", () => {
    const { subscription } = subscribed();
    subscription.publish(BLOB);
    clients[0]!.onTrouble!(UNREACHABLE);
    expect(clients[1]!.requests().at(-1)!.blob).toEqual(BLOB);
  });

  it("waits for the client to be connected", () => {
    const { subscription } = subscribed();
    const [client] = clients;
    client!.isReady = false;
    client!.sent.length = 0;
    subscription.publish(BLOB);
    expect(client!.sent).toHaveLength(0);
    client!.isReady = true;
    client!.onReady!();
    expect(client!.requests().map(({ blob }) => blob)).toEqual([BLOB]);
  });
});

describe("a request", () => {
  it("is repeated with pauses that grow, and the transport suspected after four without an answer", () => {
    subscribed(SERVERS.slice(0, 1));
    const [client] = clients;
    const sentAtMs: number[] = [];
    for (let ms = 0; ms <= 2100; ms++) {
      if (client!.sent.length > sentAtMs.length) sentAtMs.push(ms);
      vi.advanceTimersByTime(1);
    }
    expect(sentAtMs).toEqual([0, 250, 625, 1187, 2030]);
    expect(client!.suspicions).toBe(1);
  });

  it.each([
    [REFUSAL.full, "it is full"],
    [REFUSAL.tooMany, "too many wait there from this address"],
  ])("that is refused with reason %d is trouble (%s), and repeated after 8 s", (reason, text) => {
    const { troubles } = subscribed(SERVERS.slice(0, 1));
    const [client] = clients;
    client!.refuse(reason);
    expect(troubles).toMatchObject([{ code: "ERR_NO_MEETING_PLACE" }]);
    expect(troubles[0]!.message).toContain(text);
    vi.advanceTimersByTime(7999);
    expect(client!.sent).toHaveLength(1);
    vi.advanceTimersByTime(1);
    expect(client!.sent).toHaveLength(2);
  });
});

describe("a blob of the peer", () => {
  it("is delivered once, and confirmed at once", () => {
    const { blobs } = subscribed();
    const [client] = clients;
    for (let i = 0; i < 3; i++) client!.answer({ blob: PEER_BLOB });
    expect(blobs).toEqual([PEER_BLOB]);
    expect(client!.requests()).toHaveLength(2);
    expect(client!.requests()[1]!.peerDigest).toEqual(digestOf(PEER_BLOB));
  });

  it("is delivered once when two servers have it", () => {
    const { blobs } = subscribed();
    clients[0]!.onTrouble!(UNREACHABLE);
    for (const client of clients) client.answer({ blob: PEER_BLOB });
    expect(blobs).toEqual([PEER_BLOB]);
  });

  it("is delivered again after a different one", () => {
    const { blobs } = subscribed();
    for (const blob of [PEER_BLOB, BLOB, PEER_BLOB]) clients[0]!.answer({ blob });
    expect(blobs).toEqual([PEER_BLOB, BLOB, PEER_BLOB]);
  });

  it("at another point or for the other side is left to others", () => {
    const { blobs } = subscribed();
    const [client] = clients;
    expect(client!.answer({ blob: PEER_BLOB, point: new Uint8Array(32) })).toBe(false);
    expect(client!.answer({ blob: PEER_BLOB, side: 1 })).toBe(false);
    expect(client!.answer({ blob: PEER_BLOB })).toBe(true);
    expect(blobs).toHaveLength(1);
  });
});

describe("a subscription that is closed", () => {
  it("leaves the point at each server, closes clients that no one else uses, and leaves no timer", async () => {
    const { subscription } = subscribed();
    clients[0]!.onTrouble!(UNREACHABLE);
    await subscription.close();
    expect(clients.map((client) => client.requests("leave").length)).toEqual([1, 1]);
    expect(clients.every(({ isClosed }) => isClosed)).toBe(true);
    expect(vi.getTimerCount()).toBe(0);
  });

  it("leaves a client open that another subscription uses", async () => {
    const { channel, subscription } = subscribed(SERVERS.slice(0, 1));
    const other = channel.meet(pointOfLink(new Uint8Array(32).fill(2)), "initiator");
    await subscription.close();
    expect(clients[0]!.isClosed).toBe(false);
    await other.close();
    expect(clients[0]!.isClosed).toBe(true);
  });

  it("publishes and delivers nothing any more", async () => {
    const { subscription, blobs } = subscribed();
    const [client] = clients;
    await subscription.close();
    const count = client!.sent.length;
    subscription.publish(BLOB);
    client!.answer({ blob: PEER_BLOB });
    vi.advanceTimersByTime(60_000);
    expect(blobs).toEqual([]);
    expect(client!.sent).toHaveLength(count);
    expect(clients).toHaveLength(1);
  });
});

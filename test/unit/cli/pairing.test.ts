/** The exchange of --save between two sides, each with its own list of peers, over a link that can fail at any step. */
import { EventEmitter } from "node:events";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { PAIRING_RECORD, type PairingLink, type PairingOptions, pair } from "../../../src/cli/pairing.ts";
import { Reporter } from "../../../src/cli/terminal/reporter.ts";
import type { SavedPeer } from "../../../src/store/saved-peers.ts";
import { KeyFolder } from "../../lib/key-folder.ts";

const key = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);

/** One end of a link; records come in order, a turn later. */
class FakeLink extends EventEmitter {
  readonly peer: Uint8Array;
  readonly auth: "code" | "key";
  other: FakeLink | undefined;
  isClosed = false;
  deferrals = 0;
  /** What it says of its having saved is lost. */
  isMute = false;
  /** Called with each record's type before it goes out. */
  beforeSending: (type: number) => void = () => undefined;

  constructor(peer: Uint8Array, auth: "code" | "key") {
    super();
    this.peer = peer;
    this.auth = auth;
  }

  sendRecord(type: number, body: Uint8Array): void {
    this.beforeSending(type);
    if (this.isClosed || (this.isMute && type === PAIRING_RECORD.saved)) return;
    setImmediate(() => {
      if (!this.isClosed) this.other!.emit("record", type, body);
    });
  }

  deferClose(): () => void {
    this.deferrals++;
    return () => {
      this.deferrals--;
    };
  }

  close(): void {
    for (const end of [this, this.other!]) {
      end.isClosed = true;
      setImmediate(() => end.emit("close"));
    }
  }
}

class Side {
  readonly folder = new KeyFolder();
  readonly events: string[] = [];
  link: FakeLink;
  readonly #key: Uint8Array;

  constructor(peerKey: Uint8Array) {
    this.#key = peerKey;
    this.link = new FakeLink(peerKey, "code");
  }

  pair(options: PairingOptions): Promise<string> {
    const said = {
      write: (line: string): void => {
        const { event } = JSON.parse(line) as { event: string };
        this.events.push(event);
      },
    };
    const reporter = new Reporter(said, { json: true, quiet: false, verbosity: 0 });
    return pair({ reporter }, this.folder.store, this.link as unknown as PairingLink, options).then(
      () => "over",
      (error: { code: string }) => error.code,
    );
  }

  relink(auth: "code" | "key"): void {
    this.link = new FakeLink(this.#key, auth);
  }

  list(): Promise<SavedPeer[]> {
    return this.folder.store.savedPeers.list();
  }

  /** From now on nothing can be written: another writer seems to have the lock, and never gives it back. */
  spoil(): void {
    mkdirSync(this.#lock, { recursive: true, mode: 0o700 });
  }

  mend(): void {
    rmSync(this.#lock, { recursive: true });
  }

  get #lock(): string {
    return join(this.folder.path, "peers.new");
  }
}

let alice: Side;
let bob: Side;

function connect(auth: "code" | "key"): void {
  for (const side of [alice, bob]) side.relink(auth);
  alice.link.other = bob.link;
  bob.link.other = alice.link;
}

beforeEach(() => {
  alice = new Side(key(2));
  bob = new Side(key(1));
  connect("code");
});
afterEach(() => {
  for (const side of [alice, bob]) side.folder.remove();
});

/** What each has told when the second link has completed what the first one had begun. */
const EACH_AT_LAST = ["unpaired", "paired", "unpaired", "paired"];

const both = (): Promise<string[]> => Promise.all([alice.pair({ name: "bob" }), bob.pair({ name: "alice" })]);

describe("two sides that both save", () => {
  it("have each other for good, and let the link end", async () => {
    expect(await both()).toEqual(["over", "over"]);
    expect(await alice.list()).toEqual([{ name: "bob", publicKey: key(2), address: undefined }]);
    expect(await bob.list()).toEqual([{ name: "alice", publicKey: key(1), address: undefined }]);
    expect([alice.events, bob.events]).toEqual([["paired"], ["paired"]]);
    expect([alice.link.deferrals, bob.link.deferrals]).toEqual([0, 0]);
  });

  it("save nothing when one of them cannot write", async () => {
    bob.spoil();
    const { link } = bob;
    // The link breaks with the command that could not write.
    link.beforeSending = (type) => {
      if (type === PAIRING_RECORD.saved) setImmediate(() => link.close());
    };
    expect(await both()).toEqual(["over", "ERR_KEY_FILE"]);
    expect(await alice.list()).toEqual([]);
    bob.mend();
    expect(await bob.list()).toEqual([]);
    expect([alice.events, bob.events]).toEqual([["unpaired"], []]);
  });

  it("both say so when the last step fails on one side, and complete it on the next link", async () => {
    bob.link.beforeSending = (type) => {
      if (type === PAIRING_RECORD.ready) bob.spoil();
    };
    expect(await both()).toEqual(["over", "over"]);
    expect([alice.events, bob.events]).toEqual([["unpaired"], ["unpaired"]]);
    expect(await alice.list()).toMatchObject([{ name: "bob", isUnconfirmed: true }]);

    bob.mend();
    connect("code");
    expect(await both()).toEqual(["over", "over"]);
    expect([alice.events[1], bob.events[1]]).toEqual(["paired", "paired"]);
    expect((await alice.list())[0]).not.toHaveProperty("isUnconfirmed");
    expect(await bob.list()).toMatchObject([{ name: "alice" }]);
  });
});

describe("a link that ends while one side has saved and the other has confirmed", () => {
  it("leaves a peer that is unconfirmed, until they meet again by key", async () => {
    bob.link.isMute = true;
    alice.link.beforeSending = (type) => {
      if (type === PAIRING_RECORD.saved) alice.link.close();
    };
    expect(await both()).toEqual(["over", "over"]);
    await expect.poll(() => bob.list()).toHaveLength(1);
    expect(alice.events).toEqual(["unpaired"]);
    expect(await alice.list()).toMatchObject([{ name: "bob", isUnconfirmed: true }]);

    connect("key");
    await Promise.all([alice.pair({}), bob.pair({})]);
    await expect.poll(() => alice.events.concat(bob.events)).toEqual(EACH_AT_LAST);
    expect((await alice.list())[0]).not.toHaveProperty("isUnconfirmed");
    expect((await bob.list())[0]).not.toHaveProperty("isUnconfirmed");
  });
});

describe("a link that ends as soon as the peer has said that it saved", () => {
  it("is waited for no more: the peer is saved, and confirmed", async () => {
    const { link } = bob;
    alice.link.beforeSending = (type) => {
      // It has just arrived when the link ends.
      if (type === PAIRING_RECORD.saved) link.once("record", () => link.close());
    };
    expect(await both()).toEqual(["over", "over"]);
    expect((await bob.list())[0]).not.toHaveProperty("isUnconfirmed");
    expect(bob.events).toEqual(["paired"]);
  });
});

describe("a side that saves alone", () => {
  it("saves nothing, says so, and holds the link up for nothing", async () => {
    const end = alice.pair({ name: "bob" });
    await bob.pair({});
    await new Promise((resolve) => setImmediate(resolve));
    expect(alice.link.deferrals).toBe(0);
    alice.link.close();
    expect(await end).toBe("over");
    expect(alice.events).toEqual(["unpaired"]);
    expect(await alice.list()).toEqual([]);
  });
});

import { EventEmitter } from "node:events";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { CommandContext } from "../../../src/cli/context.ts";
import type { ListenerTrust } from "../../../src/cli/options/listener-trust.ts";
import {
  reportListening,
  reportNewCode,
  reportRejectedPeers,
} from "../../../src/cli/reports/listen-reports.ts";
import { Reporter, type ReporterSettings } from "../../../src/cli/terminal/reporter.ts";
import type { Listener } from "../../../src/open/listener.ts";
import { Redacted } from "../../../src/store/redacted.ts";
import { encodeKey } from "../../../src/wire/key-text.ts";

const CODE = "17-velvet-zebra-olive";
const KEY = new Uint8Array(32).fill(3);
const FROM = { address: "2001:db8::7", port: 999, family: 6 as const };

function setUp(settings: Partial<ReporterSettings> = {}): {
  context: CommandContext;
  listener: EventEmitter & Listener;
  said: () => string;
} {
  let said = "";
  const stream = {
    write: (text: string) => {
      said += text;
    },
  };
  const reporter = new Reporter(stream, { json: false, quiet: false, verbosity: 0, ...settings });
  const listener = Object.assign(new EventEmitter(), {
    port: 4242,
    addresses: [
      { address: "192.0.2.7", port: 4242, family: 4 },
      { address: "2001:db8::9", port: 4242, family: 6 },
    ],
  }) as unknown as EventEmitter & Listener;
  const context = { reporter } as CommandContext;
  return { context, listener, said: () => said };
}

function trust(auth: ListenerTrust["auths"][number], given = false): ListenerTrust {
  return {
    auths: [auth],
    options: {},
    code: auth === "code" ? { text: new Redacted(CODE), given } : undefined,
    key: auth === "key" ? KEY : undefined,
    isSilent: false,
    meetPeers: [],
    remember: async () => undefined,
  };
}

describe("what a listener prints", () => {
  it("is the whole line for the other side, for each address, and the code", () => {
    const { context, listener, said } = setUp();
    reportListening(context, listener, trust("code"), {}, false);
    expect(said()).toContain("  srudp connect 192.0.2.7:4242\n");
    expect(said()).toContain("  srudp connect [2001:db8::9]:4242\n");
    expect(said()).toContain(CODE);
  });

  it("is the code alone when all else is quiet", () => {
    const { context, listener, said } = setUp({ quiet: true });
    reportListening(context, listener, trust("code"), {}, false);
    reportNewCode(context.reporter, "18-zoo-zoo-zoo");
    expect(said()).toBe(`${CODE}\n18-zoo-zoo-zoo\n`);
  });

  it("never is a code that was given", () => {
    for (const settings of [{}, { quiet: true }, { json: true }, { verbosity: 2 }]) {
      const { context, listener, said } = setUp(settings);
      reportListening(context, listener, trust("code", true), {}, false);
      expect(said()).not.toContain("velvet");
    }
  });

  it("tells what else the other side needs", () => {
    for (const [auth, words] of [
      ["secret", "--secret-file"],
      ["passphrase", "--passphrase-file"],
      ["key", `--peer ${encodeKey(KEY)}`],
    ] as const) {
      const { context, listener, said } = setUp();
      reportListening(context, listener, trust(auth), {}, false);
      expect(said()).toContain(`srudp connect 192.0.2.7:4242 ${words}`);
    }
  });

  it.each([
    [{ expose: ["localhost:22"] }, "srudp forward 192.0.2.7:4242 -L 8022:localhost:22\n"],
    [{ expose: ["db:5432", "*:80"] }, "srudp forward 192.0.2.7:4242 -L 5432:db:5432\n"],
    [{ expose: ["[::1]:8000-8010"] }, "srudp forward 192.0.2.7:4242 -L 8000:[::1]:8000\n"],
    [{ expose: ["ns:53/udp"] }, "srudp forward 192.0.2.7:4242 -L 8053:ns:53/udp\n"],
    [{ expose: ["/run/app.sock"] }, "srudp forward 192.0.2.7:4242 -L PORT:/run/app.sock\n"],
    [{ expose: ["*:443"] }, "srudp forward 192.0.2.7:4242 -D 1080\n"],
    [{ expose: ["10.0.0.0/8:22"] }, "srudp forward 192.0.2.7:4242 -D 1080\n"],
    [{ permitListen: ["8080"] }, "srudp forward 192.0.2.7:4242 -R PORT:HOST:PORT\n"],
  ])("is a forward where something may be reached through it: %j", (options, line) => {
    const { context, listener, said } = setUp();
    reportListening(context, listener, trust("code"), options, false);
    expect(said()).toContain(line);
  });

  it("has all addresses in JSON", () => {
    const { context, listener, said } = setUp({ json: true });
    reportListening(context, listener, trust("code"), {}, false);
    expect(JSON.parse(said())).toEqual({
      event: "listening",
      address: "192.0.2.7",
      port: 4242,
      addresses: ["192.0.2.7", "2001:db8::9"],
      code: CODE,
    });
  });
});

describe("visitors", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["performance"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it("that guessed wrong are told one by one", () => {
    const { context, listener, said } = setUp();
    reportRejectedPeers(context.reporter, listener, trust("code"));
    for (const failures of [1, 2, 3]) listener.emit("guess", { remote: FROM, failures });
    expect(said().match(/a wrong code came from \[2001:db8::7\]:999 \(\d of 3\)/g)).toHaveLength(3);
  });

  it("that guess in floods are told three times at once, and then once a second", () => {
    const { context, listener, said } = setUp({ json: true });
    reportRejectedPeers(context.reporter, listener, trust("passphrase"));
    const guesses = (): number[] =>
      said()
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line).failures);
    let failures = 0;
    for (let i = 0; i < 1000; i++) listener.emit("guess", { remote: FROM, failures: ++failures });
    expect(guesses()).toEqual([1, 2, 3]);
    vi.advanceTimersByTime(1000);
    for (let i = 0; i < 1000; i++) listener.emit("guess", { remote: FROM, failures: ++failures });
    expect(guesses()).toEqual([1, 2, 3, 1001]);
  });

  it("with a wrong passphrase are not told of a limit that there is not", () => {
    const { context, listener, said } = setUp();
    reportRejectedPeers(context.reporter, listener, trust("passphrase"));
    listener.emit("guess", { remote: FROM, failures: 7 });
    expect(said()).toBe("a wrong passphrase came from [2001:db8::7]:999 (7)\n");
  });

  it("with another version are told with it, with a refused key how to let it in", () => {
    const { context, listener, said } = setUp();
    reportRejectedPeers(context.reporter, listener, trust("key"));
    listener.emit("version", { remote: FROM, lowest: 3, highest: 4 });
    listener.emit("refused", { remote: FROM, key: KEY });
    expect(said()).toContain("another version of the protocol (3 to 4)");
    expect(said()).toContain(`--allow ${encodeKey(KEY)}`);
  });

  it("are told when they come first, whatever fraction of a millisecond the clock shows", () => {
    const clock = vi.spyOn(performance, "now");
    for (let nowMs = 1000.1; nowMs < 1100; nowMs += 0.37) {
      clock.mockReturnValue(nowMs);
      const { context, listener, said } = setUp({ json: true });
      reportRejectedPeers(context.reporter, listener, trust("key"));
      listener.emit("refused", { remote: FROM, key: KEY });
      expect(said(), `at ${nowMs}`).toContain("refused");
    }
    clock.mockRestore();
  });

  it("that come in floods are told once a second", () => {
    const { context, listener, said } = setUp({ json: true });
    reportRejectedPeers(context.reporter, listener, trust("key"));
    for (let i = 0; i < 1000; i++) {
      for (const event of ["version", "refused", "busy"]) {
        listener.emit(event, { remote: FROM, key: KEY, lowest: 9, highest: 9 });
      }
    }
    expect(said().trim().split("\n")).toHaveLength(3);
    vi.advanceTimersByTime(1000);
    listener.emit("refused", { remote: FROM, key: KEY });
    expect(said().trim().split("\n")).toHaveLength(4);
  });
});

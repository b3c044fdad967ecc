import { describe, expect, it } from "vitest";
import { formatDestination, parseForward, parseTarget } from "../../../src/app/forward/spec.ts";
import { formatTarget } from "../../../src/link/forward-records.ts";

function read(option: "L" | "R" | "D", text: string): string {
  const { kind, bind, destination } = parseForward(option, text);
  return `${kind} ${formatTarget(bind)} > ${formatDestination(destination)}`;
}

describe("ssh's grammar", () => {
  it.each([
    ["L", "8080:localhost:80", "local localhost:8080 > localhost:80"],
    ["L", "127.0.0.2:8080:db:5432", "local 127.0.0.2:8080 > db:5432"],
    ["L", "*:8080:db:5432", "local *:8080 > db:5432"],
    ["L", ":8080:db:5432", "local *:8080 > db:5432"],
    ["L", "[::1]:8080:[2001:db8::1]:80", "local [::1]:8080 > [2001:db8::1]:80"],
    ["L", "8080:/run/app.sock", "local localhost:8080 > /run/app.sock"],
    ["L", "127.0.0.1:8080:/run/app.sock", "local 127.0.0.1:8080 > /run/app.sock"],
    ["L", "/tmp/l.sock:db:5432", "local /tmp/l.sock > db:5432"],
    ["L", "/tmp/l.sock:/run/app.sock", "local /tmp/l.sock > /run/app.sock"],
    ["L", "./l\\:1:/run/app.sock", "local ./l:1 > /run/app.sock"],
    ["R", "0:localhost:3000", "remote localhost:0 > localhost:3000"],
    ["R", "1080", "remote localhost:1080 > socks"],
    ["R", "*:1080", "remote *:1080 > socks"],
    ["D", "1080", "dynamic localhost:1080 > socks"],
    ["D", "[::1]:1080", "dynamic [::1]:1080 > socks"],
  ] as const)("-%s %s", (option, text, meaning) => {
    expect(read(option, text)).toBe(meaning);
  });
});

describe("beyond ssh", () => {
  it.each([
    ["L", "5353:9.9.9.9:53/udp", "local localhost:5353/udp > 9.9.9.9:53/udp"],
    ["R", "5353:9.9.9.9:53/udp", "remote localhost:5353/udp > 9.9.9.9:53/udp"],
    ["L", "8080:localhost:80/tcp", "local localhost:8080 > localhost:80"],
    ["L", "8080:/run/udp", "local localhost:8080 > /run/udp"],
    ["L", "2222", "local localhost:2222 > the first that is exposed"],
    ["L", "0.0.0.0:2222", "local 0.0.0.0:2222 > the first that is exposed"],
  ] as const)("-%s %s", (option, text, meaning) => {
    expect(read(option, text)).toBe(meaning);
  });
});

describe("what is no forward", () => {
  it.each([
    ["L", ""],
    ["L", "8080:"],
    ["L", "8080:localhost:"],
    ["L", "8080::80"],
    ["L", "8080:80"],
    ["R", "8080:80"],
    ["L", "8080:localhost:0"],
    ["L", "8080:localhost:65536"],
    ["L", "80 80:localhost:80"],
    ["L", "a:b:c:d:e"],
    ["L", "[::1:8080:localhost:80"],
    ["L", "[::1]8080:localhost:80"],
    ["L", "/tmp/l.sock:8080"],
    ["L", "5353:/run/app.sock/udp:1/udp"],
    ["D", "1080:localhost:80"],
    ["D", "one"],
  ] as const)("-%s %j is refused", (option, text) => {
    expect(() => parseForward(option, text)).toThrow(expect.objectContaining({ code: "ERR_USAGE" }));
  });
});

describe("-W", () => {
  it("takes host and port, in brackets where it has colons", () => {
    expect(formatTarget(parseTarget("localhost:22"))).toBe("localhost:22");
    expect(formatTarget(parseTarget("[::1]:22"))).toBe("[::1]:22");
  });

  it.each(["localhost", "localhost:", ":22", "::1:22", "localhost:0", "localhost:ssh"])(
    "refuses %j",
    (text) => {
      expect(() => parseTarget(text)).toThrow(expect.objectContaining({ code: "ERR_USAGE" }));
    },
  );
});

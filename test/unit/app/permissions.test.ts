import { describe, expect, it } from "vitest";
import type { Interfaces } from "../../../src/app/forward/permissions/local-networks.ts";
import { Permissions } from "../../../src/app/forward/permissions/permissions.ts";
import { type Address, formatTarget } from "../../../src/link/forward-records.ts";

function tcp(host: string, port: number): Address {
  return { kind: "tcp", host, port };
}

async function dialled(permissions: Permissions, address: Address): Promise<string> {
  try {
    return formatTarget(await permissions.dialFor(address));
  } catch (error) {
    return (error as { code: string }).code;
  }
}

describe("an exposed host and port", () => {
  const permissions = new Permissions(["localhost:22", "[2001:db8::5]:80", "db:53/udp", "/run/app.sock"]);

  it("is dialled as the entry says, for whoever asks in its words", async () => {
    expect(await dialled(permissions, tcp("localhost", 22))).toBe("localhost:22");
    expect(await dialled(permissions, tcp("LocalHost", 22))).toBe("localhost:22");
    expect(await dialled(permissions, tcp("2001:0db8:0:0::5", 80))).toBe("[2001:db8::5]:80");
    expect(await dialled(permissions, { kind: "udp", host: "db", port: 53 })).toBe("db:53/udp");
    expect(await dialled(permissions, { kind: "unix", path: "/run/app.sock" })).toBe("/run/app.sock");
  });

  it.each([
    tcp("localhost", 23),
    tcp("127.0.0.1", 22),
    tcp("::1", 22),
    tcp("localhost.", 22),
    tcp("2130706433", 22),
    { kind: "udp", host: "localhost", port: 22 },
    tcp("db", 53),
    { kind: "unix", path: "/run/../run/app.sock" },
    { kind: "unix", path: "/run/app.sock2" },
  ] as Address[])("is not reached as $host$path:$port", async (target) => {
    expect(await dialled(permissions, target)).toBe("ERR_TARGET_FORBIDDEN");
  });

  it("may be one of a range, and the port that was asked for is dialled", async () => {
    const range = new Permissions(["localhost:8000-8010", "[2001:db8::5]:*"]);
    expect(await dialled(range, tcp("localhost", 8000))).toBe("localhost:8000");
    expect(await dialled(range, tcp("localhost", 8010))).toBe("localhost:8010");
    expect(await dialled(range, tcp("2001:db8::5", 65_535))).toBe("[2001:db8::5]:65535");
    for (const target of [tcp("localhost", 7999), tcp("localhost", 8011), tcp("127.0.0.1", 8000)])
      expect(await dialled(range, target)).toBe("ERR_TARGET_FORBIDDEN");
    await expect(range.dialFor({ kind: "first" })).rejects.toMatchObject({ code: "ERR_TARGET_FORBIDDEN" });
  });

  it("is what a port alone leads to", async () => {
    expect(formatTarget(await permissions.dialFor({ kind: "first" }))).toBe("localhost:22");
    await expect(new Permissions(["*:80"]).dialFor({ kind: "first" })).rejects.toMatchObject({
      code: "ERR_TARGET_FORBIDDEN",
    });
  });
});

/** Inside, in every spelling that resolvers take. */
const INSIDE = [
  "127.0.0.1",
  "127.1",
  "0x7f.0.0.1",
  "0177.0.0.1",
  "2130706433",
  "0.0.0.0",
  "localhost",
  "LOCALHOST",
  "::1",
  "::",
  "::ffff:127.0.0.1",
  "::ffff:7f00:1",
  "0:0:0:0:0:ffff:7f00:0001",
  "::127.0.0.1",
  "64:ff9b::7f00:1",
  "2002:7f00:1::",
  "169.254.169.254",
  "10.1.2.3",
  "172.31.255.255",
  "192.168.0.1",
  "100.100.100.200",
  "fe80::1",
  "fd00:ec2::254",
  "224.0.0.1",
  "255.255.255.255",
];

describe("a pattern", () => {
  it.each(INSIDE)("for every address does not cover %s", async (host) => {
    for (const entry of ["*:80", "*:*", "0.0.0.0/0:80", "[::/0]:80"]) {
      expect(await dialled(new Permissions([entry]), tcp(host, 80))).not.toMatch(/:80$/);
    }
  });

  it("covers the others, and dials the very address", async () => {
    const permissions = new Permissions(["*:80"]);
    expect(await dialled(permissions, tcp("9.9.9.9", 80))).toBe("9.9.9.9:80");
    expect(await dialled(permissions, tcp("::ffff:9.9.9.9", 80))).toBe("9.9.9.9:80");
    expect(await dialled(permissions, tcp("2620:fe::fe", 80))).toBe("[2620:fe::fe]:80");
    expect(await dialled(permissions, tcp("9.9.9.9", 81))).toBe("ERR_TARGET_FORBIDDEN");
    expect(await dialled(permissions, { kind: "udp", host: "9.9.9.9", port: 80 })).toBe(
      "ERR_TARGET_FORBIDDEN",
    );
  });

  it("covers special addresses that it names, and no more of them", async () => {
    const permissions = new Permissions(["10.1.0.0/16:22", "127.0.0.0/8:5432", "9.0.0.0/8:1000-2000"]);
    expect(await dialled(permissions, tcp("10.1.200.3", 22))).toBe("10.1.200.3:22");
    expect(await dialled(permissions, tcp("10.2.0.1", 22))).toBe("ERR_TARGET_FORBIDDEN");
    expect(await dialled(permissions, tcp("localhost", 5432))).toBe("127.0.0.1:5432");
    expect(await dialled(permissions, tcp("9.9.9.9", 1999))).toBe("9.9.9.9:1999");
    expect(await dialled(permissions, tcp("9.9.9.9", 2001))).toBe("ERR_TARGET_FORBIDDEN");
    expect(await dialled(new Permissions(["0.0.0.0/7:22"]), tcp("1.1.1.1", 22))).toBe("1.1.1.1:22");
    expect(await dialled(new Permissions(["8.0.0.0/6:22"]), tcp("10.0.0.1", 22))).toBe(
      "ERR_TARGET_FORBIDDEN",
    );
  });
});

describe("a port that peers may have opened", () => {
  const permissions = new Permissions([], ["8080", "*:443", "[::1]:5000-5010", "53/udp", "/tmp/x.sock"]);

  it.each([
    [tcp("", 8080), true],
    [tcp("localhost", 8080), true],
    [tcp("127.0.0.1", 8080), true],
    [tcp("*", 8080), false],
    [tcp("0.0.0.0", 8080), false],
    [tcp("", 8081), false],
    [tcp("*", 443), true],
    [tcp("", 443), false],
    [tcp("0:0::1", 5005), true],
    [tcp("", 53), false],
    [{ kind: "udp", host: "", port: 53 }, true],
    [{ kind: "unix", path: "/tmp/x.sock" }, true],
    [{ kind: "unix", path: "/tmp/y.sock" }, false],
  ] as [Address, boolean][])("%j: %s", (bind, isPermitted) => {
    expect(permissions.mayListen(bind)).toBe(isPermitted);
  });
});

describe("what is no entry", () => {
  it.each([
    "",
    "host",
    "host:",
    ":80",
    "host:0",
    "host:2-1",
    "10.0.0.0/33:80",
    "a/8:80",
    "host:80:90",
    "*",
    "::1:80",
  ])("--expose %j is refused", (text) => {
    expect(() => new Permissions([text])).toThrow(expect.objectContaining({ code: "ERR_USAGE" }));
  });

  it.each(["", "host:", "1:2:3", "99999", "9-1"])("--permit-listen %j is refused", (text) => {
    expect(() => new Permissions([], [text])).toThrow(expect.objectContaining({ code: "ERR_USAGE" }));
  });
});

/** A machine with a global address of each family, a VPN, and an address on its loopback interface. */
const INTERFACES: Interfaces = () => ({
  lo: [
    address("127.0.0.1", 8, true),
    address("::1", 128, true),
    address("192.0.2.53", 32, true),
    address("203.0.114.0", 24, true),
  ],
  eth0: [
    address("203.0.113.77", 24),
    address("2001:db8:1::77", 64),
    // By DHCPv6: the prefix of the link is not in it.
    address("2001:db8:2::77", 128),
    address("10.0.0.7", 24),
  ],
  wg0: [address("198.51.100.2", 32)],
});

function address(text: string, prefixBits: number, internal = false) {
  const family = text.includes(":") ? ("IPv6" as const) : ("IPv4" as const);
  const common = { address: text, netmask: "", mac: "", internal, cidr: `${text}/${prefixBits}` };
  return family === "IPv6" ? { ...common, family, scopeid: 0 } : { ...common, family };
}

describe("this machine and its neighbours", () => {
  const OWN = [
    "203.0.113.77",
    "::ffff:203.0.113.77",
    "2001:db8:1::77",
    "2001:db8:2::77",
    "198.51.100.2",
    "192.0.2.53",
    // The loopback interface answers for the whole network.
    "203.0.114.9",
  ];
  const NEIGHBOURS = ["203.0.113.1", "2001:db8:1::1", "2001:db8:2::1"];
  const BEYOND = ["203.0.112.1", "2001:db8:3::1", "192.0.2.54", "198.51.100.3"];

  const reached = (exposed: string[], host: string): Promise<string> =>
    dialled(new Permissions(exposed, [], INTERFACES), tcp(host, 80));

  it.each([...OWN, ...NEIGHBOURS])("%s is not reached by `*`", async (host) => {
    expect(await reached(["*:80"], host)).toBe("ERR_TARGET_FORBIDDEN");
  });

  it.each(BEYOND)("%s, beyond a router, is reached by `*`", async (host) => {
    expect(await reached(["*:80"], host)).toMatch(/:80$/);
  });

  const NETWORKS = ["203.0.112.0/20:80", "192.0.2.0/24:80", "198.51.100.0/24:80", "[2001:db8::/32]:80"];

  it.each([...NEIGHBOURS, ...BEYOND])("%s is reached by a network that it is in", async (host) => {
    expect(await reached(NETWORKS, host)).toMatch(/:80$/);
  });

  it.each(OWN)("%s is not reached by a network that it is in", async (host) => {
    expect(await reached(NETWORKS, host)).toBe("ERR_TARGET_FORBIDDEN");
  });

  it.each(OWN)("%s is reached when it is named, as a network of one or as a host", async (host) => {
    const canonical = host.replace("::ffff:", "");
    const bits = canonical.includes(":") ? `[${canonical}/128]` : `${canonical}/32`;
    expect(await reached([`${bits}:80`], host)).toMatch(/:80$/);
    expect(
      await reached([canonical.includes(":") ? `[${canonical}]:80` : `${canonical}:80`], canonical),
    ).toMatch(/:80$/);
  });

  it("on a private network is reached by that network, and the machine itself is not", async () => {
    expect(await reached(["10.0.0.0/24:80"], "10.0.0.9")).toBe("10.0.0.9:80");
    expect(await reached(["10.0.0.0/24:80"], "10.0.0.7")).toBe("ERR_TARGET_FORBIDDEN");
    expect(await reached(["10.0.0.7/32:80"], "10.0.0.7")).toBe("10.0.0.7:80");
  });

  it("are those of the moment at which a target is asked for", async () => {
    let interfaces: ReturnType<Interfaces> = {};
    const permissions = new Permissions(["*:80"], [], () => interfaces);
    expect(await dialled(permissions, tcp("203.0.113.77", 80))).toBe("203.0.113.77:80");
    interfaces = INTERFACES();
    expect(await dialled(permissions, tcp("203.0.113.77", 80))).toBe("ERR_TARGET_FORBIDDEN");
  });
});

describe("an IPv4 address that is translated to IPv6", () => {
  it.each(["*:80", "[::/0]:80", "[::ffff:0:0:0/96]:80", "[::ffff:0:a00:1/128]:80"])(
    "is not reached by %s",
    async (entry) => {
      for (const host of ["::ffff:0:10.0.0.1", "::ffff:0:a00:1", "::ffff:0:7f00:1"])
        expect(await dialled(new Permissions([entry]), tcp(host, 80))).toBe("ERR_TARGET_FORBIDDEN");
    },
  );
});

describe("a target without a host or a port", () => {
  it("is not reached by any pattern, and no look-up warns of it", async () => {
    const permissions = new Permissions(["*:*", "0.0.0.0/0:*", "*:*/udp"]);
    const warnings: Error[] = [];
    const hear = (warning: Error): number => warnings.push(warning);
    process.on("warning", hear);
    for (const target of [tcp("", 80), tcp("9.9.9.9", 0), { kind: "udp", host: "", port: 53 } as const])
      expect(await dialled(permissions, target)).toBe("ERR_TARGET_FORBIDDEN");
    await new Promise(setImmediate);
    process.off("warning", hear);
    expect(warnings).toEqual([]);
  });
});

describe("the entry that allows a target", () => {
  it("is the first that means it, hosts before patterns", async () => {
    const permissions = new Permissions(["*:80", "9.0.0.0/8:80", "db:80"], [], INTERFACES);
    expect(await permissions.allow(tcp("db", 80))).toEqual({ address: tcp("db", 80), entry: "db:80" });
    expect((await permissions.allow(tcp("9.9.9.9", 80))).entry).toBe("*:80");
  });
});

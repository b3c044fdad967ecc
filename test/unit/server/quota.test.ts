import { describe, expect, it } from "vitest";
import { quotaKey } from "../../../src/platform/source-rates.ts";
import { Quota } from "../../../src/server/client.ts";

describe("what counts as one address", () => {
  it("is a whole IPv4 address, in whatever clothes, and the /64 of IPv6", () => {
    expect(quotaKey("192.0.2.7")).toBe("192.0.2.7");
    expect(quotaKey("::ffff:192.0.2.7")).toBe("192.0.2.7");
    const one = quotaKey("2001:db8:1:2:3:4:5:6");
    expect(quotaKey("2001:db8:1:2::9")).toBe(one);
    expect(quotaKey("2001:db8:1:3::9")).not.toBe(one);
    expect(quotaKey("2001:db8::9")).toBe(quotaKey("2001:db8:0:0:1::"));
    expect(quotaKey("fe80::1%eth0")).toBe(quotaKey("fe80::2"));
    expect(quotaKey("::1")).toBe(quotaKey("::2"));
  });
});

describe("a quota", () => {
  it("is one for each address, and takes back what is given back", () => {
    const quota = new Quota(2);
    expect([quota.take("2001:db8::1"), quota.take("2001:db8::2"), quota.take("2001:db8::3")]).toEqual([
      true,
      true,
      false,
    ]);
    expect(quota.take("192.0.2.7")).toBe(true);
    quota.release("2001:db8::9");
    expect(quota.take("2001:db8::4")).toBe(true);
    expect(quota.take("2001:db8::4")).toBe(false);
  });
});

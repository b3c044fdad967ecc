import { describe, expect, it } from "vitest";
import {
  checkDescriptorLimit,
  descriptorError,
  NEEDED_DESCRIPTORS,
} from "../../../src/platform/descriptors.ts";

describe("the limit on open files", () => {
  it("is enough as the system has it, or where it is not known", () => {
    expect(() => checkDescriptorLimit()).not.toThrow();
    expect(() => checkDescriptorLimit(NEEDED_DESCRIPTORS)).not.toThrow();
  });

  it("is refused with what is allowed and what is needed", () => {
    expect(() => checkDescriptorLimit(64)).toThrow("64 open files are allowed, and srudp needs at least 80");
  });

  it.each(["EMFILE", "ENFILE"])("is known by %s where it is reached", (code) => {
    expect(descriptorError(Object.assign(new Error(), { code }))?.code).toBe("ERR_DESCRIPTORS");
    expect(descriptorError(Object.assign(new Error(), { code: "EACCES" }))).toBeUndefined();
  });
});

import { closeSync, openSync } from "node:fs";
import { devNull } from "node:os";
import { afterEach, expect, it } from "vitest";
import { DescriptorBudget, type Release } from "../../../src/platform/descriptor-budget.ts";

const opened: number[] = [];
afterEach(() => {
  for (const descriptor of opened.splice(0)) closeSync(descriptor);
});

/** The lowest number that is free. */
function next(): number {
  const descriptor = openSync(devNull, "r");
  closeSync(descriptor);
  return descriptor;
}

/** @returns admissions, and how often the shortage was reported */
function roomFor(connections: number): { admit: () => Release | undefined; reports: () => number } {
  const limit = next() + 8 + connections;
  const budget = new DescriptorBudget(() => limit);
  let reports = 0;
  const onShort = (): void => {
    reports++;
  };
  return { admit: () => budget.admit(onShort), reports: () => reports };
}

it("keeps descriptors free, refuses connections beyond, and reports that once", () => {
  const { admit, reports } = roomFor(10);
  const admitted = Array.from({ length: 20 }, () => admit());
  // The last one leaves eight.
  expect(admitted.filter((release) => release !== undefined)).toHaveLength(11);
  expect(reports()).toBe(1);
});

it("counts a connection that has its descriptor once, and one that was given up not at all", () => {
  const { admit } = roomFor(1);
  const first = admit()!;
  opened.push(openSync(devNull, "r"));
  first();
  first();
  const second = admit()!;
  expect(admit()).toBeUndefined();
  second();
  expect(admit()).toBeDefined();
});

it("reports anew after there was room in between", () => {
  const { admit, reports } = roomFor(9);
  const releases = Array.from({ length: 10 }, () => admit()!);
  expect(admit()).toBeUndefined();
  releases.pop()!();
  // Nearly short is no end of the shortage: it would be reported for every other connection.
  releases.push(admit()!);
  expect(admit()).toBeUndefined();
  expect(reports()).toBe(1);
  for (const release of releases.splice(0)) release();
  releases.push(...Array.from({ length: 10 }, () => admit()!));
  expect(admit()).toBeUndefined();
  expect(reports()).toBe(2);
});

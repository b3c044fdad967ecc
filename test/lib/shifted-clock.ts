/**
 * Preloaded into a process under test (`--import`): its wall clock is off by `SRUDP_TEST_CLOCK_SHIFT_MS`. Monotonic time
 * and timers are not touched, as on a machine whose clock was set wrongly.
 */
const shiftMs = Number(process.env.SRUDP_TEST_CLOCK_SHIFT_MS);
delete process.env.SRUDP_TEST_CLOCK_SHIFT_MS;
if (!Number.isFinite(shiftMs)) throw new Error("SRUDP_TEST_CLOCK_SHIFT_MS is not a number");

const SystemDate = Date;

globalThis.Date = new Proxy(SystemDate, {
  construct: (target, args, newTarget) =>
    Reflect.construct(target, args.length === 0 ? [SystemDate.now() + shiftMs] : args, newTarget),
  get: (target, property, receiver) =>
    property === "now" ? () => SystemDate.now() + shiftMs : Reflect.get(target, property, receiver),
});

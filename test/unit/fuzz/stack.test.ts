import { createSocket } from "node:dgram";
import { once } from "node:events";
import { expect, it } from "vitest";
import { handles } from "../../fuzz/stack/inventory.ts";
import { printScript, type Step, type Surroundings, scriptOf } from "../../fuzz/stack/script.ts";
import { Ledger, type World } from "../../fuzz/stack/world.ts";
import { broken } from "../../fuzz/target.ts";
import { Xorshift } from "../../fuzz/xorshift.ts";

const SURROUNDINGS: Surroundings = {
  targets: [{ kind: "udp", host: "127.0.0.1", port: 53 }],
  binds: [{ kind: "udp", host: "", port: 0 }],
  isInitiator: true,
  mostPhrases: 20,
};

const script = (seed: number): Step[] => scriptOf(new Xorshift(seed), SURROUNDINGS);

it("a script follows from its seed", () => {
  expect(printScript(script(5))).toBe(printScript(script(5)));
  expect(printScript(script(5))).not.toBe(printScript(script(6)));
});

it("scripts do everything that a peer can do, and mostly go on for long", () => {
  const done = new Set<string>();
  let steps = 0;
  for (let seed = 0; seed < 300; seed++) {
    for (const step of script(seed)) {
      done.add(step.do);
      steps++;
    }
  }
  const kinds = ["open", "control", "write", "fin", "reset", "stop", "datagram", "noise", "tcp", "udp"];
  expect([...done].sort()).toEqual(
    [...kinds, "deaf", "wait", "turns", "flush", "await", "vanish", "raw", "close"].sort(),
  );
  expect(steps / 300).toBeGreaterThan(40);
});

const DEADLINE = { restMs: 1, settleMs: 50 };

/** A world in which nothing happens. */
function quietWorld(): World {
  return {
    start: () => Promise.resolve(),
    attack: () => Promise.resolve(1),
    check: () => undefined,
    held: handles,
    // As of a process of its own: the objects of this one are those of the test runner.
    residentBytes: 0,
    stop: () => Promise.resolve(),
    print: () => "",
  };
}

it("a descriptor that is left behind is reported, once", async () => {
  const ledger = new Ledger(quietWorld(), DEADLINE);
  await ledger.begin();
  expect(await ledger.settle(1)).toBe("");
  const socket = createSocket("udp4").bind(0, "127.0.0.1");
  await once(socket, "listening");
  expect(await ledger.settle(1)).toMatch(/left behind: .*UDPWrap.*descriptors/);
  expect(await ledger.settle(1)).toBe("");
  socket.close();
});

it("memory that grows with the inputs is reported", async () => {
  let residentBytes = 1e8;
  const ledger = new Ledger(
    {
      ...quietWorld(),
      held: handles,
      get residentBytes() {
        return residentBytes;
      },
    },
    DEADLINE,
  );
  await ledger.begin();
  residentBytes += 40e6;
  await ledger.audit();
  residentBytes += 20e6;
  await expect(ledger.audit()).rejects.toThrow("memory grew by 60.0 MB");
});

it("what breaks the victim is reported before what is left behind", async () => {
  const ledger = new Ledger({ ...quietWorld(), check: () => broken("the victim has ended") }, DEADLINE);
  await ledger.begin();
  await expect(ledger.settle(1)).rejects.toThrow("the victim has ended");
});

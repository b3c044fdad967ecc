/** A router that no socket can be connected to, because the machine has no route to it. */
import { expect, it } from "vitest";
import { PortControlClient } from "../../../src/traversal/gather/port-mapping/port-control-client.ts";
import { within } from "../../lib/deadline.ts";

it("gives no mapping, and nothing is sent to it", async () => {
  // Without permission to broadcast, connecting fails as it does without a route.
  const client = new PortControlClient("255.255.255.255", 5351);
  expect(await within(client.map(4242, 4242, 60), 5000, () => "no answer")).toBeUndefined();
});

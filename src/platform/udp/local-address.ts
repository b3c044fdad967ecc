/** Which addresses lead back to this machine. */
import { networkInterfaces } from "node:os";

/** Whether a datagram to `address` never leaves this machine: a loopback address, or one of an own interface. */
export function isLocalAddress(
  address: string,
  interfaces: ReturnType<typeof networkInterfaces> = localInterfaces(),
): boolean {
  if (address.startsWith("127.") || address === "::1") return true;
  const plain = withoutZone(address);
  return Object.values(interfaces).some((entries) =>
    entries?.some((entry) => withoutZone(entry.address) === plain),
  );
}

/** Whether an interface of this machine that is up has this name. */
export function isInterface(name: string): boolean {
  return Object.hasOwn(localInterfaces(), name);
}

function localInterfaces(): ReturnType<typeof networkInterfaces> {
  try {
    return networkInterfaces();
  } catch {
    // The system refuses to list them, for want of descriptors perhaps: then none is known.
    return {};
  }
}

function withoutZone(address: string): string {
  return address.split("%", 1)[0]!;
}

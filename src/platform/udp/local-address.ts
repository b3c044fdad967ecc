/** Checks whether an address belongs to this machine. */
import { networkInterfaces } from "node:os";

/**
 * Whether a datagram to `address` never leaves this machine: a loopback address, or an address of a
 * local interface.
 */
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

/** Whether this machine has an interface of this name that is up. */
export function isInterface(name: string): boolean {
  return Object.hasOwn(localInterfaces(), name);
}

function localInterfaces(): ReturnType<typeof networkInterfaces> {
  try {
    return networkInterfaces();
  } catch {
    // The system failed to list the interfaces, perhaps because descriptors ran out.
    return {};
  }
}

function withoutZone(address: string): string {
  return address.split("%", 1)[0]!;
}

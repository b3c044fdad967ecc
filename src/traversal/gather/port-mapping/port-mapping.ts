/** Types shared by the port-mapping protocols. */

/** A public port that leads to this machine. */
export interface PortMapping {
  readonly address: string;
  readonly port: number;
  /** Lifetime without renewal; 0 for unlimited. */
  readonly lifetimeS: number;
}

/** One protocol to ask one router. */
export interface PortMappingProtocol {
  /** The protocol's common name. */
  readonly name: string;
  /** Requests or renews a public UDP port; undefined when none is granted. */
  map(internalPort: number, externalPort: number, lifetimeS: number): Promise<PortMapping | undefined>;
  /** Releases what `map` got; ignores failures. */
  unmap(internalPort: number): Promise<void>;
}

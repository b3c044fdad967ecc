/** What the protocols for public ports have in common. */

/** A public port that leads here. */
export interface PortMapping {
  readonly address: string;
  readonly port: number;
  /** How long the router keeps it unless it is asked again; 0 for ever. */
  readonly lifetimeS: number;
}

/** One way to ask one router. */
export interface PortMappingProtocol {
  /** As people know it. */
  readonly name: string;
  /** Asks for a public UDP port, or once more for one that is there; undefined when there is none to be had. */
  map(internalPort: number, externalPort: number, lifetimeS: number): Promise<PortMapping | undefined>;
  /** Takes away what `map` got; says nothing when that fails. */
  unmap(internalPort: number): Promise<void>;
}

/**
 * A Linux UDP socket with features that `dgram` does not provide: one system call for a burst of
 * datagrams (UDP_SEGMENT), one buffer for many received ones (UDP_GRO), don't-fragment, and large
 * buffers. This module opens the descriptor and passes it to `dgram`, which closes it, polls it,
 * and receives the first of the waiting datagrams. This module receives the other waiting datagrams
 * and sends bursts. A feature that the kernel or the network card refuses is disabled, at once or
 * when it fails.
 *
 * Read first: udp(7), ip(7), cmsg(3). Structures have the layout of 64-bit little-endian systems.
 */
import { endianness } from "node:os";
import { getSystemErrorName } from "node:util";
import { IPV4_BYTES, ipFromBytes, ipToBytes } from "../../wire/ip-address.ts";
import { type Native, type NativeFunction, native } from "../native.ts";

// Constants of the kernel's interface, the same on all supported architectures.
const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0x800;
const SOCK_CLOEXEC = 0x80000;
const MSG_DONTWAIT = 0x40;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_BUFFER = { receive: 8, send: 7, receiveBeyondLimit: 33, sendBeyondLimit: 32 } as const;
const SOL_UDP = 17;
const UDP_SEGMENT = 103;
const UDP_GRO = 104;
const IPPROTO_IP = 0;
const IP_MTU_DISCOVER = 10;
const IP_MTU = 14;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const IPV6_MTU_DISCOVER = 23;
const IPV6_MTU = 24;
/**
 * Sets don't-fragment and ignores the path MTU that routers report, because the engine probes the
 * path itself.
 */
const PMTUDISC_PROBE = 3;
const EAGAIN = 11;
const ENOBUFS = 105;
/** Errors that disable segmentation on a socket: no checksum offload, or no support. */
const NO_SEGMENTATION: ReadonlySet<number> = new Set([5 /* EIO */, 22 /* EINVAL */, 95 /* EOPNOTSUPP */]);

const ARCHITECTURES: ReadonlySet<string> = new Set(["x64", "arm64", "riscv64"]);
const MSGHDR_BYTES = 56;
const IOVEC_BYTES = 16;
const CMSGHDR_BYTES = 16;
/** A cmsghdr and a 16-bit number, rounded up to 8. */
const CONTROL_BYTES = 24;
const MAX_SOCKADDR_BYTES = 28;
/** Maximum length of an interface name, including its terminating zero. */
const IF_NAMESIZE = 16;
/** Limits of one call: the largest UDP payload, and UDP_MAX_SEGMENTS of older kernels. */
const MAX_CALL_BYTES = 65_507;
const MAX_CALL_SEGMENTS = 64;
/** A received buffer is at most 64 KiB, coalesced or not. */
const RECEIVE_BYTES = 65_536;
const SOCKADDR_BYTES = { 4: 16, 6: 28 } as const;
const IP_HEADER_BYTES = { 4: 20, 6: 40 } as const;
const UDP_HEADER_BYTES = 8;

interface SystemCalls {
  readonly socket: NativeFunction;
  readonly bind: NativeFunction;
  readonly connect: NativeFunction;
  readonly setOption: NativeFunction;
  readonly getOption: NativeFunction;
  readonly sendMessage: NativeFunction;
  readonly receiveMessage: NativeFunction;
  readonly nameOfInterface: NativeFunction;
  readonly close: NativeFunction;
  /**
   * The receive buffer of all sockets. Probing may open hundreds of sockets, but only one is read
   * at a time.
   */
  readonly received: Block;
  readonly native: Native;
}

let calls: SystemCalls | undefined;
let isLookedFor = false;

/** Undefined on another kernel, without koffi, or if SRUDP_OFFLOAD is "off". */
function systemCalls(): SystemCalls | undefined {
  if (isLookedFor) return calls;
  isLookedFor = true;
  const isKnown = process.platform === "linux" && endianness() === "LE" && ARCHITECTURES.has(process.arch);
  const functions = isKnown && process.env.SRUDP_OFFLOAD !== "off" ? native() : undefined;
  if (functions !== undefined) calls = findCalls(functions);
  return calls;
}

function findCalls(functions: Native): SystemCalls | undefined {
  const { find } = functions;
  const address = "uintptr_t";
  try {
    return {
      socket: find("socket", "int", ["int", "int", "int"]),
      bind: find("bind", "int", ["int", address, "uint32_t"]),
      connect: find("connect", "int", ["int", address, "uint32_t"]),
      setOption: find("setsockopt", "int", ["int", "int", "int", address, "uint32_t"]),
      getOption: find("getsockopt", "int", ["int", "int", "int", address, address]),
      sendMessage: find("sendmsg", "intptr_t", ["int", address, "int"]),
      receiveMessage: find("recvmsg", "intptr_t", ["int", address, "int"]),
      nameOfInterface: find("if_indextoname", address, ["uint32_t", address]),
      close: find("close", "int", ["int"]),
      received: new Block(functions, RECEIVE_BYTES),
      native: functions,
    };
  } catch {
    // The C library is a different one.
    return undefined;
  }
}

/** The descriptor of a socket, before and after it is passed to `dgram`. */
export class OffloadSocket {
  readonly descriptor: number;
  readonly family: 4 | 6;
  /** Whether one received buffer may contain several datagrams. */
  readonly isCoalescing: boolean;
  /** Whether datagrams are sent unfragmented or not at all. */
  readonly isUnfragmented: boolean;
  /** Whether the kernel or the network card segments bursts. Set to false when that fails. */
  isSegmenting: boolean;
  /** Bursts that failed permanently: no route, too large, forbidden. */
  sendErrors = 0;

  /** The source of the datagrams that `receive` returned last. */
  fromAddress = "";
  fromPort = 0;

  readonly #calls: SystemCalls;
  readonly #peer: SocketAddress;
  readonly #sending: Message;
  readonly #receiving: Message;
  readonly #from: Block;
  /** The raw sender address that `fromAddress` was formatted from. */
  readonly #fromBytes: Uint8Array;
  /** The buffer that was sent from last. The reference keeps its address valid. */
  #latest: Uint8Array | undefined;
  #latestAt = 0;

  private constructor(system: SystemCalls, descriptor: number, family: 4 | 6) {
    this.#calls = system;
    this.descriptor = descriptor;
    this.family = family;
    this.#peer = new SocketAddress(system, family);
    this.#sending = new Message(system, this.#peer.block, SOCKADDR_BYTES[family]);
    this.#from = new Block(system.native, MAX_SOCKADDR_BYTES);
    this.#fromBytes = new Uint8Array(SOCKADDR_BYTES[family]);
    this.#receiving = new Message(system, this.#from, SOCKADDR_BYTES[family]);
    this.#receiving.setPart(system.received.at, RECEIVE_BYTES);
    this.isCoalescing = this.#set(SOL_UDP, UDP_GRO, 1);
    // A segment size of 0 changes nothing. It only tests whether the kernel supports the option.
    this.isSegmenting = this.#set(SOL_UDP, UDP_SEGMENT, 0);
    this.isUnfragmented =
      family === 4
        ? this.#set(IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE)
        : this.#set(IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE);
  }

  /**
   * Opens a socket bound to `address` and `port`. Returns undefined if offload is not supported.
   *
   * @param functions the native functions; tests pass ones that fail
   * @throws NodeJS.ErrnoException like `dgram` when the address or the port is not available
   */
  static open(family: 4 | 6, address: string, port: number, functions?: Native): OffloadSocket | undefined {
    const system = functions === undefined ? systemCalls() : findCalls(functions);
    if (system === undefined) return undefined;
    const socketAddress = new SocketAddress(system, family);
    // Scoped addresses are left to dgram, which resolves the interface.
    if (!socketAddress.set(address, port)) return undefined;
    const domain = family === 4 ? AF_INET : AF_INET6;
    const descriptor = system.socket(domain, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return undefined;
    const socket = new OffloadSocket(system, descriptor, family);
    if (family === 6) socket.#set(IPPROTO_IPV6, IPV6_V6ONLY, 1);
    if (system.bind(descriptor, socketAddress.block.at, SOCKADDR_BYTES[family]) === 0) return socket;
    const errno = system.native.errno();
    socket.close();
    const code = getSystemErrorName(-errno);
    throw Object.assign(new Error(`bind ${code} ${address}:${port}`), {
      code,
      errno: -errno,
      syscall: "bind",
    });
  }

  /** The active offloads, as text for users. */
  get names(): string {
    const { isSegmenting, isCoalescing, isUnfragmented } = this;
    const names = [isSegmenting && "GSO", isCoalescing && "GRO", isUnfragmented && "don't-fragment"];
    return names.filter((name) => name !== false).join(", ") || "none";
  }

  /** Requests buffers of `bytes`, beyond the system's limit if the process is privileged. */
  requestBuffers(bytes: number): void {
    if (!this.#set(SOL_SOCKET, SO_BUFFER.receiveBeyondLimit, bytes))
      this.#set(SOL_SOCKET, SO_BUFFER.receive, bytes);
    if (!this.#set(SOL_SOCKET, SO_BUFFER.sendBeyondLimit, bytes))
      this.#set(SOL_SOCKET, SO_BUFFER.send, bytes);
  }

  /**
   * libuv sets SO_REUSEADDR on a descriptor that it receives, which would let another process bind
   * the same port. This method clears it.
   */
  forbidPortReuse(): void {
    this.#set(SOL_SOCKET, SO_REUSEADDR, 0);
  }

  /**
   * Sends bytes[0, length) as datagrams of `segmentBytes`; the last one may be shorter. Returns how
   * many bytes were handled, whether sent or failed. The rest was not accepted, because there is no
   * room or the call is not possible.
   */
  send(bytes: Uint8Array, length: number, segmentBytes: number, address: string, port: number): number {
    if (!this.#peer.set(address, port)) return 0;
    if (bytes !== this.#latest) {
      this.#latestAt = this.#calls.native.addressOf(bytes);
      this.#latest = bytes;
    }
    const callSegments = Math.max(1, Math.min(MAX_CALL_SEGMENTS, Math.floor(MAX_CALL_BYTES / segmentBytes)));
    let at = 0;
    while (at < length) {
      const part = Math.min(this.isSegmenting ? callSegments * segmentBytes : segmentBytes, length - at);
      const errno = this.#sendPart(at, part, segmentBytes);
      if (errno === EAGAIN || errno === ENOBUFS) return at;
      if (part > segmentBytes && NO_SEGMENTATION.has(errno)) {
        this.isSegmenting = false;
        continue;
      }
      if (errno !== 0) this.sendErrors++;
      at += part;
    }
    return length;
  }

  /**
   * Receives waiting datagrams from `fromAddress` and `fromPort`: one, or several coalesced ones.
   * Returns undefined when none waits. The bytes are valid until the next call on any socket.
   */
  receive(): Uint8Array | undefined {
    this.#receiving.setNameBytes(SOCKADDR_BYTES[this.family]);
    const length = this.#calls.receiveMessage(this.descriptor, this.#receiving.at, MSG_DONTWAIT);
    // The error is an ICMP error for an earlier send, which anyone can forge.
    if (length < 0) return undefined;
    this.#updateSender();
    return this.#calls.received.bytes.subarray(0, length);
  }

  /** Closes the descriptor. Must not be called once `dgram` has it. */
  close(): void {
    this.#calls.close(this.descriptor);
  }

  /** Returns the errno, or 0 when the datagrams were sent. */
  #sendPart(at: number, length: number, segmentBytes: number): number {
    this.#sending.setPart(this.#latestAt + at, length);
    this.#sending.setSegments(length > segmentBytes ? segmentBytes : 0);
    if (this.#calls.sendMessage(this.descriptor, this.#sending.at, MSG_DONTWAIT) >= 0) return 0;
    return this.#calls.native.errno();
  }

  /** The sender is usually the same as before. */
  #updateSender(): void {
    const known = this.#fromBytes;
    const { bytes } = this.#from;
    let isKnown = this.fromPort !== 0;
    for (let i = 0; i < known.length && isKnown; i++) isKnown = known[i] === bytes[i];
    if (isKnown) return;
    known.set(bytes.subarray(0, known.length));
    this.fromPort = (known[2]! << 8) | known[3]!;
    this.fromAddress = ipFromBytes(this.family === 4 ? known.subarray(4, 8) : known.subarray(8, 24));
    const scope = this.family === 6 ? this.#from.u32(24) : 0;
    if (scope !== 0) this.fromAddress += `%${this.#nameOf(scope)}`;
  }

  /** The interface of a link-local address, in the spelling of `dgram`. */
  #nameOf(scope: number): string {
    const name = new Block(this.#calls.native, IF_NAMESIZE);
    if (this.#calls.nameOfInterface(scope, name.at) === 0) return String(scope);
    return String.fromCharCode(...name.bytes.subarray(0, name.bytes.indexOf(0)));
  }

  #set(level: number, name: number, value: number): boolean {
    return setOption(this.#calls, this.descriptor, level, name, value);
  }
}

/**
 * The offloads of this process's sockets, as text for users: "GSO, GRO, don't-fragment" or "none".
 */
export function offloadNames(): string {
  const socket = OffloadSocket.open(4, "127.0.0.1", 0);
  socket?.close();
  return socket?.names ?? "none";
}

/**
 * Largest UDP payload that the interface towards `address` sends unfragmented; undefined if it is
 * not known.
 */
export function payloadTowards(family: 4 | 6, address: string): number | undefined {
  const system = systemCalls();
  if (system === undefined) return undefined;
  const peer = new SocketAddress(system, family);
  // Connecting a UDP socket sends no packet and only looks up the route. The port (discard) does
  // not matter.
  if (!peer.set(address, 9)) return undefined;
  const descriptor = system.socket(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) return undefined;
  const answer = new Block(system.native, 8);
  answer.setU32(4, 4);
  const [level, option] = family === 4 ? [IPPROTO_IP, IP_MTU] : [IPPROTO_IPV6, IPV6_MTU];
  const isKnown =
    system.connect(descriptor, peer.block.at, SOCKADDR_BYTES[family]) === 0 &&
    system.getOption(descriptor, level, option, answer.at, answer.at + 4) === 0;
  system.close(descriptor);
  return isKnown ? answer.u32(0) - IP_HEADER_BYTES[family] - UDP_HEADER_BYTES : undefined;
}

function setOption(
  system: SystemCalls,
  descriptor: number,
  level: number,
  name: number,
  value: number,
): boolean {
  const block = new Block(system.native, 4);
  block.setU32(0, value);
  return system.setOption(descriptor, level, name, block.at, 4) === 0;
}

/**
 * Memory of this process that the kernel reads or writes. Its address is valid as long as the
 * object exists.
 */
class Block {
  readonly at: number;
  readonly bytes: Uint8Array;
  readonly #view: DataView;

  constructor({ addressOf }: Native, byteLength: number) {
    this.bytes = new Uint8Array(byteLength);
    // Taking the address moves a small array out of V8's heap permanently. The view must be created
    // after that.
    this.at = addressOf(this.bytes);
    this.#view = new DataView(this.bytes.buffer);
  }

  u32(at: number): number {
    return this.#view.getUint32(at, true);
  }

  setU16(at: number, value: number): void {
    this.#view.setUint16(at, value, true);
  }

  setU32(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
  }

  /** Writes an address or a size: 64 bits. */
  setAddress(at: number, value: number): void {
    this.#view.setUint32(at, value, true);
    this.#view.setUint32(at + 4, Math.floor(value / 0x1_0000_0000), true);
  }
}

/** `struct msghdr` with one buffer, the remote address, and room for the segment size. */
class Message {
  readonly #header: Block;
  readonly #part: Block;
  readonly #control: Block;

  constructor(system: SystemCalls, name: Block, nameBytes: number) {
    this.#header = new Block(system.native, MSGHDR_BYTES);
    this.#part = new Block(system.native, IOVEC_BYTES);
    this.#control = new Block(system.native, CONTROL_BYTES);
    this.#header.setAddress(0, name.at);
    this.setNameBytes(nameBytes);
    this.#header.setAddress(16, this.#part.at);
    this.#header.setAddress(24, 1);
    // struct cmsghdr followed by one 16-bit number.
    this.#control.setAddress(0, CMSGHDR_BYTES + 2);
    this.#control.setU32(8, SOL_UDP);
    this.#control.setU32(12, UDP_SEGMENT);
  }

  get at(): number {
    return this.#header.at;
  }

  setNameBytes(nameBytes: number): void {
    this.#header.setU32(8, nameBytes);
  }

  setPart(address: number, byteLength: number): void {
    this.#part.setAddress(0, address);
    this.#part.setAddress(8, byteLength);
  }

  /** @param segmentBytes 0 for one datagram */
  setSegments(segmentBytes: number): void {
    const isBurst = segmentBytes > 0;
    if (isBurst) this.#control.setU16(CMSGHDR_BYTES, segmentBytes);
    this.#header.setAddress(32, isBurst ? this.#control.at : 0);
    this.#header.setAddress(40, isBurst ? CONTROL_BYTES : 0);
  }
}

/** `struct sockaddr_in` or `sockaddr_in6`. */
class SocketAddress {
  readonly block: Block;
  readonly #family: 4 | 6;
  #address = "";
  #port = -1;

  constructor(system: SystemCalls, family: 4 | 6) {
    this.#family = family;
    this.block = new Block(system.native, SOCKADDR_BYTES[family]);
    this.block.setU16(0, family === 4 ? AF_INET : AF_INET6);
  }

  /**
   * Sets the address. Returns false if it is not a numeric address of the family. Usually it equals
   * the current one.
   */
  set(address: string, port: number): boolean {
    if (address !== this.#address) {
      const bytes = ipToBytes(address);
      if (bytes === undefined || (bytes.length === IPV4_BYTES) !== (this.#family === 4)) return false;
      this.block.bytes.set(bytes, this.#family === 4 ? 4 : 8);
      this.#address = address;
    }
    if (port !== this.#port) {
      this.block.bytes[2] = port >>> 8;
      this.block.bytes[3] = port;
      this.#port = port;
    }
    return true;
  }
}

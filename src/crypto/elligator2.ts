/**
 * The map from field elements to points of Curve25519 with which CPace derives its generator,
 * u-coordinate only.
 *
 * Uses BigInt, once per PAKE and not per packet. Every input takes the same steps with the same
 * exponents, but BigInt itself is not constant-time. An attacker who measures on this machine
 * learns at most a hash of the password. Rejected: importing the curves package for these few
 * lines, because it takes 30 ms to load and exports the map only under a private name.
 * Read first: RFC 9380 §6.7.1.
 */

const P = 2n ** 255n - 19n;
/** Coefficient of the curve v² = u³ + J·u² + u. RFC 7748 §4.1 */
const J = 486662n;
/** A non-square of the field. RFC 9380 §6.7.1 with §G.2.1 */
const Z = 2n;

function modulo(value: bigint): bigint {
  const rest = value % P;
  return rest < 0n ? rest + P : rest;
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (let bit = 254n; bit >= 0n; bit--) {
    result = modulo(result * result);
    if ((exponent >> bit) & 1n) result = modulo(result * base);
  }
  return result;
}

/**
 * The u-coordinate (32 bytes, little-endian) of the point that the 32 bytes of `hash` map to.
 * `hash` is read like a u-coordinate: little-endian, bit 255 ignored, reduced.  // RFC 7748 §5
 */
export function mapToCurve25519(hash: Uint8Array): Uint8Array {
  let r = 0n;
  for (let i = 31; i >= 0; i--) r = (r << 8n) | BigInt(i === 31 ? hash[i]! & 0x7f : hash[i]!);

  // 1 + Z·r² is never zero, because -1 is a square and Z is not.
  const first = modulo(-J * power(modulo(1n + Z * r * r), P - 2n));
  const second = modulo(-first - J);
  // Exactly one of the two candidates is on the curve. The Legendre symbol of the first determines
  // which.
  const right = modulo(modulo(first * first + J * first + 1n) * first);
  const isSquare = power(right, (P - 1n) / 2n) <= 1n ? 1n : 0n;
  let u = isSquare * first + (1n - isSquare) * second;

  const bytes = new Uint8Array(32);
  for (let i = 0; i < 32; i++, u >>= 8n) bytes[i] = Number(u & 0xffn);
  return bytes;
}

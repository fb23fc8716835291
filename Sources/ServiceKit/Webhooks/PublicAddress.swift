internal import Glibc

/// Whether an IP address is one of the public internet: what a stranger's URL may make us connect to. Everything else is
/// refused: loopback, private and shared ranges, link-local with the clouds' metadata services, multicast, documentation,
/// and every way to write an IPv4 address inside an IPv6 one (IANA's special-purpose registries, RFC 6890).
package enum PublicAddress {
  /// - Parameter host: a numeric address; anything else is not public.
  package static func contains(_ host: String) -> Bool {
    var v4 = in_addr()
    if inet_pton(AF_INET, host, &v4) == 1 { return isPublic(v4: UInt32(bigEndian: v4.s_addr)) }
    var v6 = in6_addr()
    guard inet_pton(AF_INET6, host, &v6) == 1 else { return false }
    return isPublic(v6: withUnsafeBytes(of: &v6) { Array($0) })
  }

  private static let specialV4: [(network: UInt32, bits: UInt32)] = [
    (0x0000_0000, 8), (0x0A00_0000, 8), (0x6440_0000, 10), (0x7F00_0000, 8), (0xA9FE_0000, 16), (0xAC10_0000, 12),
    (0xC000_0000, 24), (0xC000_0200, 24), (0xC058_6300, 24), (0xC0A8_0000, 16), (0xC612_0000, 15), (0xC633_6400, 24),
    (0xCB00_7100, 24), (0xE000_0000, 4), (0xF000_0000, 4),
  ]

  private static func isPublic(v4 address: UInt32) -> Bool {
    !specialV4.contains { (address ^ $0.network) >> (32 - $0.bits) == 0 }
  }

  /// Global unicast (2000::/3), without what in it is not: 2001::/23 (protocols, Teredo), documentation, 6to4.
  private static func isPublic(v6 address: [UInt8]) -> Bool {
    let first = UInt16(address[0]) << 8 | UInt16(address[1])
    let second = UInt16(address[2]) << 8 | UInt16(address[3])
    guard first & 0xE000 == 0x2000 else { return false }
    switch first {
    case 0x2001: return second >= 0x0200 && second != 0x0DB8
    case 0x2002: return false
    case 0x3FFF: return second >= 0x1000
    default: return true
    }
  }
}

import TLSSession

/// The name of a user's secret, as AWS Secrets Manager may carry it: `emailmcp/users/{user}/gmail`, and for a tenant
/// other than `default`, `emailmcp/tenants/{tenant}/users/{user}/gmail`.
///
/// A name is made of ASCII letters, digits and `/_+=.@-`. A user id is any text, so it is encoded one-to-one: letters,
/// digits and `_.@-` stand for themselves, every other byte of its UTF-8 is `+` and two hex digits (an id of dots alone
/// is encoded whole). No id can so reach another's name. An id too long for a name is `=` and its SHA-256.
struct SecretName: Hashable {
  let text: String

  /// Bytes that the user's part may have, so that the whole stays within the 512 that a name may have.
  static let maxUserLength = 384

  init(_ owner: SecretOwner) {
    let prefix = owner.tenant == "default" ? "emailmcp" : "emailmcp/tenants/\(owner.tenant)"
    let leaf = owner.provider == "gmail_api" ? "gmail" : owner.provider
    text = "\(prefix)/users/\(Self.encode(owner.user))/\(leaf)"
  }

  static func encode(_ user: String) -> String {
    let onlyDots = user.utf8.allSatisfy { $0 == UInt8(ascii: ".") }
    var bytes: [UInt8] = []
    for byte in user.utf8 {
      if isPlain(byte) && !onlyDots {
        bytes.append(byte)
      } else {
        bytes.append(UInt8(ascii: "+"))
        for nibble in [byte >> 4, byte & 15] {
          bytes.append(nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "A") + nibble - 10)
        }
      }
      if bytes.count > maxUserLength { return "=" + Hex.encode(SHA256.hash(Array(user.utf8))) }
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  private static func isPlain(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "."), UInt8(ascii: "@"), UInt8(ascii: "-"):
      true
    default: false
    }
  }
}

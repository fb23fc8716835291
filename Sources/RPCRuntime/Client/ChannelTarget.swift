import EventLoop

/// Where a channel goes, in gRPC's name syntax: `dns:///host:port` (also `dns:host:port` and plain `host:port`),
/// `ipv4:1.2.3.4:80,5.6.7.8:80`, `ipv6:[::1]:80`, `unix:PATH`, `unix-abstract:NAME`. An IPv6 address may have its interface:
/// `[fe80::1%25eth0]:80` as in URIs (RFC 6874), or plain `%eth0`.
///
/// Spec: https://github.com/grpc/grpc/blob/master/doc/naming.md
public struct ChannelTarget: Sendable, Hashable, CustomStringConvertible {
  enum Kind: Hashable {
    case name(host: String, port: UInt16)
    case addresses([SocketAddress])
  }

  let kind: Kind
  /// What is sent as `:authority` unless the channel says otherwise.
  let authority: String
  /// The target as it was written.
  public let description: String
  /// The same with its scheme: what metrics call it (proposal A66, `grpc.target`).
  let uri: String

  /// What a name without a port means.
  static let defaultPort: UInt16 = 443

  /// - Throws: `RPCError` INVALID_ARGUMENT that says what is wrong with the text.
  public init(_ text: String) throws(RPCError) {
    description = text
    do {
      if let rest = text.without("unix:") {
        let path = rest.without("//") ?? rest
        guard path == rest || path.hasPrefix("/") else {
          throw SocketAddressError(message: "an absolute path follows unix://")
        }
        kind = .addresses([try SocketAddress(path: path)])
        authority = "localhost"
        uri = text
      } else if let name = text.without("unix-abstract:") {
        kind = .addresses([try SocketAddress(abstractName: name)])
        authority = "localhost"
        uri = text
      } else if let rest = text.without("ipv4:") ?? text.without("ipv6:") {
        let addresses = try rest.split(separator: ",", omittingEmptySubsequences: false).map {
          let (host, port) = try Self.hostPort(String($0))
          return try SocketAddress(numericHost: host, port: port)
        }
        kind = .addresses(addresses)
        authority = "\(addresses[0])".withoutInterface
        uri = text
      } else {
        if let scheme = text.firstRange(of: "://"), text.without("dns:") == nil {
          throw SocketAddressError(message: "there is no scheme \(text[..<scheme.lowerBound])")
        }
        var rest = text.without("dns:") ?? text
        if let name = rest.without("//") {
          // dns://server/name: a name server of one's own is not supported.
          guard let path = name.without("/") else { throw SocketAddressError(message: "a DNS server cannot be chosen") }
          rest = path
        }
        let (host, port) = try Self.hostPort(rest)
        kind = .name(host: host, port: port)
        authority = rest.withoutInterface
        uri = text.hasPrefix("dns:") ? text : "dns:///\(rest)"
      }
    } catch {
      throw RPCError(.invalidArgument, "\"\(text)\" is no target: \(error)", cause: error)
    }
  }

  private static func hostPort(_ text: String) throws -> (String, UInt16) {
    guard case .hostPort(let host, let port) = try ListenAddress(text.hasPort ? text : "\(text):\(defaultPort)"),
      !host.isEmpty
    else { throw SocketAddressError(message: "no host") }
    guard port > 0 else { throw SocketAddressError(message: "a port is a number from 1 to 65535") }
    return (host.replacing("%25", with: "%"), port)
  }
}

extension String {
  fileprivate func without(_ prefix: String) -> String? { hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil }

  /// The authority without the interface of its IPv6 address, which means something on this machine alone and is not sent
  /// (RFC 6874 section 4).
  fileprivate var withoutInterface: String {
    guard let start = firstIndex(of: "%"), let end = lastIndex(of: "]"), start < end else { return self }
    return "\(self[..<start])\(self[end...])"
  }

  /// Whether a port follows the host, which may be an IPv6 address in brackets.
  fileprivate var hasPort: Bool {
    guard let colon = lastIndex(of: ":") else { return false }
    return lastIndex(of: "]").map { $0 < colon } ?? true
  }
}

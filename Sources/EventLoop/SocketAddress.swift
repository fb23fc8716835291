import CLinux
import Glibc

/// An address of a stream socket: IPv4, IPv6 or a path.
public struct SocketAddress: Sendable, Hashable, CustomStringConvertible {
  public enum Family: Sendable, Hashable { case ipv4, ipv6, unix }

  public let family: Family
  /// The numeric host, or the path; a NUL and the name in the abstract namespace.
  public let host: String
  /// 0 for a path.
  public let port: UInt16
  /// The interface of a link-local IPv6 address; else 0.
  let scope: UInt32

  /// - Throws: `SocketAddressError` when `host` is not a numeric IPv4 or IPv6 address (RFC 4007 section 11: `fe80::1%eth0`
  ///   has its interface, by name or number).
  public init(numericHost host: String, port: UInt16) throws(SocketAddressError) {
    var v4 = in_addr()
    var v6 = in6_addr()
    let parts = host.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
    if inet_pton(AF_INET, host, &v4) == 1 {
      self.init(family: .ipv4, host: host, port: port, scope: 0)
    } else if inet_pton(AF_INET6, parts[0], &v6) == 1 {
      let scope = parts.count == 1 ? 0 : try Self.interface(parts[1])
      self.init(family: .ipv6, host: parts[0], port: port, scope: scope)
    } else {
      throw SocketAddressError(message: "\"\(host)\" is not a numeric IP address")
    }
  }

  private static func interface(_ name: String) throws(SocketAddressError) -> UInt32 {
    let number = UInt32(name) ?? if_nametoindex(name)
    guard number > 0 else { throw SocketAddressError(message: "there is no network interface \"\(name)\"") }
    return number
  }

  /// The longest path that `sockaddr_un` holds with its final NUL.
  public static let maxPathLength = 107

  /// - Throws: `SocketAddressError` when the path is empty or longer than `maxPathLength` bytes.
  public init(path: String) throws(SocketAddressError) {
    guard !path.isEmpty, path.utf8.count <= Self.maxPathLength, !path.utf8.contains(0) else {
      throw SocketAddressError(message: "a socket path has 1 to \(Self.maxPathLength) bytes: \"\(path)\"")
    }
    self.init(family: .unix, host: path, port: 0, scope: 0)
  }

  /// A name in Linux' abstract namespace (unix(7)), which has no file and no permissions.
  ///
  /// - Throws: `SocketAddressError` when the name is empty or longer than `maxPathLength` bytes.
  public init(abstractName name: String) throws(SocketAddressError) {
    guard !name.isEmpty, name.utf8.count <= Self.maxPathLength, !name.utf8.contains(0) else {
      throw SocketAddressError(message: "an abstract socket's name has 1 to \(Self.maxPathLength) bytes: \"\(name)\"")
    }
    self.init(family: .unix, host: "\0\(name)", port: 0, scope: 0)
  }

  private var isAbstract: Bool { family == .unix && host.utf8.first == 0 }

  private init(family: Family, host: String, port: UInt16, scope: UInt32) {
    self.family = family
    self.host = host
    self.port = port
    self.scope = scope
  }

  public var description: String {
    switch family {
    case .ipv4: "\(host):\(port)"
    case .ipv6: "[\(host)\(scope == 0 ? "" : "%\(scope)")]:\(port)"
    case .unix: isAbstract ? "unix-abstract:\(host.dropFirst())" : "unix:\(host)"
    }
  }

  public var isLoopback: Bool {
    switch family {
    case .ipv4: host.hasPrefix("127.")
    case .ipv6: host == "::1"
    case .unix: true
    }
  }

  // MARK: sockaddr

  var domain: Int32 {
    switch family {
    case .ipv4: AF_INET
    case .ipv6: AF_INET6
    case .unix: AF_UNIX
    }
  }

  func withSockaddr<R>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> R) -> R {
    var storage = sockaddr_storage()
    let length = fill(&storage)
    return withUnsafePointer(to: &storage) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
    }
  }

  private func fill(_ storage: inout sockaddr_storage) -> socklen_t {
    withUnsafeMutableBytes(of: &storage) { bytes in
      switch family {
      case .ipv4:
        let address = bytes.baseAddress!.assumingMemoryBound(to: sockaddr_in.self)
        address.pointee.sin_family = sa_family_t(AF_INET)
        address.pointee.sin_port = port.bigEndian
        inet_pton(AF_INET, host, &address.pointee.sin_addr)
        return socklen_t(MemoryLayout<sockaddr_in>.size)
      case .ipv6:
        let address = bytes.baseAddress!.assumingMemoryBound(to: sockaddr_in6.self)
        address.pointee.sin6_family = sa_family_t(AF_INET6)
        address.pointee.sin6_port = port.bigEndian
        address.pointee.sin6_scope_id = scope
        inet_pton(AF_INET6, host, &address.pointee.sin6_addr)
        return socklen_t(MemoryLayout<sockaddr_in6>.size)
      case .unix:
        bytes.storeBytes(of: sa_family_t(AF_UNIX), as: sa_family_t.self)
        let offset = MemoryLayout<sockaddr_un>.offset(of: \.sun_path)!
        for (index, byte) in host.utf8.enumerated() { bytes[offset + index] = byte }
        // Of an abstract name every byte counts; a path ends with a NUL.
        return socklen_t(offset + host.utf8.count + (isAbstract ? 0 : 1))
      }
    }
  }

  /// Reads an address that the system filled in. Nil for a family other than the three.
  init?(_ storage: inout sockaddr_storage, length: socklen_t) {
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    switch Int32(storage.ss_family) {
    case AF_INET:
      var address = withUnsafeBytes(of: &storage) { $0.load(as: sockaddr_in.self) }
      inet_ntop(AF_INET, &address.sin_addr, &text, socklen_t(text.count))
      self.init(
        family: .ipv4, host: String(nulTerminated: text), port: UInt16(bigEndian: address.sin_port), scope: 0)
    case AF_INET6:
      var address = withUnsafeBytes(of: &storage) { $0.load(as: sockaddr_in6.self) }
      inet_ntop(AF_INET6, &address.sin6_addr, &text, socklen_t(text.count))
      self.init(
        family: .ipv6, host: String(nulTerminated: text), port: UInt16(bigEndian: address.sin6_port),
        scope: address.sin6_scope_id)
    case AF_UNIX:
      let offset = MemoryLayout<sockaddr_un>.offset(of: \.sun_path)!
      let path = withUnsafeBytes(of: &storage) { bytes in
        let name = bytes[min(offset, Int(length))..<Int(length)]
        return String(decoding: name.first == 0 ? name : name.prefix { $0 != 0 }, as: UTF8.self)
      }
      self.init(family: .unix, host: path, port: 0, scope: 0)
    default:
      return nil
    }
  }
}

extension String {
  fileprivate init(nulTerminated text: [CChar]) {
    self.init(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}

/// A text that is no usable socket address, or a name that does not resolve. The message is safe to show.
public struct SocketAddressError: Error, Sendable, Hashable, CustomStringConvertible {
  public let message: String
  public init(message: String) { self.message = message }
  public var description: String { message }
}

/// Where a server listens: `host:port` (a name, a numeric address, `[::1]:80`, `*:80` or `:80` for every interface) or
/// `unix:PATH`.
public enum ListenAddress: Sendable, Hashable, CustomStringConvertible {
  case hostPort(host: String, port: UInt16)
  case unix(path: String)

  public init(_ text: String) throws(SocketAddressError) {
    if text.hasPrefix("unix:") {
      let address = try SocketAddress(path: String(text.dropFirst(5)))
      self = .unix(path: address.host)
      return
    }
    guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else {
      throw SocketAddressError(message: "\"\(text)\" is not host:port or unix:PATH")
    }
    var host = String(text[..<colon])
    if host.hasPrefix("["), host.hasSuffix("]") {
      host = String(host.dropFirst().dropLast())
    } else if host.contains(":") {
      throw SocketAddressError(message: "an IPv6 address needs brackets: \"\(text)\"")
    }
    self = .hostPort(host: host == "*" ? "" : host, port: port)
  }

  public var description: String {
    switch self {
    case .hostPort(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    case .unix(let path): "unix:\(path)"
    }
  }

  /// Whether the port is 0: any that is free.
  package var isChosenBySystem: Bool { if case .hostPort(_, 0) = self { true } else { false } }

  /// Fails with EADDRINUSE where anyone listens at the address already. The loops of a process share a port, hence with
  /// another process of the same user too, which takes a share of the connections unnoticed: who listens on several loops
  /// asks this once, before they do.
  public func requireUnused(on reactor: Reactor) async throws {
    try Socket.requireUnused(try await resolve(on: reactor))
  }

  /// The address to bind. No host means every interface, IPv4 and IPv6 (a dual-stack socket).
  public func resolve(on reactor: Reactor) async throws -> SocketAddress {
    switch self {
    case .unix(let path): return try SocketAddress(path: path)
    case .hostPort("", let port): return try SocketAddress(numericHost: "::", port: port)
    case .hostPort(let host, let port): return try await reactor.resolve(host: host, port: port)[0]
    }
  }
}

internal import EventLoop
internal import Glibc

/// Why a text is no URL of an endpoint. Safe to show.
package struct WebhookURLError: Error, CustomStringConvertible {
  package let description: String
}

extension WebhookURL {
  /// The URL of an endpoint. A name is judged by where it leads when something is sent there; an address, and the names
  /// of this very machine, are judged here already.
  ///
  /// - Parameter allowsLoopback: for development: endpoints on this very machine, plain http included.
  package init(endpoint text: String, allowsLoopback: Bool) throws(WebhookURLError) {
    guard let url = WebhookURL(text), allowsLoopback || !url.isPlaintext else {
      throw WebhookURLError(
        description: "Give https://…, at most \(Self.maximumLength) bytes, without user name and fragment.")
    }
    let isPublic = url.address.map(PublicAddress.contains) ?? !url.isLoopback
    guard isPublic || allowsLoopback && url.isLoopback else {
      throw WebhookURLError(description: "This is no address of the public internet.")
    }
    self = url
  }

  /// The host without the dot of a name that is whole.
  private var bareHost: String { host.hasSuffix(".") ? String(host.dropLast()) : host }

  /// The address that the host is, IPv4 in any spelling that the system reads: `127.1`, `0x7f000001`, `2130706433`.
  private var address: String? {
    var v4 = in_addr()
    guard inet_aton(bareHost, &v4) != 0 else { return host.contains(":") ? host : nil }
    let value = UInt32(bigEndian: v4.s_addr)
    return [24, 16, 8, 0].map { "\(value >> $0 & 255)" }.joined(separator: ".")
  }

  private var isLoopback: Bool {
    guard let address else { return bareHost == "localhost" || bareHost.hasSuffix(".localhost") }
    return (try? SocketAddress(numericHost: address, port: port))?.isLoopback ?? false
  }
}

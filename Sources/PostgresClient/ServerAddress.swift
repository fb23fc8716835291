import CLibPQ
import EventLoop

/// One place where the server may be, in libpq's words.
struct ServerAddress: Hashable, CustomStringConvertible {
  /// The URL's: a name, which the certificate is held to, or a socket's path.
  var host: String
  /// Numeric; empty: the host says it all.
  var numeric: String
  /// Empty: the default.
  var port: String

  var description: String { "\(numeric.isEmpty ? host : numeric):\(port.isEmpty ? "5432" : port)" }

  /// Whether somebody has to say where that is.
  var needsResolving: Bool { numeric.isEmpty && !host.isEmpty && !host.hasPrefix("/") && !host.hasPrefix("@") }
}

/// Which servers kept silent when they were last asked, as the machine of a dead one does.
///
/// libpq asks the places of a list one after the other and waits for each as long as the system does, which is minutes.
/// So the silent ones are put behind those that may answer.
struct SilentServers: Equatable {
  private var silent: Set<ServerAddress> = []

  /// In the order to ask. A place that is no longer among them is forgotten.
  mutating func order(_ addresses: [ServerAddress]) -> [ServerAddress] {
    silent.formIntersection(addresses)
    return addresses.filter { !silent.contains($0) } + addresses.filter(silent.contains)
  }

  mutating func keptSilent(_ address: ServerAddress) { silent.insert(address) }

  mutating func answered(_ address: ServerAddress) { silent.remove(address) }
}

extension PostgresConfiguration {
  /// The places of the URL, every address of its names. Names are looked up here, because libpq would have the loop wait
  /// for that; one that has no address is left out where others have.
  func addresses(on reactor: Reactor) async throws -> [ServerAddress] {
    var found: [ServerAddress] = []
    var failure: SocketAddressError?
    for server in servers {
      guard server.needsResolving else {
        found.append(server)
        continue
      }
      do {
        for address in try await reactor.resolve(host: server.host, port: 0) {
          found.append(ServerAddress(host: server.host, numeric: address.host, port: server.port))
        }
      } catch let error as SocketAddressError {
        failure = error
      }
    }
    if found.isEmpty, let failure { throw PostgresError(.connectionLost, failure.message) }
    return found
  }

  /// - Parameter values: the URL's, by libpq's keywords.
  /// - Throws: `PostgresError` when it has more of one kind than of another.
  static func servers(_ values: [String: String]) throws(PostgresError) -> [ServerAddress] {
    func list(_ keyword: String) -> [String] {
      values[keyword].map { $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init) } ?? []
    }
    let (hosts, numeric, ports) = (list("host"), list("hostaddr"), list("port"))
    let count = max(hosts.count, numeric.count)
    guard [0, count].contains(hosts.count), [0, count].contains(numeric.count), [0, 1, count].contains(ports.count)
    else {
      throw PostgresError(.configuration, "the database's hosts, addresses and ports are as many, or there is one port")
    }
    guard ports.allSatisfy({ $0.isEmpty || UInt16($0).map { $0 > 0 } ?? false }) else {
      throw PostgresError(.configuration, "the database's port is a number from 1 to 65535")
    }
    return (0..<count).map { place in
      ServerAddress(
        host: hosts.isEmpty ? "" : hosts[place], numeric: numeric.isEmpty ? "" : numeric[place],
        port: ports.count == count ? ports[place] : ports.first ?? "")
    }
  }
}

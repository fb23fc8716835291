import Synchronization

/// Our client at Google, for all loops: from the settings, or from the vault as soon as it can be read there.
final class GoogleClientSource: Sendable {
  private let client: Mutex<GoogleClient?>

  init(_ client: GoogleClient?) { self.client = Mutex(client) }

  var current: GoogleClient? { client.withLock { $0 } }

  func set(_ client: GoogleClient) { self.client.withLock { $0 = client } }
}

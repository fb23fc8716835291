/// What a client makes its sessions from. Safe to share between loops. Files are watched as by `TLSServerContext`.
public final class TLSClientContext: Sendable {
  private let source: TLSContextSource

  public init(
    _ settings: TLSClientSettings, onReload: (@Sendable (TLSReload) -> Void)? = nil
  ) throws(TLSError) {
    var files = [settings.identity?.certificateChain.path, settings.identity?.privateKey.path]
    if case .pem(let roots) = settings.roots { files.append(roots.path) }
    source = try TLSContextSource(files: files.compactMap(\.self), onReload: onReload) { () throws(TLSError) in
      try SSLContext.client(settings)
    }
  }

  /// - Throws: `configuration` when `peer` is no name that a certificate could have.
  public func makeEngine(peer: ExpectedPeer) throws(TLSError) -> TLSEngine {
    try .client(source.current(), peer: peer)
  }

  /// Looks at the files now instead of when a session is due. Nil when nothing has changed.
  @discardableResult
  public func reloadIfChanged() -> TLSReload? { source.reloadIfChanged() }
}

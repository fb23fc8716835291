internal import Synchronization

/// What a server makes its sessions from. Safe to share between loops.
///
/// Certificates, keys and roots that come from files are watched: when one has changed, the next session after
/// `TLSContextSource.checkInterval` is made from the new files, all of them at once or none.
public final class TLSServerContext: Sendable {
  private let source: TLSContextSource

  /// - Parameter onReload: told of each reload and each failure to, on the thread that made a session.
  /// - Throws: `TLSError` when the files cannot be used now.
  public init(
    _ settings: TLSServerSettings, onReload: (@Sendable (TLSReload) -> Void)? = nil
  ) throws(TLSError) {
    var files = [settings.identity.certificateChain.path, settings.identity.privateKey.path]
    if let roots = settings.clientRoots { files.append(roots.path) }
    source = try TLSContextSource(files: files.compactMap(\.self), onReload: onReload) { () throws(TLSError) in
      try SSLContext.server(settings)
    }
  }

  public func makeEngine() -> TLSEngine { .server(source.current()) }

  /// Looks at the files now instead of when a session is due. Nil when nothing has changed.
  @discardableResult
  public func reloadIfChanged() -> TLSReload? { source.reloadIfChanged() }
}

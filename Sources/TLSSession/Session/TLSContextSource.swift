internal import Glibc
internal import Synchronization

/// Keeps the newest usable `SSLContext` of a set of files.
///
/// Sessions ask for it; at most once per `checkInterval` that asking looks (`stat`, some microseconds) whether a
/// file has changed and loads them anew. No timer or thread is needed, and certificates put on disk are in use by
/// each session begun later than the interval.
final class TLSContextSource: Sendable {
  static let checkInterval: Duration = .seconds(5)

  private struct State {
    var context: SSLContext
    var stamps: [FileStamp]
    var nextCheck: Duration
    /// Why the files are of no use as they are though they may become so unchanged, once that was reported.
    var waitsFor: TLSError?
  }

  private let state: Mutex<State>
  private let files: [String]
  private let load: @Sendable () throws(TLSError) -> SSLContext
  private let onReload: (@Sendable (TLSReload) -> Void)?
  private let now: @Sendable () -> Duration
  /// Seconds since 1970.
  private let date: @Sendable () -> Int64

  init(
    files: [String], now: @escaping @Sendable () -> Duration = { monotonicTime() },
    date: @escaping @Sendable () -> Int64 = { CertificateAuthority.systemTime() },
    onReload: (@Sendable (TLSReload) -> Void)? = nil,
    load: @escaping @Sendable () throws(TLSError) -> SSLContext
  ) throws(TLSError) {
    self.files = files
    self.now = now
    self.date = date
    self.load = load
    self.onReload = onReload
    // Stamped before reading: a change in between is seen as a change at the next look.
    let stamps = files.map(FileStamp.init(path:))
    let context = try load()
    state = Mutex(State(context: context, stamps: stamps, nextCheck: now() + Self.checkInterval))
  }

  func current() -> SSLContext {
    guard !files.isEmpty else { return state.withLock { $0.context } }
    let now = now()
    let isDue = state.withLock { state in
      guard now >= state.nextCheck else { return false }
      state.nextCheck = now + Self.checkInterval
      return true
    }
    if isDue { reloadIfChanged() }
    return state.withLock { $0.context }
  }

  @discardableResult
  func reloadIfChanged() -> TLSReload? {
    let stamps = files.map(FileStamp.init(path:))
    // Also remembered for files that turn out broken, so that each state of the disk is reported once.
    let isChanged = state.withLock { state in
      guard state.stamps != stamps else { return false }
      state.stamps = stamps
      return true
    }
    guard isChanged else { return nil }
    let outcome: TLSReload
    do {
      let context = try load()
      try requireNoWorse(context)
      state.withLock { ($0.context, $0.waitsFor) = (context, nil) }
      outcome = .reloaded
    } catch {
      guard isNews(error) else { return nil }
      outcome = .failed(error)
    }
    onReload?(outcome)
    return outcome
  }

  /// A certificate that no peer accepts now does not take the place of one that they do.
  private func requireNoWorse(_ context: SSLContext) throws(TLSError) {
    let date = date()
    guard let old = state.withLock({ $0.context.certificate }), old.validity?.contains(date) ?? true else { return }
    try context.certificate?.requireValid(at: date)
  }

  /// What cannot be read, or is not valid yet, is looked at again though its stamp stays: a right or a free descriptor was
  /// missing, or its time will come.
  private func isNews(_ error: TLSError) -> Bool {
    guard [.file, .notValidNow].contains(error.code) else { return true }
    return state.withLock { state in
      state.stamps = []
      defer { state.waitsFor = error }
      return state.waitsFor != error
    }
  }
}

func monotonicTime() -> Duration {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
}

internal import CLinux
internal import Glibc

/// How many descriptors the process may have open at one time: a connection is one.
enum DescriptorLimit {
  /// Lets it have as many as it may, and says how many that is.
  static func raise() -> Int {
    let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    var limit = rlimit()
    guard getrlimit(resource, &limit) == 0 else { return .max }
    limit.rlim_cur = limit.rlim_max
    setrlimit(resource, &limit)
    getrlimit(resource, &limit)
    return Int(clamping: limit.rlim_cur)
  }

  /// With fewer a process would fail call by call, or in a library that takes its own for granted. A loop has two of its
  /// own, eight sessions with the database, its connections to the others and to Google, and the ports that it listens at.
  static func needed(loops: Int) -> Int { 64 + 32 * loops }
}

internal import CLinux
internal import CivilTime
internal import Glibc

/// The process as Prometheus' own client libraries report it, from /proc/self (proc(5)).
enum ProcessMetrics {
  private static let startTime = Double(Timestamp.now().milliseconds) / 1_000

  /// Call once at the start, so that the start time is that of the process.
  static func noteStart() { _ = startTime }

  static func write(to text: inout String) {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    let cpu =
      Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
      / 1e6
    emit("process_cpu_seconds_total", "counter", "User and system CPU time spent.", cpu, to: &text)
    if let pages = residentPages() {
      let (virtual, resident) = pages
      emit("process_virtual_memory_bytes", "gauge", "Virtual memory size.", Double(virtual), to: &text)
      emit("process_resident_memory_bytes", "gauge", "Resident memory size.", Double(resident), to: &text)
    }
    emit("process_open_fds", "gauge", "Open file descriptors.", Double(openDescriptors()), to: &text)
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    emit("process_max_fds", "gauge", "Most file descriptors that may be open.", Double(limit.rlim_cur), to: &text)
    emit("process_start_time_seconds", "gauge", "Start of the process since the Unix epoch.", startTime, to: &text)
  }

  private static func emit(_ name: String, _ kind: String, _ help: String, _ value: Double, to text: inout String) {
    text += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n\(name) \(number(value))\n"
  }

  private static func residentPages() -> (virtual: Int, resident: Int)? {
    guard let text = try? readSettingFile("/proc/self/statm") else { return nil }
    let fields = text.split(separator: " ")
    guard fields.count > 1, let virtual = Int(fields[0]), let resident = Int(fields[1]) else { return nil }
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    return (virtual * page, resident * page)
  }

  private static func openDescriptors() -> Int {
    guard let folder = opendir("/proc/self/fd") else { return 0 }
    defer { closedir(folder) }
    var count = 0
    while readdir(folder) != nil { count += 1 }
    // Without ".", ".." and the folder's own descriptor.
    return max(0, count - 3)
  }
}

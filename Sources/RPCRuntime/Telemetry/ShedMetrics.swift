import CoreMetrics

/// How many calls were turned away because the server had too much to do, by method.
final class ShedMetrics {
  private var counters: [ObjectIdentifier: Counter] = [:]

  func shed(_ method: MethodDescriptor) {
    let counter =
      counters[ObjectIdentifier(method)]
      ?? Counter(label: "rpc_server_calls_shed_total", dimensions: [("grpc_method", method.fullName)])
    counters[ObjectIdentifier(method)] = counter
    counter.increment()
  }
}

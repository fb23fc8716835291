import EventLoop
import Logging
import Transport

/// Watches over a connection whether the service behind it takes calls. Lives on its loop as long as the connection.
final class HealthWatch {
  private weak var channel: RPCChannel?
  private let connection: ClientConnection
  private let service: String
  private var state: HealthWatchState
  private var call: ClientCall?
  private var task: Task<Void, any Error>?
  private var timer: Timer?

  init(_ service: String, on connection: ClientConnection, of channel: RPCChannel) {
    self.service = service
    self.connection = connection
    self.channel = channel
    state = HealthWatchState(backoff: channel.configuration.backoff)
  }

  /// Whether a stream of the connection is the watch's.
  var isOpen: Bool { call?.stream != nil }

  func start() {
    guard let channel else { return }
    let prepared = PreparedCall(
      method: Health.watch.descriptor, options: CallOptions(), deadline: nil, metadata: Metadata())
    let call = ClientCall(channel: channel, prepared, role: .watch)
    call.send(HealthCheckRequest(service: service), compress: false)
    call.finishWriting()
    call.beginAttempt()
    guard call.open(on: connection) else { return }
    self.call = call
    task = channel.reactor.spawn { [weak self] in
      do {
        while let response: HealthCheckResponse = try await call.nextMessage() {
          guard let self else { return }
          perform(state.received(response.status))
        }
        self?.ended(.ok)
      } catch {
        self?.ended(RPCError(error).code)
      }
    }
  }

  func stop() {
    task?.cancel()
    timer?.cancel()
    let call = self.call
    self.call = nil
    call?.end(RPCError(.cancelled, "the connection takes no more calls"))
  }

  private func ended(_ code: StatusCode) {
    guard call != nil, !connection.isRetired else { return }
    call = nil
    for action in state.ended(code, random: .random(in: 0..<1)) { perform(action) }
  }

  private func perform(_ action: HealthWatchState.Action) {
    guard let channel else { return }
    switch action {
    case .nothing: break
    case .report(let isServing):
      channel.logger.debug(
        "health", metadata: ["address": "\(connection.transport.peer)", "serving": "\(isServing)"])
      channel.reported(connection, isServing: isServing)
    case .retry(let delay):
      timer = channel.reactor.schedule(after: delay) { [weak self] in self?.start() }
    }
  }
}

import CivilTime
import RPCRuntime
import ServiceContracts
import WireCodec

/// What a user may still send.
extension MailerMethods {
  func getCapacity(
    _ request: Mailer.GetCapacityRequest, _ call: ServiceCall
  ) async throws -> Mailer.GetCapacityResponse {
    try await answering {
      let known = try await store.capacity(of: call.user)
      let (share, paused) = try await store.projectState()
      let now = Timestamp.now()
      var response = Self.response(known, store.pace, at: now)
      response.project = Mailer.ProjectCapacity {
        $0.limit = Int32(clamping: project.perMinute)
        $0.current = Int32(clamping: Int(Double(project.perMinute) * share))
        $0.pausedUntil = paused > .zero ? ProtobufTimestamp(now + paused) : nil
      }
      return response
    }
  }

  private static func response(
    _ known: MailStore.UserCapacity?, _ pace: MailboxPace.Terms, at now: Timestamp
  ) -> Mailer.GetCapacityResponse {
    let rested = MailboxCapacity.State(credit: pace.burst, dayLimit: Int(pace.dailyRecipients))
    let capacity = MailboxCapacity(known?.mailbox ?? rested, pace)
    return Mailer.GetCapacityResponse {
      $0.account = known.flatMap { Mailer.AccountState(word: $0.status) } ?? .neverConnected
      $0.minute = minute(capacity)
      $0.day = day(capacity, pace, at: now)
      $0.pausedReason = capacity.isDayOver ? "daily_limit" : known?.pausedReason ?? ""
      $0.asOf = ProtobufTimestamp(now)
      let isActive = $0.account == .active
      if isActive { $0.nextSendAt = ProtobufTimestamp(now + capacity.nextSend) }
      $0.queue = known.map { queue($0, isActive ? capacity : nil, at: now) } ?? .init()
    }
  }

  private static func minute(_ capacity: MailboxCapacity) -> Mailer.MinuteCapacity {
    Mailer.MinuteCapacity {
      $0.limit = Int32(clamping: capacity.minuteLimit)
      $0.left = Int32(clamping: capacity.minuteLeft)
    }
  }

  private static func day(
    _ capacity: MailboxCapacity, _ pace: MailboxPace.Terms, at now: Timestamp
  ) -> Mailer.DayCapacity {
    Mailer.DayCapacity {
      $0.limit = Int32(clamping: capacity.state.dayLimit)
      $0.used = Int32(clamping: capacity.state.dayUsed)
      $0.left = Int32(clamping: capacity.dayLeft)
      $0.isLearnt = capacity.state.dayLimit < Int(pace.dailyRecipients)
      $0.freesAt = capacity.state.dayFrees.map { ProtobufTimestamp(now + $0) }
    }
  }

  /// - Parameter capacity: nil while nothing can be sent, and nobody knows until when.
  private static func queue(
    _ known: MailStore.UserCapacity, _ capacity: MailboxCapacity?, at now: Timestamp
  ) -> Mailer.QueueForecast {
    Mailer.QueueForecast {
      $0.waiting = known.waiting
      $0.scheduled = known.scheduled
      $0.parked = known.parked
      guard let capacity, known.waiting > 0 else { return }
      let forecast = QueueForecast(known.backlog, capacity)
      $0.earliestFinish = forecast.earliest.map { ProtobufTimestamp(now + $0) }
      $0.expectedFinish = forecast.expected.map { ProtobufTimestamp(now + $0) }
      $0.basis =
        switch forecast.basis {
        case .limits: .limits
        case .observed: .observed
        case nil: .unspecified
        }
    }
  }
}

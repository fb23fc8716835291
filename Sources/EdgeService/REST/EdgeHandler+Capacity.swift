import HTTPServer
import RPCRuntime
import ServiceContracts
import StrictJSON

extension EdgeHandler {
  func getCapacity(_ call: EdgeCall) async throws -> HTTPServerResponse {
    let capacity = try await backends.mailer.call(
      Mailer.getCapacity, Mailer.GetCapacityRequest(), options: backends.options(for: call))
    return .json { json in
      json.object { json in
        json.member("user_id", call.user?.text)
        json.member("status", capacity.account.word)
        json.member("minute") { $0.minute(capacity.minute ?? .init()) }
        json.member("day") { $0.day(capacity.day ?? .init()) }
        json.member("next_send_at", capacity.nextSendAt)
        json.member("paused_reason", capacity.pausedReason.isEmpty ? nil : capacity.pausedReason)
        json.member("queue") { $0.queue(capacity.queue ?? .init()) }
        json.member("project") { $0.project(capacity.project ?? .init()) }
        json.member("as_of", capacity.asOf)
      }
    }
  }
}

extension JSONWriter {
  fileprivate mutating func minute(_ minute: Mailer.MinuteCapacity) {
    object { json in
      json.member("messages_limit", minute.limit)
      json.member("messages_left", minute.left)
    }
  }

  fileprivate mutating func day(_ day: Mailer.DayCapacity) {
    object { json in
      json.member("recipients_limit", day.limit)
      json.member("recipients_used", day.used)
      json.member("recipients_left", day.left)
      json.member("limit_is_learnt", day.isLearnt)
      json.member("frees_at", day.freesAt)
    }
  }

  fileprivate mutating func project(_ project: Mailer.ProjectCapacity) {
    object { json in
      json.member("messages_per_minute_limit", project.limit)
      json.member("messages_per_minute", project.current)
      json.member("paused_until", project.pausedUntil)
    }
  }

  fileprivate mutating func queue(_ queue: Mailer.QueueForecast) {
    object { json in
      json.member("waiting", queue.waiting)
      json.member("scheduled", queue.scheduled)
      json.member("parked", queue.parked)
      json.member("earliest_finish_at", queue.earliestFinish)
      json.member("expected_finish_at", queue.expectedFinish)
      json.member("basis", queue.basis.word)
    }
  }
}

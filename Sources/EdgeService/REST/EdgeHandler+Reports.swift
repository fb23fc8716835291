import HTTPServer
import HTTPTypes
import RPCRuntime
import ServiceContracts
import StrictJSON

extension EdgeHandler {
  private func range(_ call: EdgeCall) throws -> Reports.DateRange {
    var range = Reports.DateRange()
    range.start = try DateParameter.parse(call.query, "start_date")
    range.end = try DateParameter.parse(call.query, "end_date")
    range.timeZone = call.query["tz"] ?? ""
    return range
  }

  func getUserReport(_ call: EdgeCall) async throws -> HTTPServerResponse {
    var message = Reports.GetUserReportRequest()
    message.range = try range(call)
    let report = try await backends.reports.call(
      Reports.getUserReport, message, options: backends.options(for: call, timeout: .seconds(20)))
    return .json(capacity: 16 * 1024) { json in
      json.object { json in
        json.member("user_id", report.userID)
        json.member("start_date", report.range?.start)
        json.member("end_date", report.range?.end)
        json.member("time_zone", report.range?.timeZone)
        json.member("as_of", report.asOf)
        json.member("total_emails", report.totalEmails)
        json.member("successful_emails", report.successfulEmails)
        json.member("failed_emails", report.failedEmails)
        json.member("unknown_emails", report.unknownEmails)
        json.member("pending_emails", report.pendingEmails)
        json.member("success_rate", report.successRate)
        json.member("emails_by_day") { json in
          json.array(of: report.emailsByDay) { json, day in
            json.object { json in
              json.member("date", day.date)
              json.member("total", day.total)
              json.member("successful", day.successful)
              json.member("failed", day.failed)
            }
          }
        }
        json.member("top_recipients") { json in
          json.array(of: report.topRecipients) { json, recipient in
            json.object { json in
              json.member("email", recipient.email)
              json.member("count", recipient.count)
            }
          }
        }
        json.member("recent_emails") { json in json.array(of: report.recentEmails) { $0.message($1) } }
      }
    }
  }

  func getSummary(_ call: EdgeCall) async throws -> HTTPServerResponse {
    var message = Reports.GetSummaryRequest()
    message.range = try range(call)
    let report = try await backends.reports.call(
      Reports.getSummary, message, options: backends.options(for: call, timeout: .seconds(20)))
    return .json(capacity: 16 * 1024) { json in
      json.object { json in
        json.member("start_date", report.range?.start)
        json.member("end_date", report.range?.end)
        json.member("total_users", report.totalUsers)
        json.member("total_emails_sent", report.totalEmailsSent)
        json.member("emails_today", report.emailsToday)
        json.member("success_rate", report.successRate)
        json.member("top_senders") { json in
          json.array(of: report.topSenders) { json, sender in
            json.object { json in
              json.member("user_id", sender.userID)
              json.member("email_address", sender.emailAddress)
              json.member("count", sender.count)
            }
          }
        }
        json.member("usage_trends") { json in
          json.array(of: report.usageTrends) { json, day in
            json.object { json in
              json.member("date", day.date)
              json.member("total", day.total)
              json.member("successful", day.successful)
              json.member("failed", day.failed)
              json.member("active_users", day.activeUsers)
            }
          }
        }
        json.member("time_zone", report.range?.timeZone)
        json.member("as_of", report.asOf)
      }
    }
  }

  /// The rows, passed on as they come: a slow reader holds the report service back.
  func exportMessages(_ call: EdgeCall) async throws -> HTTPServerResponse {
    let format = try exportFormat(call)
    var message = Reports.ExportMessagesRequest()
    message.range = try range(call)
    message.format = format
    let rows = try backends.reports.call(
      Reports.exportMessages, message, options: backends.options(for: call, timeout: .seconds(600)))
    let reader = rows.responses
    // Errors still have a status to be told by until the first piece is here.
    let first = try await reader.next()
    let isCSV = format == .csv
    return HTTPServerResponse(
      .ok,
      headers: [
        .contentType: isCSV ? "text/csv; charset=utf-8; header=present" : "application/x-ndjson",
        .contentDisposition: "attachment; filename=\"messages.\(isCSV ? "csv" : "ndjson")\"",
      ]
    ) { writer in
      var piece = first
      while let content = piece?.content {
        try await writer.write(content)
        piece = try await reader.next()
      }
    }
  }

  private func exportFormat(_ call: EdgeCall) throws -> Reports.ExportFormat {
    if let text = call.query["format"] {
      guard let format = Reports.ExportFormat(word: text) else {
        throw Problem.invalid("format", "must be csv or ndjson")
      }
      return format
    }
    if call.accepts("text/csv") { return .csv }
    if call.accepts("application/x-ndjson") { return .ndjson }
    throw Problem.notAcceptable
  }
}

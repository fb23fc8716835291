import MailSyntax
import RPCRuntime
import ServiceContracts
import TLSSession
import WireCodec

/// The suppression list, as the edge calls it.
extension MailerMethods {
  static let suppressionPage = 1...1000
  static let defaultSuppressionPage = 100

  func addSuppression(
    _ request: Mailer.AddSuppressionRequest, _ call: ServiceCall
  ) async throws -> Mailer.AddSuppressionResponse {
    let entry: SuppressionEntry
    do throws(AddressError) {
      entry = try SuppressionEntry(toSuppress: request.entry)
    } catch {
      throw RPCError.invalidField("entry", error.description)
    }
    guard let note = SuppressionNote(request.reason) else {
      throw RPCError.invalidField("reason", SuppressionNote.rule)
    }
    return try await answering {
      let (row, isNew) = try await store.suppress(
        entry, tenantID: call.tenantID, reason: note, source: .platform, actor: call.context.credentialID)
      return Mailer.AddSuppressionResponse {
        $0.suppression = row
        $0.added = isNew
      }
    }
  }

  func listSuppressions(
    _ request: Mailer.ListSuppressionsRequest, _ call: ServiceCall
  ) async throws -> Mailer.ListSuppressionsResponse {
    let limit = request.limit == 0 ? Self.defaultSuppressionPage : Int(request.limit)
    guard Self.suppressionPage.contains(limit) else {
      throw RPCError.invalidField("limit", "A page has 1 to \(Self.suppressionPage.upperBound) entries.")
    }
    guard let cursor = Base64.decode(request.cursor, .urlSafe), cursor.count <= MailAddress.maximumLength,
      let after = String(validating: cursor, as: UTF8.self), HeaderText.isPrintableASCII(after)
    else { throw RPCError.invalidCursor }
    return try await answering {
      let rows = try await store.suppressions(tenantID: call.tenantID, after: after, limit: limit)
      return Mailer.ListSuppressionsResponse {
        $0.suppressions = Array(rows.prefix(limit))
        if rows.count > limit { $0.nextCursor = Base64.encode(Array(rows[limit - 1].entry.utf8), .urlSafe) }
      }
    }
  }

  func removeSuppression(
    _ request: Mailer.RemoveSuppressionRequest, _ call: ServiceCall
  ) async throws -> Mailer.RemoveSuppressionResponse {
    guard let entry = try? SuppressionEntry(request.entry) else { throw RPCError.noSuppression }
    return try await answering {
      guard
        try await store.removeSuppression(entry, tenantID: call.tenantID, actor: call.context.credentialID)
      else { throw RPCError.noSuppression }
      return Mailer.RemoveSuppressionResponse()
    }
  }

  /// The token says the tenant, and nothing else of the call is looked at.
  func unsubscribe(
    _ request: Mailer.UnsubscribeRequest, _ call: ServiceCall
  ) async throws -> Mailer.UnsubscribeResponse {
    guard let (tenantID, entry) = links.recipient(of: request.token) else { throw RPCError.noLink }
    return try await answering {
      _ = try await store.suppress(entry, tenantID: tenantID, reason: nil, source: .unsubscribe, actor: nil)
      return Mailer.UnsubscribeResponse()
    }
  }
}

import HTTPServer
import HTTPTypes

/// Cross-origin calls of pages (Fetch standard), for user tokens and for origins that a tenant has listed.
enum CORS {
  static let methods = "GET, POST, PATCH, DELETE"
  static let headers = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Prefer, X-Request-Id"
  static let exposed =
    "ETag, Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id"

  static let refusal = Problem(403, "origin_not_allowed", "Pages of this origin may not call.")

  /// A preflight carries no credential: any tenant's origin is answered.
  static func preflight(origin: String, store: any EdgeStore) async throws -> HTTPServerResponse {
    guard var fields = try await fields(origin: origin, tenant: nil, store: store) else {
      throw refusal
    }
    fields[.accessControlAllowMethods] = methods
    fields[.accessControlAllowHeaders] = headers
    fields[.accessControlMaxAge] = "600"
    return HTTPServerResponse(.noContent, headers: fields)
  }

  /// What lets the page read the answer; nil when it may not.
  static func fields(origin: String, tenant: String?, store: any EdgeStore) async throws -> HTTPFields? {
    guard origin.utf8.count <= 512 else { return nil }
    let isAllowed: Bool
    do {
      isAllowed = try await store.allowsOrigin(origin, tenant: tenant)
    } catch is CancellationError {
      throw CancellationError()
    } catch {
      throw Problem.unavailable
    }
    guard isAllowed else { return nil }
    return [
      .accessControlAllowOrigin: origin, .vary: "Origin", .accessControlExposeHeaders: exposed,
    ]
  }
}

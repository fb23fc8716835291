import HTTPServer
import HTTPTypes
import Logging
import CoreMetrics
import EventLoop
import RPCRuntime
import ServiceKit
import StrictJSON
import TLSSession

/// The edge's one handler, on one loop: request id, CORS, credential, route, scope, rates, then the operation.
final class EdgeHandler {
  let backends: Backends
  let tokenKeys: Keyring
  let reactor: Reactor
  private let store: any EdgeStore
  private let authenticator: Authenticator
  private let limiter: RequestLimiter
  private let readiness: Readiness
  private let tracer: Tracer?
  private let logger: Logger
  private let router = Router()
  private var figures: [String: (Counter, CoreMetrics.Timer)] = [:]

  init(
    store: any EdgeStore, backends: Backends, access: AccessConfiguration, readiness: Readiness,
    tracer: Tracer? = nil, logger: Logger, on reactor: Reactor, now: @escaping () -> UInt64
  ) {
    self.store = store
    self.backends = backends
    self.readiness = readiness
    self.tracer = tracer
    self.logger = logger
    self.reactor = reactor
    tokenKeys = access.tokenKeys
    authenticator = Authenticator(store: store, peppers: access.keyPeppers, tokenKeys: access.tokenKeys)
    limiter = RequestLimiter(
      store, perKey: access.ratePerKey, perUser: access.ratePerUser, on: reactor, now: now)
  }

  func respond(to request: HTTPServerRequest) async -> HTTPServerResponse {
    let started = ContinuousClock.now
    let fields = request.head.headerFields
    let requestID =
      fields.value(.requestID).flatMap(CallContextInterceptor.safeRequestID) ?? Hex.encode(SecureRandom.bytes(16))
    let trace = RequestTrace(fields, tracer)
    let context = LogContext(requestID: requestID, traceparent: trace.traceparent)
    var passage = Passage(request: request)
    var response = await LogContext.$current.binding(context) {
      await CallScope.$current.binding(trace.scope) {
        do {
          return try await answer(&passage)
        } catch {
          return problem(for: error, passage).response(requestID: requestID, path: passage.path)
        }
      }
    }
    trace.end(method: passage.route == nil ? nil : request.head.method, passage.route, response.head.status)
    response.head.headerFields[.requestID] = requestID
    response.head.headerFields.append(contentsOf: passage.cors)
    if !response.head.headerFields.contains(.cacheControl) { response.head.headerFields[.cacheControl] = "no-store" }
    response.head.headerFields[.xContentTypeOptions] = "nosniff"
    count(passage.label, response.head.status.code, ContinuousClock.now - started)
    return response
  }

  /// What is known of a request while it passes.
  struct Passage {
    let request: HTTPServerRequest
    let path: String
    let queryText: Substring
    /// The route, for the metrics.
    var label = "unknown"
    /// Its path with `{…}` for what differs, for the trace.
    var route: String?
    var cors: HTTPFields = [:]

    init(request: HTTPServerRequest) {
      self.request = request
      let target = request.head.path ?? "/"
      let mark = target.firstIndex(of: "?")
      path = String(mark.map { target[..<$0] } ?? target[...])
      queryText = mark.map { target[target.index(after: $0)...] } ?? ""
    }
  }

  private func answer(_ passage: inout Passage) async throws -> HTTPServerResponse {
    let fields = passage.request.head.headerFields
    let method = passage.request.head.method.rawValue
    let origin = fields.value(.origin)
    if method == "OPTIONS", let origin, fields[.accessControlRequestMethod] != nil {
      passage.label = "preflight"
      return try await CORS.preflight(origin: origin, store: store)
    }
    let found = router.find(method: method, path: passage.path[...])
    if case .found(let route, _) = found { (passage.label, passage.route) = (route.operation.rawValue, route.path) }

    var caller: Caller?
    if needsCredential(found, path: passage.path) {
      do {
        caller = try await authenticator.caller(of: fields)
      } catch let problem as Problem where problem.status == 401 {
        // A page must be able to see that its token is over.
        if let origin { passage.cors = try await CORS.fields(origin: origin, tenant: nil, store: store) ?? [:] }
        throw problem
      }
      if let caller, let origin, caller.isUserToken {
        guard let cors = try await CORS.fields(origin: origin, tenant: caller.tenant, store: store) else {
          throw CORS.refusal
        }
        passage.cors = cors
      }
    }

    switch found {
    case .unknown: throw Problem.notFound
    case .wrongMethod(let allowed, _):
      var problem = Problem(405, "method_not_allowed", "The method is not allowed here.")
      problem.headers[.allow] = allowed.joined(separator: ", ")
      throw problem
    case .found(let route, let parameters):
      return try await run(try await admit(route, parameters, caller, passage))
    }
  }

  private func needsCredential(_ found: Router.Result, path: String) -> Bool {
    switch found {
    case .found(let route, _): route.scope != nil
    case .wrongMethod(_, let isPublic): !isPublic
    case .unknown: path == "/v1" || path.hasPrefix("/v1/")
    }
  }

  /// Scope, user, rates, query: everything before the body.
  private func admit(
    _ route: Route, _ parameters: [String: Substring], _ caller: Caller?, _ passage: Passage
  ) async throws -> EdgeCall {
    var call = EdgeCall(
      request: passage.request, route: route, caller: caller, user: caller?.boundUser, path: passage.path)
    if let scope = route.scope {
      guard let caller, caller.may(scope) else {
        throw Problem(403, "missing_scope", "The credential lacks the scope \"\(scope.rawValue)\".")
      }
    }
    for (name, encoded) in parameters {
      guard let text = PercentText.decode(encoded.utf8) else {
        throw Problem.invalid(name, "is not percent-encoded UTF-8")
      }
      call.parameters[name] = text
    }
    if let text = call.parameters["user_id"] {
      guard let user = UserID(text) else { throw Problem.invalid("user_id", UserID.rule) }
      if let bound = caller?.boundUser, bound != user { throw Problem.notFound }
      call.user = user
    }
    if let caller { try await limiter.admit(caller, user: call.user) }
    let encodings = passage.request.head.headerFields[values: .contentEncoding]
    guard encodings.allSatisfy({ $0.lowercased() == "identity" }) else { throw EdgeCall.encodedBody }
    call.query = try Query(parsing: passage.queryText.utf8, allowed: Set(route.query))
    return call
  }

  private func run(_ call: EdgeCall) async throws -> HTTPServerResponse {
    switch call.route.operation {
    case .receiveCallback, .exportMessages, .showUnsubscribe, .unsubscribe: break
    default: guard call.accepts("application/json") else { throw Problem.notAcceptable }
    }
    return switch call.route.operation {
    case .startAuthorization: try await startAuthorization(call)
    case .receiveCallback: try await receiveCallback(call)
    case .completeAuthorization: try await completeAuthorization(call)
    case .getProfile: try await getProfile(call)
    case .disconnectGmail: try await disconnectGmail(call)
    case .mintUserToken: try await mintUserToken(call)
    case .sendMessage: try await sendMessage(call)
    case .listMessages: try await listMessages(call)
    case .getMessage: try await getMessage(call)
    case .cancelMessage: try await cancelMessage(call)
    case .getCapacity: try await getCapacity(call)
    case .getUserReport: try await getUserReport(call)
    case .exportMessages: try await exportMessages(call)
    case .getSummary: try await getSummary(call)
    case .listSuppressions: try await listSuppressions(call)
    case .addSuppression: try await addSuppression(call)
    case .removeSuppression: try await removeSuppression(call)
    case .showUnsubscribe: UnsubscribePage.question
    case .unsubscribe: try await unsubscribe(call)
    case .createWebhook: try await createWebhook(call)
    case .listWebhooks: try await listWebhooks(call)
    case .getWebhook: try await getWebhook(call)
    case .updateWebhook: try await updateWebhook(call)
    case .rotateWebhookSecret: try await rotateWebhookSecret(call)
    case .deleteWebhook: try await deleteWebhook(call)
    case .testWebhook: try await testWebhook(call)
    case .listWebhookDeliveries: try await listWebhookDeliveries(call)
    case .replayWebhookDeliveries: try await replayWebhookDeliveries(call)
    case .getHealth: HTTPServerResponse(AdminRoutes.health)
    case .getReadiness: HTTPServerResponse(AdminRoutes.ready(readiness))
    case .getOpenAPI: OpenAPI.response
    }
  }

  // MARK: Errors

  private func problem(for error: any Error, _ passage: Passage) -> Problem {
    switch error {
    case let problem as Problem: return problem
    case let error as RPCError:
      let problem = ProblemTable.problem(for: error)
      if error.errorInfo?.reason == "invalid_context" { readiness.clock.raise() }
      if problem.status >= 500 {
        logger.warning(
          "a service failed the request", metadata: ["route": "\(passage.label)", "error": "\(error)"])
      }
      return problem
    case let error as Query.Problem: return .invalid(error.field, error.message)
    case let error as JSONFieldErrors: return .invalid(error.items)
    case let error as HTTPBodyError: return Self.problem(for: error)
    case is CancellationError: return .unavailable
    default:
      logger.error("a request failed", metadata: ["route": "\(passage.label)", "error": "\(error)"])
      return Problem(500, "internal", "Something went wrong inside the service.")
    }
  }

  private static func problem(for error: HTTPBodyError) -> Problem {
    switch error.status {
    case .contentTooLarge: Problem(413, "body_too_large", "The body is too large.")
    case .requestTimeout: Problem(408, "body_too_slow", "The body came too slowly.")
    case .serviceUnavailable: .unavailable
    default: .malformed("The body is malformed.")
    }
  }

  // MARK: Figures

  private func count(_ route: String, _ code: Int, _ duration: Duration) {
    let name = "\(route) \(code)"
    let (counter, timer) =
      figures[name]
      ?? {
        let labels = [("route", route), ("code", String(code))]
        let made = (
          Counter(label: "emailmcp_http_requests", dimensions: labels),
          CoreMetrics.Timer(label: "emailmcp_http_request_duration_seconds", dimensions: [("route", route)])
        )
        figures[name] = made
        return made
      }()
    counter.increment()
    timer.recordNanoseconds(duration.wholeNanoseconds)
  }
}

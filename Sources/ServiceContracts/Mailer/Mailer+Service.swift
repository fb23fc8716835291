package import RPCRuntime

extension Mailer {
  /// The largest message of this service, in bytes: a mail of 25 MiB as its parts, with room to spare.
  package static let maxMessageBytes = 40 * 1024 * 1024

  /// What the mailer service implements. Tenant and user are in the call's context.
  package protocol Service {
    func sendMessage(_ request: SendMessageRequest, _ call: ServiceCall) async throws -> SendMessageResponse
    func sendMessages(
      _ requests: MessageReader<SendMessagesRequest>, _ writer: MessageWriter<SendMessagesResponse>, _ call: ServiceCall
    ) async throws
    func getMessage(_ request: GetMessageRequest, _ call: ServiceCall) async throws -> GetMessageResponse
    func listMessages(_ request: ListMessagesRequest, _ call: ServiceCall) async throws -> ListMessagesResponse
    func cancelMessage(_ request: CancelMessageRequest, _ call: ServiceCall) async throws -> CancelMessageResponse
    /// The context may have no user: the whole tenant's.
    func watchMessages(
      _ request: WatchMessagesRequest, _ writer: MessageWriter<WatchMessagesResponse>, _ call: ServiceCall
    ) async throws
    func getCapacity(_ request: GetCapacityRequest, _ call: ServiceCall) async throws -> GetCapacityResponse
    func addSuppression(_ request: AddSuppressionRequest, _ call: ServiceCall) async throws -> AddSuppressionResponse
    func listSuppressions(
      _ request: ListSuppressionsRequest, _ call: ServiceCall
    ) async throws -> ListSuppressionsResponse
    func removeSuppression(
      _ request: RemoveSuppressionRequest, _ call: ServiceCall
    ) async throws -> RemoveSuppressionResponse
    /// The context has neither tenant nor user.
    func unsubscribe(_ request: UnsubscribeRequest, _ call: ServiceCall) async throws -> UnsubscribeResponse
    func createWebhook(_ request: CreateWebhookRequest, _ call: ServiceCall) async throws -> CreateWebhookResponse
    func listWebhooks(_ request: ListWebhooksRequest, _ call: ServiceCall) async throws -> ListWebhooksResponse
    func getWebhook(_ request: GetWebhookRequest, _ call: ServiceCall) async throws -> GetWebhookResponse
    func updateWebhook(_ request: UpdateWebhookRequest, _ call: ServiceCall) async throws -> UpdateWebhookResponse
    func rotateWebhookSecret(_ request: RotateWebhookSecretRequest, _ call: ServiceCall) async throws
      -> RotateWebhookSecretResponse
    func deleteWebhook(_ request: DeleteWebhookRequest, _ call: ServiceCall) async throws -> DeleteWebhookResponse
    func testWebhook(_ request: TestWebhookRequest, _ call: ServiceCall) async throws -> TestWebhookResponse
    func listWebhookDeliveries(_ request: ListWebhookDeliveriesRequest, _ call: ServiceCall) async throws
      -> ListWebhookDeliveriesResponse
    func replayWebhookDeliveries(_ request: ReplayWebhookDeliveriesRequest, _ call: ServiceCall) async throws
      -> ReplayWebhookDeliveriesResponse
  }
}

extension RPCServer {
  /// Serves the service, each method behind a check of its context, which an interceptor must have
  /// verified and attached.
  package func register(_ service: some Mailer.Service) {
    let registrar = ServiceRegistrar(server: self)
    let send = MethodAccess(.edge, scope: "send")
    let read = MethodAccess(.edge, scope: "read")
    // How long a send takes is Gmail's business, and the caller's `wait`.
    registrar.unary(
      Mailer.sendMessage, send, maxRequestBytes: Mailer.maxMessageBytes, latencyShowsLoad: false
    ) {
      try await service.sendMessage($0, $1)
    }
    registrar.bidirectional(Mailer.sendMessages, send, maxRequestBytes: Mailer.maxMessageBytes) {
      try await service.sendMessages($0, $1, $2)
    }
    registrar.unary(Mailer.getMessage, read) { try await service.getMessage($0, $1) }
    registrar.unary(Mailer.listMessages, read) { try await service.listMessages($0, $1) }
    registrar.unary(Mailer.cancelMessage, send) { try await service.cancelMessage($0, $1) }
    registrar.unary(Mailer.getCapacity, read) { try await service.getCapacity($0, $1) }
    let watch = MethodAccess(.edge, scope: "read", needsUser: false)
    registrar.serverStreaming(Mailer.watchMessages, watch, endsOnDrain: true) {
      try await service.watchMessages($0, $1, $2)
    }
    let admin = MethodAccess(.edge, scope: "admin", needsUser: false)
    registrar.unary(Mailer.addSuppression, admin) { try await service.addSuppression($0, $1) }
    registrar.unary(Mailer.listSuppressions, admin) { try await service.listSuppressions($0, $1) }
    registrar.unary(Mailer.removeSuppression, admin) { try await service.removeSuppression($0, $1) }
    registrar.unary(Mailer.createWebhook, admin) { try await service.createWebhook($0, $1) }
    registrar.unary(Mailer.listWebhooks, admin) { try await service.listWebhooks($0, $1) }
    registrar.unary(Mailer.getWebhook, admin) { try await service.getWebhook($0, $1) }
    registrar.unary(Mailer.updateWebhook, admin) { try await service.updateWebhook($0, $1) }
    registrar.unary(Mailer.rotateWebhookSecret, admin) { try await service.rotateWebhookSecret($0, $1) }
    registrar.unary(Mailer.deleteWebhook, admin) { try await service.deleteWebhook($0, $1) }
    registrar.unary(Mailer.testWebhook, admin) { try await service.testWebhook($0, $1) }
    registrar.unary(Mailer.listWebhookDeliveries, admin) { try await service.listWebhookDeliveries($0, $1) }
    registrar.unary(Mailer.replayWebhookDeliveries, admin) { try await service.replayWebhookDeliveries($0, $1) }
    registrar.unary(Mailer.unsubscribe, MethodAccess(.edge, needsTenant: false, needsUser: false)) {
      try await service.unsubscribe($0, $1)
    }
  }
}

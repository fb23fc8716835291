import RPCRuntime
import ServiceContracts
import WireCodec

/// All that is written by hand after the schemas.
enum Inventory {
  static let messages: [any WireMessage.Type] = [
    CallContext.self, SignedCallContext.self, MessageRecord.self, DeliveryError.self, TimelineEvent.self,
    DateOrTime.self, ProtobufTimestamp.self,
    OAuth.StartAuthorizationRequest.self, OAuth.StartAuthorizationResponse.self, OAuth.SealCallbackRequest.self,
    OAuth.SealCallbackResponse.self, OAuth.CompleteAuthorizationRequest.self, OAuth.CompleteAuthorizationResponse.self,
    OAuth.GetProfileRequest.self, OAuth.GetProfileResponse.self, OAuth.GetAccessTokenRequest.self,
    OAuth.TokenRefusal.self, OAuth.GetAccessTokenResponse.self, OAuth.DisconnectRequest.self,
    OAuth.DisconnectResponse.self, OAuth.WatchConnectionsRequest.self, OAuth.WatchConnectionsResponse.self,
    OAuth.WatchConnectionsResponse.WatchStarted.self, OAuth.ConnectionChange.self,
    Mailer.Address.self, Mailer.Attachment.self, Mailer.Header.self, Mailer.SendMessageRequest.self,
    Mailer.SendMessageResponse.self, Mailer.SendMessagesRequest.self, Mailer.SendMessagesResponse.self,
    Mailer.GetMessageRequest.self, Mailer.GetMessageResponse.self, Mailer.ListMessagesRequest.self,
    Mailer.ListMessagesResponse.self, Mailer.CancelMessageRequest.self, Mailer.CancelMessageResponse.self,
    Mailer.WatchMessagesRequest.self, Mailer.WatchMessagesResponse.self, Mailer.WatchMessagesResponse.WatchStarted.self,
    Mailer.Suppression.self, Mailer.AddSuppressionRequest.self, Mailer.AddSuppressionResponse.self,
    Mailer.ListSuppressionsRequest.self, Mailer.ListSuppressionsResponse.self, Mailer.RemoveSuppressionRequest.self,
    Mailer.RemoveSuppressionResponse.self, Mailer.UnsubscribeRequest.self, Mailer.UnsubscribeResponse.self,
    Mailer.GetCapacityRequest.self, Mailer.GetCapacityResponse.self, Mailer.MinuteCapacity.self,
    Mailer.ProjectCapacity.self,
    Mailer.DayCapacity.self, Mailer.QueueForecast.self,
    Mailer.Webhook.self, Mailer.CreateWebhookRequest.self, Mailer.CreateWebhookResponse.self,
    Mailer.ListWebhooksRequest.self, Mailer.ListWebhooksResponse.self, Mailer.GetWebhookRequest.self,
    Mailer.GetWebhookResponse.self, Mailer.UpdateWebhookRequest.self,
    Mailer.UpdateWebhookResponse.self, Mailer.RotateWebhookSecretRequest.self, Mailer.RotateWebhookSecretResponse.self,
    Mailer.DeleteWebhookRequest.self, Mailer.DeleteWebhookResponse.self, Mailer.TestWebhookRequest.self,
    Mailer.TestWebhookResponse.self, Mailer.WebhookDelivery.self, Mailer.ListWebhookDeliveriesRequest.self,
    Mailer.ListWebhookDeliveriesResponse.self, Mailer.ReplayWebhookDeliveriesRequest.self,
    Mailer.ReplayWebhookDeliveriesResponse.self,
    Reports.DateRange.self, Reports.GetUserReportRequest.self, Reports.GetUserReportResponse.self,
    Reports.DayCount.self, Reports.RecipientCount.self, Reports.GetSummaryRequest.self,
    Reports.GetSummaryResponse.self, Reports.SenderCount.self, Reports.UsageDay.self,
    Reports.ExportMessagesRequest.self, Reports.ExportMessagesResponse.self,
    HealthCheckRequest.self, HealthCheckResponse.self, HealthListRequest.self, HealthListResponse.self,
    Reflection.Request.self, Reflection.ExtensionRequest.self, Reflection.Response.self,
    Reflection.FileDescriptorResponse.self, Reflection.ExtensionNumberResponse.self,
    Reflection.ListServiceResponse.self, Reflection.ServiceResponse.self, Reflection.ErrorResponse.self,
    StatusDetails.self, ErrorDetail.self, ErrorInfo.self, RetryInfo.self, BadRequest.self,
    BadRequest.FieldViolation.self, QuotaFailure.self, QuotaFailure.Violation.self, ProtobufDuration.self,
  ]

  static let methods: [String] = [
    line(OAuth.startAuthorization), line(OAuth.sealCallback), line(OAuth.completeAuthorization), line(OAuth.getProfile),
    line(OAuth.getAccessToken), line(OAuth.disconnect), line(OAuth.watchConnections),
    line(Mailer.sendMessage), line(Mailer.sendMessages), line(Mailer.getMessage), line(Mailer.listMessages),
    line(Mailer.cancelMessage), line(Mailer.watchMessages), line(Mailer.getCapacity), line(Mailer.addSuppression),
    line(Mailer.listSuppressions),
    line(Mailer.removeSuppression), line(Mailer.unsubscribe),
    line(Mailer.createWebhook), line(Mailer.listWebhooks), line(Mailer.getWebhook), line(Mailer.updateWebhook),
    line(Mailer.rotateWebhookSecret), line(Mailer.deleteWebhook), line(Mailer.testWebhook),
    line(Mailer.listWebhookDeliveries), line(Mailer.replayWebhookDeliveries),
    line(Reports.getUserReport), line(Reports.getSummary), line(Reports.exportMessages),
    line(Health.check), line(Health.list), line(Health.watch),
    line(Reflection.serverReflectionInfo),
  ]

  /// `package.Service/Method kind package.Request package.Response`.
  private static func line<Request, Response>(_ method: UnaryMethod<Request, Response>) -> String {
    line(method.descriptor, Request.self, Response.self)
  }

  private static func line<Request, Response>(_ method: ServerStreamingMethod<Request, Response>) -> String {
    line(method.descriptor, Request.self, Response.self)
  }

  private static func line<Request, Response>(_ method: BidirectionalMethod<Request, Response>) -> String {
    line(method.descriptor, Request.self, Response.self)
  }

  private static func line(
    _ method: MethodDescriptor, _ request: any WireMessage.Type, _ response: any WireMessage.Type
  ) -> String {
    "\(method.fullName) \(method.kind) \(request.wireName) \(response.wireName)"
  }
}

public import RPCRuntime

/// Every error carries a google.rpc.ErrorInfo with domain "emailmcp"; its reason is named at each method. Tenant and
/// user come from the call's context (emailmcp.common.v1.CallContext). The largest message is 40 MiB. A number that an
/// enum does not have is refused, as any field that is wrong: INVALID_ARGUMENT `invalid_request` with a BadRequest.
public enum Mailer {
  /// The service's full name.
  public static let service = "emailmcp.mailer.v1.Mailer"

  /// Accepts a mail durably and, as far as `wait` goes, waits for its outcome. An error means that nothing was kept;
  /// once the mail is kept, the answer is OK and `status` and `error` say what became of it.
  ///
  /// Errors: INVALID_ARGUMENT `invalid_request` with a BadRequest, INVALID_ARGUMENT `idempotency_key_reused`,
  /// `message_too_large`; PERMISSION_DENIED `from_not_allowed`, `tenant_disabled`;
  /// FAILED_PRECONDITION `not_connected`, `reauth_required`,
  /// `recipient_suppressed` with a BadRequest, `unsubscribe_not_configured`;
  /// ABORTED `idempotency_in_flight` with a RetryInfo; RESOURCE_EXHAUSTED `gmail_rate_limited`, `too_many_unsent` with
  /// QuotaFailure and RetryInfo; UNAVAILABLE `unavailable`: a mail with an idempotency key may be kept, ask again with it.
  public static let sendMessage = UnaryMethod<SendMessageRequest, SendMessageResponse>(service, "SendMessage")

  /// Many mails of one user on one call. Each answer names its request and comes as soon as it is known, in any order.
  /// One mail's error does not end the call.
  public static let sendMessages = BidirectionalMethod<SendMessagesRequest, SendMessagesResponse>(
    service, "SendMessages")

  /// One mail of the context's user, with its timeline.
  ///
  /// Errors: NOT_FOUND `not_found` (also for another user's).
  public static let getMessage = UnaryMethod<GetMessageRequest, GetMessageResponse>(service, "GetMessage")

  /// The context's user's mails, newest first, in pages.
  ///
  /// Errors: INVALID_ARGUMENT `invalid_request`, `invalid_cursor`.
  public static let listMessages = UnaryMethod<ListMessagesRequest, ListMessagesResponse>(service, "ListMessages")

  /// Takes back a queued or scheduled mail.
  ///
  /// Errors: NOT_FOUND `not_found`; FAILED_PRECONDITION `too_late`.
  public static let cancelMessage = UnaryMethod<CancelMessageRequest, CancelMessageResponse>(service, "CancelMessage")

  /// Changes of status of the context's user's mails (of the whole tenant's, without a user), as they are committed,
  /// for as long as the call lasts. The first answer is `started`.
  public static let watchMessages = ServerStreamingMethod<WatchMessagesRequest, WatchMessagesResponse>(
    service, "WatchMessages")

  /// What the context's user may still send, and when the queue is expected to be empty.
  public static let getCapacity = UnaryMethod<GetCapacityRequest, GetCapacityResponse>(service, "GetCapacity")

  /// Puts an address or a domain on the tenant's suppression list: mail to it is refused from now on, and mail that waits
  /// becomes FAILED with `recipient_suppressed` when its turn comes, unless it may have been sent already. Already there: OK.
  ///
  /// Errors: INVALID_ARGUMENT `invalid_request`.
  public static let addSuppression = UnaryMethod<AddSuppressionRequest, AddSuppressionResponse>(
    service, "AddSuppression")

  /// The tenant's suppression list, by entry, in pages.
  ///
  /// Errors: INVALID_ARGUMENT `invalid_request`, `invalid_cursor`.
  public static let listSuppressions = UnaryMethod<ListSuppressionsRequest, ListSuppressionsResponse>(
    service, "ListSuppressions")

  /// Takes an entry off the tenant's suppression list.
  ///
  /// Errors: NOT_FOUND `not_found`.
  public static let removeSuppression = UnaryMethod<RemoveSuppressionRequest, RemoveSuppressionResponse>(
    service, "RemoveSuppression")

  /// What a one-click unsubscribe link does (RFC 8058): puts the recipient on the list of the tenant whose mail it was.
  /// The token is the capability; the context needs neither tenant nor user.
  ///
  /// Errors: NOT_FOUND `not_found` for a token that is not ours.
  public static let unsubscribe = UnaryMethod<UnsubscribeRequest, UnsubscribeResponse>(service, "Unsubscribe")

  /// Makes an endpoint of the tenant's webhooks (Standard Webhooks); its secret is told here and never again.
  ///
  /// Errors: INVALID_ARGUMENT `invalid_request`; FAILED_PRECONDITION `too_many_webhooks` (16).
  public static let createWebhook = UnaryMethod<CreateWebhookRequest, CreateWebhookResponse>(service, "CreateWebhook")

  /// The tenant's endpoints.
  public static let listWebhooks = UnaryMethod<ListWebhooksRequest, ListWebhooksResponse>(service, "ListWebhooks")

  /// One endpoint of the tenant.
  ///
  /// Errors: NOT_FOUND `not_found`.
  public static let getWebhook = UnaryMethod<GetWebhookRequest, GetWebhookResponse>(service, "GetWebhook")

  /// Changes an endpoint; also what lets one that answered 410 be told again.
  ///
  /// Errors: INVALID_ARGUMENT `invalid_request`; NOT_FOUND `not_found`.
  public static let updateWebhook = UnaryMethod<UpdateWebhookRequest, UpdateWebhookResponse>(service, "UpdateWebhook")

  /// Makes a new secret; the old one signs too for a while.
  ///
  /// Errors: INVALID_ARGUMENT `invalid_request`; NOT_FOUND `not_found`.
  public static let rotateWebhookSecret = UnaryMethod<RotateWebhookSecretRequest, RotateWebhookSecretResponse>(
    service, "RotateWebhookSecret")

  /// Removes an endpoint with all that was to be told.
  ///
  /// Errors: NOT_FOUND `not_found`.
  public static let deleteWebhook = UnaryMethod<DeleteWebhookRequest, DeleteWebhookResponse>(service, "DeleteWebhook")

  /// Tells an endpoint an event of the type `webhook.test`.
  ///
  /// Errors: NOT_FOUND `not_found`; FAILED_PRECONDITION `webhook_disabled`.
  public static let testWebhook = UnaryMethod<TestWebhookRequest, TestWebhookResponse>(service, "TestWebhook")

  /// An endpoint's deliveries, the newest first, in pages: the dead letters among them.
  ///
  /// Errors: INVALID_ARGUMENT `invalid_request`, `invalid_cursor`; NOT_FOUND `not_found`.
  public static let listWebhookDeliveries = UnaryMethod<ListWebhookDeliveriesRequest, ListWebhookDeliveriesResponse>(
    service, "ListWebhookDeliveries")

  /// Tells again what was given up, or one event.
  ///
  /// Errors: NOT_FOUND `not_found`.
  public static let replayWebhookDeliveries = UnaryMethod<
    ReplayWebhookDeliveriesRequest, ReplayWebhookDeliveriesResponse
  >(service, "ReplayWebhookDeliveries")
}

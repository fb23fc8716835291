import MailSyntax
import StrictJSON

/// The shapes of bodies, answers and parameters for the OpenAPI document.
enum OpenAPISchemas {
  /// Of several media for one status each has its entry.
  typealias Answer = (status: String, description: String, media: String?, schema: String?)

  static func answers(_ operation: Operation) -> [Answer] {
    let json = "application/json"
    return switch operation {
    case .startAuthorization: [("200", "Where to send the browser.", json, "Authorization")]
    case .receiveCallback:
      [
        ("303", "On to the flow's page.", nil, nil), ("400", "The state leads nowhere.", "text/html", nil),
        ("400", "The state leads nowhere.", "application/problem+json", "Problem"),
      ]
    case .completeAuthorization: [("200", "Connected.", json, "Connection")]
    case .getProfile: [("200", "The connection.", json, "Profile"), ("304", "Not modified.", nil, nil)]
    case .disconnectGmail: [("204", "Disconnected.", nil, nil)]
    case .mintUserToken: [("201", "The token, shown once.", json, "UserToken")]
    case .sendMessage: [("200", "Sent.", json, "Sent"), ("202", "Kept; it will be sent.", json, "Accepted")]
    case .listMessages: [("200", "A page.", json, "MessagePage")]
    case .getMessage: [("200", "The message.", json, "MessageWithTimeline")]
    case .cancelMessage: [("204", "Cancelled.", nil, nil)]
    case .getCapacity: [("200", "The capacity.", json, "Capacity")]
    case .getUserReport: [("200", "The report.", json, "UserReport")]
    case .exportMessages:
      [("200", "The rows.", "text/csv", nil), ("200", "The rows.", "application/x-ndjson", nil)]
    case .getSummary: [("200", "The report.", json, "Summary")]
    case .listSuppressions: [("200", "A page.", json, "SuppressionPage")]
    case .addSuppression:
      [("201", "Suppressed.", json, "Suppression"), ("200", "It was suppressed already.", json, "Suppression")]
    case .removeSuppression: [("204", "No longer suppressed.", nil, nil)]
    case .showUnsubscribe, .unsubscribe: [("200", "A page for the recipient.", "text/html", nil)]
    case .createWebhook: [("201", "Made; its secret is in this answer alone.", json, "WebhookWithSecret")]
    case .listWebhooks: [("200", "All of them.", json, "WebhookList")]
    case .getWebhook: [("200", "The endpoint.", json, "Webhook")]
    case .updateWebhook: [("200", "As it stands now.", json, "Webhook")]
    case .rotateWebhookSecret: [("201", "The new secret, in this answer alone.", json, "WebhookSecret")]
    case .deleteWebhook: [("204", "Removed.", nil, nil)]
    case .testWebhook: [("202", "It will be told.", json, "WebhookTest")]
    case .listWebhookDeliveries: [("200", "A page.", json, "WebhookDeliveryPage")]
    case .replayWebhookDeliveries: [("200", "They wait again.", json, "WebhookReplay")]
    case .getReadiness: [("200", "Yes.", json, "Any"), ("503", "Not yet, or no more.", json, "Any")]
    case .getHealth, .getOpenAPI: [("200", "Yes.", json, "Any")]
    }
  }

  static func requestBody(_ operation: Operation) -> JSONValue? {
    let schema: String
    switch operation {
    case .startAuthorization: schema = "AuthorizeRequest"
    case .mintUserToken: schema = "TokenRequest"
    case .sendMessage: schema = "SendRequest"
    case .addSuppression: schema = "SuppressionRequest"
    case .createWebhook: schema = "WebhookRequest"
    case .updateWebhook: schema = "WebhookChange"
    case .rotateWebhookSecret: schema = "WebhookRotation"
    case .replayWebhookDeliveries: schema = "WebhookReplayRequest"
    case .unsubscribe:
      return [
        "required": true,
        "content": [
          "application/x-www-form-urlencoded": ["schema": OpenAPI.reference("OneClick")],
          "multipart/form-data": ["schema": OpenAPI.reference("OneClick")],
        ],
      ]
    case .completeAuthorization:
      let reference = OpenAPI.reference("CallbackRequest")
      return [
        "required": false,
        "content": [
          "application/json": ["schema": reference],
          "application/x-www-form-urlencoded": ["schema": reference],
        ],
      ]
    default: return nil
    }
    return ["required": true, "content": ["application/json": ["schema": OpenAPI.reference(schema)]]]
  }

  static func headers(_ operation: Operation) -> [String] {
    switch operation {
    case .sendMessage: ["Idempotency-Key", "Prefer"]
    case .getProfile: ["If-None-Match"]
    default: []
    }
  }

  static func parameter(_ name: String, _ operation: Operation) -> JSONValue {
    switch name {
    case "limit" where operation == .listSuppressions || operation == .listWebhookDeliveries:
      ["type": "integer", "minimum": 1, "maximum": 1000, "default": 100]
    case "user_id": ["type": "string", "minLength": 1, "maxLength": 255]
    case "id": ["type": "string", "format": "uuid"]
    case "limit": ["type": "integer", "minimum": 1, "maximum": 200, "default": 50]
    case "wait": ["type": "integer", "minimum": 0, "maximum": 60, "default": 30]
    case "state" where operation == .listWebhookDeliveries:
      ["type": "string", "enum": ["pending", "delivered", "dead"]]
    case "format": ["type": "string", "enum": ["csv", "ndjson"]]
    case "status": OpenAPI.reference("MessageStatus")
    default: ["type": "string"]
    }
  }

  static let schemas: JSONObject = {
    do {
      return try JSONValue(parsing: text).objectValue ?? JSONObject()
    } catch {
      preconditionFailure("the schemas are no JSON: \(error)")
    }
  }()

  private static let text = #"""
    {
      "Any": {"type": "object"},
      "Problem": {
        "type": "object",
        "required": ["type", "title", "status", "detail", "code", "error", "request_id"],
        "properties": {
          "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
          "detail": {"type": "string"}, "instance": {"type": "string"}, "code": {"type": "string"},
          "error": {"type": "string"}, "request_id": {"type": "string"},
          "errors": {
            "type": "array",
            "items": {
              "type": "object", "required": ["field", "message"],
              "properties": {"field": {"type": "string"}, "message": {"type": "string"}}
            }
          },
          "message_status": {"type": "string", "enum": ["failed", "unknown", "cancelled"]}, "id": {"type": "string"}
        }
      },
      "Time": {"type": "string", "format": "date-time"},
      "NullableTime": {"type": ["string", "null"], "format": "date-time"},
      "NullableString": {"type": ["string", "null"]},
      "Scope": {"type": "string", "enum": ["connect", "send", "read", "reports", "reports:summary", "admin"]},
      "AuthorizeRequest": {
        "type": "object", "additionalProperties": false, "required": ["user_id", "redirect_url"],
        "properties": {
          "user_id": {"type": "string", "minLength": 1, "maxLength": 255}, "redirect_url": {"type": "string"},
          "login_hint": {"type": ["string", "null"]}, "expected_email": {"type": ["string", "null"]}
        }
      },
      "Authorization": {
        "type": "object", "required": ["authorization_url", "expires_at"],
        "properties": {
          "authorization_url": {"type": "string", "format": "uri"}, "expires_at": {"$ref": "#/components/schemas/Time"}
        }
      },
      "CallbackRequest": {
        "type": "object", "additionalProperties": false,
        "properties": {
          "code": {"type": "string"}, "state": {"type": "string"}, "user_id": {"type": "string"},
          "error": {"type": "string"}
        }
      },
      "Connection": {
        "type": "object",
        "required": ["status", "user_id", "email_address", "gmail_connected", "redirect_url", "scopes"],
        "properties": {
          "status": {"const": "success"}, "user_id": {"type": "string"}, "email_address": {"type": "string"},
          "gmail_connected": {"type": "boolean"}, "redirect_url": {"type": "string"},
          "scopes": {"type": "array", "items": {"type": "string"}}
        }
      },
      "Profile": {
        "type": "object",
        "required": ["user_id", "gmail_connected", "email_address", "provider", "status", "reauth_reason", "scopes",
          "connected_at", "last_used_at"],
        "properties": {
          "user_id": {"type": "string"}, "gmail_connected": {"type": "boolean"},
          "email_address": {"$ref": "#/components/schemas/NullableString"}, "provider": {"const": "gmail_api"},
          "status": {"type": "string", "enum": ["active", "reauth_required", "disconnected", "never_connected"]},
          "reauth_reason": {"$ref": "#/components/schemas/NullableString"},
          "scopes": {"type": "array", "items": {"type": "string"}},
          "connected_at": {"$ref": "#/components/schemas/NullableTime"},
          "last_used_at": {"$ref": "#/components/schemas/NullableTime"}
        }
      },
      "TokenRequest": {
        "type": "object", "additionalProperties": false,
        "properties": {
          "scopes": {"type": ["array", "null"], "items": {"$ref": "#/components/schemas/Scope"}},
          "expires_in": {"type": ["integer", "null"], "minimum": 1, "maximum": 3600, "default": 900}
        }
      },
      "UserToken": {
        "type": "object", "required": ["token", "expires_at", "scopes"],
        "properties": {
          "token": {"type": "string"}, "expires_at": {"$ref": "#/components/schemas/Time"},
          "scopes": {"type": "array", "items": {"$ref": "#/components/schemas/Scope"}}
        }
      },
      "Address": {
        "description": "The domain may be of any script; before the @ there is ASCII alone.",
        "anyOf": [
          {"type": "string"},
          {
            "type": "object", "additionalProperties": false, "required": ["email"],
            "properties": {"email": {"type": "string"}, "name": {"type": ["string", "null"]}}
          }
        ]
      },
      "Addresses": {
        "type": ["array", "null"], "maxItems": \#(MessageLimits.recipients), "items": {"$ref": "#/components/schemas/Address"}
      },
      "SendRequest": {
        "type": "object", "additionalProperties": false,
        "properties": {
          "to": {"$ref": "#/components/schemas/Addresses"}, "cc": {"$ref": "#/components/schemas/Addresses"},
          "bcc": {"$ref": "#/components/schemas/Addresses"},
          "subject": {"type": ["string", "null"], "maxLength": \#(MessageLimits.subject)},
          "body": {"type": ["string", "null"]}, "html": {"type": ["string", "null"]},
          "from_email": {"type": ["string", "null"]}, "from_name": {"type": ["string", "null"]},
          "reply_to": {
            "anyOf": [
              {"$ref": "#/components/schemas/Address"},
              {"type": "array", "maxItems": \#(MessageLimits.replyTo), "items": {"$ref": "#/components/schemas/Address"}}, {"type": "null"}
            ]
          },
          "attachments": {
            "type": ["array", "null"], "maxItems": \#(MessageLimits.attachments),
            "items": {
              "type": "object", "additionalProperties": false, "required": ["filename", "content"],
              "properties": {
                "filename": {"type": "string", "maxLength": \#(MessageLimits.filename)},
                "content_type": {"type": ["string", "null"]},
                "content": {"type": "string", "contentEncoding": "base64"}, "content_id": {"type": ["string", "null"]},
                "disposition": {"enum": ["attachment", "inline", null]}
              }
            }
          },
          "headers": {
            "type": ["object", "null"], "maxProperties": \#(MessageLimits.headers),
            "propertyNames": {"maxLength": \#(MessageLimits.headerName)},
            "additionalProperties": {"type": "string"}
          },
          "thread_id": {"type": ["string", "null"]}, "provider": {"enum": ["gmail_api", null]},
          "send_at": {"$ref": "#/components/schemas/NullableTime"}, "on_ambiguous": {"enum": ["hold", "retry", null]},
          "one_click_unsubscribe": {"type": ["boolean", "null"]}, "priority": {"enum": ["interactive", "bulk", null]},
          "metadata": {
            "type": ["object", "null"], "maxProperties": \#(MessageLimits.metadata),
            "propertyNames": {"maxLength": \#(MessageLimits.metadataKey)},
            "additionalProperties": {"type": "string", "maxLength": \#(MessageLimits.metadataValue)}
          }
        }
      },
      "Sent": {
        "type": "object",
        "required": ["status", "id", "message_id", "thread_id", "provider", "from_email", "sent_at"],
        "properties": {
          "status": {"const": "success"}, "id": {"type": "string", "format": "uuid"},
          "message_id": {"$ref": "#/components/schemas/NullableString"},
          "thread_id": {"$ref": "#/components/schemas/NullableString"}, "provider": {"const": "gmail_api"},
          "from_email": {"type": "string"}, "sent_at": {"$ref": "#/components/schemas/NullableTime"}
        }
      },
      "Accepted": {
        "type": "object", "required": ["status", "id"],
        "properties": {
          "status": {"type": "string", "enum": ["queued", "scheduled", "sending"]},
          "id": {"type": "string", "format": "uuid"}, "send_at": {"$ref": "#/components/schemas/NullableTime"}
        }
      },
      "OneClick": {
        "type": "object", "required": ["List-Unsubscribe"], "properties": {"List-Unsubscribe": {"const": "One-Click"}}
      },
      "SuppressionRequest": {
        "type": "object", "additionalProperties": false, "required": ["entry"],
        "properties": {
          "entry": {"type": "string", "maxLength": 320}, "reason": {"type": ["string", "null"], "maxLength": 255}
        }
      },
      "Suppression": {
        "type": "object", "required": ["entry", "kind", "reason", "source", "created_at"],
        "properties": {
          "entry": {"type": "string"}, "kind": {"type": "string", "enum": ["address", "domain"]},
          "reason": {"$ref": "#/components/schemas/NullableString"},
          "source": {"type": "string", "enum": ["platform", "unsubscribe"]},
          "created_at": {"$ref": "#/components/schemas/NullableTime"}
        }
      },
      "SuppressionPage": {
        "type": "object", "required": ["suppressions", "next_cursor"],
        "properties": {
          "suppressions": {"type": "array", "items": {"$ref": "#/components/schemas/Suppression"}},
          "next_cursor": {"$ref": "#/components/schemas/NullableString"}
        }
      },
      "MessageStatus": {
        "type": "string", "enum": ["queued", "scheduled", "sending", "success", "failed", "unknown", "cancelled"]
      },
      "Message": {
        "type": "object",
        "required": ["id", "message_id", "thread_id", "from_email", "to", "subject", "status", "error", "created_at",
          "sent_at", "attempts", "metadata"],
        "properties": {
          "id": {"type": "string", "format": "uuid"}, "message_id": {"$ref": "#/components/schemas/NullableString"},
          "thread_id": {"$ref": "#/components/schemas/NullableString"}, "from_email": {"type": "string"},
          "to": {"type": "array", "items": {"type": "string"}}, "subject": {"type": "string"},
          "status": {"$ref": "#/components/schemas/MessageStatus"},
          "error": {"$ref": "#/components/schemas/NullableString"},
          "created_at": {"$ref": "#/components/schemas/NullableTime"},
          "sent_at": {"$ref": "#/components/schemas/NullableTime"}, "attempts": {"type": "integer"},
          "metadata": {"type": "object", "additionalProperties": {"type": "string"}}
        }
      },
      "MessageWithTimeline": {
        "allOf": [{"$ref": "#/components/schemas/Message"}], "required": ["cc", "bcc", "send_at", "timeline"],
        "properties": {
          "cc": {"type": "array", "items": {"type": "string"}}, "bcc": {"type": "array", "items": {"type": "string"}},
          "send_at": {"$ref": "#/components/schemas/NullableTime"},
          "timeline": {
            "type": "array",
            "items": {
              "type": "object", "required": ["at", "event"],
              "properties": {
                "at": {"$ref": "#/components/schemas/NullableTime"}, "detail": {"type": "string"},
                "event": {
                  "enum": ["accepted", "scheduled", "leased", "attempt", "refused", "outcome", "cancelled", null]
                }
              }
            }
          }
        }
      },
      "MessagePage": {
        "type": "object", "required": ["messages", "next_cursor"],
        "properties": {
          "messages": {"type": "array", "items": {"$ref": "#/components/schemas/Message"}},
          "next_cursor": {"$ref": "#/components/schemas/NullableString"}
        }
      },
      "WebhookURL": {"type": "string", "minLength": 10, "maxLength": 2048},
      "WebhookRequest": {
        "type": "object", "additionalProperties": false, "required": ["url"],
        "properties": {
          "url": {"$ref": "#/components/schemas/WebhookURL"}, "final_only": {"type": ["boolean", "null"]}
        }
      },
      "WebhookChange": {
        "type": "object", "additionalProperties": false,
        "properties": {
          "url": {"type": ["string", "null"], "maxLength": 2048}, "final_only": {"type": ["boolean", "null"]},
          "enabled": {"type": ["boolean", "null"]}
        }
      },
      "WebhookRotation": {
        "type": "object", "additionalProperties": false,
        "properties": {"overlap": {"type": ["integer", "null"], "minimum": 0, "maximum": 604800, "default": 86400}}
      },
      "WebhookReplayRequest": {
        "type": "object", "additionalProperties": false,
        "properties": {"event_id": {"type": ["string", "null"], "maxLength": 64}}
      },
      "Webhook": {
        "type": "object",
        "required": ["id", "url", "final_only", "enabled", "created_at", "previous_secret_until", "pending", "dead"],
        "properties": {
          "id": {"type": "string"}, "url": {"$ref": "#/components/schemas/WebhookURL"},
          "final_only": {"type": "boolean"}, "enabled": {"type": "boolean"},
          "created_at": {"$ref": "#/components/schemas/NullableTime"},
          "previous_secret_until": {"$ref": "#/components/schemas/NullableTime"},
          "pending": {
            "type": "integer", "maximum": 100000, "description": "Deliveries that wait, counted to 100,000."
          },
          "dead": {
            "type": "integer", "maximum": 100000, "description": "Deliveries that were given up, counted to 100,000."
          }
        }
      },
      "WebhookWithSecret": {
        "allOf": [{"$ref": "#/components/schemas/Webhook"}], "required": ["secret"],
        "properties": {"secret": {"type": "string"}}
      },
      "WebhookList": {
        "type": "object", "required": ["webhooks"],
        "properties": {
          "webhooks": {"type": "array", "maxItems": 16, "items": {"$ref": "#/components/schemas/Webhook"}}
        }
      },
      "WebhookSecret": {
        "type": "object", "required": ["secret", "previous_secret_until"],
        "properties": {
          "secret": {"type": "string"}, "previous_secret_until": {"$ref": "#/components/schemas/NullableTime"}
        }
      },
      "WebhookTest": {
        "type": "object", "required": ["event_id"], "properties": {"event_id": {"type": "string"}}
      },
      "WebhookReplay": {
        "type": "object", "required": ["replayed"], "properties": {"replayed": {"type": "integer"}}
      },
      "WebhookDeliveryPage": {
        "type": "object", "required": ["deliveries", "next_cursor"],
        "properties": {
          "deliveries": {
            "type": "array",
            "items": {
              "type": "object",
              "required": ["event_id", "type", "subject", "state", "attempts", "created_at", "next_attempt_at",
                "done_at", "last_status", "last_error"],
              "properties": {
                "event_id": {"type": "string"}, "type": {"type": "string"}, "subject": {"type": "string"},
                "state": {"enum": ["pending", "delivered", "dead"]}, "attempts": {"type": "integer"},
                "created_at": {"$ref": "#/components/schemas/NullableTime"},
                "next_attempt_at": {"$ref": "#/components/schemas/NullableTime"},
                "done_at": {"$ref": "#/components/schemas/NullableTime"},
                "last_status": {"type": ["integer", "null"]},
                "last_error": {"$ref": "#/components/schemas/NullableString"}
              }
            }
          },
          "next_cursor": {"$ref": "#/components/schemas/NullableString"}
        }
      },
      "Capacity": {
        "type": "object",
        "required": ["user_id", "status", "minute", "day", "next_send_at", "paused_reason", "queue", "project",
          "as_of"],
        "properties": {
          "user_id": {"type": "string"},
          "status": {"type": "string", "enum": ["active", "reauth_required", "disconnected", "never_connected"]},
          "minute": {
            "type": "object", "required": ["messages_limit", "messages_left"],
            "properties": {"messages_limit": {"type": "integer"}, "messages_left": {"type": "integer", "minimum": 0}}
          },
          "day": {
            "type": "object",
            "required": ["recipients_limit", "recipients_used", "recipients_left", "limit_is_learnt", "frees_at"],
            "properties": {
              "recipients_limit": {"type": "integer"}, "recipients_used": {"type": "integer"},
              "recipients_left": {"type": "integer", "minimum": 0}, "limit_is_learnt": {"type": "boolean"},
              "frees_at": {"$ref": "#/components/schemas/NullableTime"}
            }
          },
          "next_send_at": {"$ref": "#/components/schemas/NullableTime"},
          "paused_reason": {"type": ["string", "null"]},
          "queue": {
            "type": "object",
            "required": ["waiting", "scheduled", "parked", "earliest_finish_at", "expected_finish_at", "basis"],
            "properties": {
              "waiting": {"type": "integer"}, "scheduled": {"type": "integer"}, "parked": {"type": "integer"},
              "earliest_finish_at": {"$ref": "#/components/schemas/NullableTime"},
              "expected_finish_at": {"$ref": "#/components/schemas/NullableTime"},
              "basis": {"enum": ["limits", "observed", null]}
            }
          },
          "project": {
            "type": "object", "required": ["messages_per_minute_limit", "messages_per_minute", "paused_until"],
            "properties": {
              "messages_per_minute_limit": {"type": "integer"}, "messages_per_minute": {"type": "integer"},
              "paused_until": {"$ref": "#/components/schemas/NullableTime"}
            }
          },
          "as_of": {"$ref": "#/components/schemas/Time"}
        }
      },
      "Day": {
        "type": "object", "required": ["date", "total", "successful", "failed"],
        "properties": {
          "date": {"type": "string", "format": "date"}, "total": {"type": "integer"},
          "successful": {"type": "integer"}, "failed": {"type": "integer"}, "active_users": {"type": "integer"}
        }
      },
      "Rate": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
      "UserReport": {
        "type": "object",
        "required": ["user_id", "start_date", "end_date", "time_zone", "as_of", "total_emails", "successful_emails",
          "failed_emails", "unknown_emails", "pending_emails", "success_rate", "emails_by_day", "top_recipients",
          "recent_emails"],
        "properties": {
          "user_id": {"type": "string"}, "start_date": {"$ref": "#/components/schemas/NullableString"},
          "end_date": {"$ref": "#/components/schemas/NullableString"},
          "time_zone": {"$ref": "#/components/schemas/NullableString"},
          "as_of": {"$ref": "#/components/schemas/NullableTime"}, "total_emails": {"type": "integer"},
          "successful_emails": {"type": "integer"}, "failed_emails": {"type": "integer"},
          "unknown_emails": {"type": "integer"}, "pending_emails": {"type": "integer"},
          "success_rate": {"$ref": "#/components/schemas/Rate"},
          "emails_by_day": {"type": "array", "items": {"$ref": "#/components/schemas/Day"}},
          "top_recipients": {
            "type": "array", "maxItems": 10,
            "items": {
              "type": "object", "required": ["email", "count"],
              "properties": {"email": {"type": "string"}, "count": {"type": "integer"}}
            }
          },
          "recent_emails": {"type": "array", "maxItems": 10, "items": {"$ref": "#/components/schemas/Message"}}
        }
      },
      "Summary": {
        "type": "object",
        "required": ["total_users", "total_emails_sent", "emails_today", "success_rate", "top_senders",
          "usage_trends", "time_zone", "as_of"],
        "properties": {
          "start_date": {"$ref": "#/components/schemas/NullableString"},
          "end_date": {"$ref": "#/components/schemas/NullableString"}, "total_users": {"type": "integer"},
          "total_emails_sent": {"type": "integer"}, "emails_today": {"type": "integer"},
          "success_rate": {"$ref": "#/components/schemas/Rate"},
          "top_senders": {
            "type": "array", "maxItems": 10,
            "items": {
              "type": "object", "required": ["user_id", "email_address", "count"],
              "properties": {
                "user_id": {"type": "string"}, "email_address": {"$ref": "#/components/schemas/NullableString"},
                "count": {"type": "integer"}
              }
            }
          },
          "usage_trends": {"type": "array", "items": {"$ref": "#/components/schemas/Day"}},
          "time_zone": {"$ref": "#/components/schemas/NullableString"},
          "as_of": {"$ref": "#/components/schemas/NullableTime"}
        }
      }
    }
    """#
}

import StrictJSON

/// What endpoints of a tenant are told, for the OpenAPI document: its `webhooks`, and the shapes of the events. The
/// database writes them (see the migration `webhooks`); tests hold real ones against these schemas.
enum OpenAPIEvents {
  static let webhooks: JSONValue = [
    "message": webhook("A mail has another status.", "MessageEvent"),
    "account": webhook("A user's account was connected, disconnected, or must be connected again.", "AccountEvent"),
    "test": webhook("`POST /v1/webhooks/{id}/test` asked for it.", "TestEvent"),
  ]

  private static func webhook(_ summary: String, _ schema: String) -> JSONValue {
    let headers: [JSONValue] = ["webhook-id", "webhook-timestamp", "webhook-signature"].map {
      ["name": .string($0), "in": "header", "required": true, "schema": ["type": "string"]]
    }
    return [
      "post": [
        "summary": .string(summary),
        "description":
          "Signed by the rules of Standard Webhooks. One subject's events come in order; any may come twice.",
        "security": [],
        "parameters": .array(headers),
        "requestBody": [
          "required": true, "content": ["application/json": ["schema": OpenAPI.reference(schema)]],
        ],
        "responses": [
          "2XX": ["description": "Taken."], "410": ["description": "The endpoint is disabled."],
          "default": ["description": "It is told again later."],
        ],
      ]
    ]
  }

  static let schemas: JSONObject = {
    do {
      return try JSONValue(parsing: text).objectValue ?? JSONObject()
    } catch {
      preconditionFailure("the events' schemas are no JSON: \(error)")
    }
  }()

  private static let text = #"""
    {
      "Event": {
        "type": "object", "required": ["type", "timestamp", "data"],
        "properties": {
          "type": {"type": "string"}, "timestamp": {"$ref": "#/components/schemas/Time"}, "data": {"type": "object"}
        }
      },
      "MessageEvent": {
        "allOf": [{"$ref": "#/components/schemas/Event"}],
        "properties": {
          "type": {
            "enum": ["message.queued", "message.scheduled", "message.sending", "message.success", "message.failed",
              "message.unknown", "message.cancelled"]
          },
          "data": {
            "type": "object",
            "required": ["id", "user_id", "status", "message_id", "thread_id", "code", "error", "attempts", "sent_at",
              "metadata"],
            "properties": {
              "id": {"type": "string", "format": "uuid"}, "user_id": {"type": "string"},
              "status": {"$ref": "#/components/schemas/MessageStatus"},
              "message_id": {"$ref": "#/components/schemas/NullableString"},
              "thread_id": {"$ref": "#/components/schemas/NullableString"},
              "code": {"$ref": "#/components/schemas/NullableString"},
              "error": {"$ref": "#/components/schemas/NullableString"},
              "attempts": {"type": "integer", "minimum": 0},
              "sent_at": {"$ref": "#/components/schemas/NullableTime"},
              "metadata": {"type": "object", "additionalProperties": {"type": "string"}}
            },
            "additionalProperties": false
          }
        }
      },
      "AccountEvent": {
        "allOf": [{"$ref": "#/components/schemas/Event"}],
        "properties": {
          "type": {"enum": ["account.connected", "account.reauth_required", "account.disconnected"]},
          "data": {
            "type": "object", "required": ["user_id", "provider", "email_address", "status", "reauth_reason"],
            "properties": {
              "user_id": {"type": "string"}, "provider": {"const": "gmail_api"},
              "email_address": {"$ref": "#/components/schemas/NullableString"},
              "status": {"enum": ["active", "reauth_required", "disconnected"]},
              "reauth_reason": {"$ref": "#/components/schemas/NullableString"}
            },
            "additionalProperties": false
          }
        }
      },
      "TestEvent": {
        "allOf": [{"$ref": "#/components/schemas/Event"}], "properties": {"type": {"const": "webhook.test"}}
      }
    }
    """#
}

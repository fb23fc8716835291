import HTTPServer
import HTTPTypes
import ServiceKit
import StrictJSON

/// The OpenAPI 3.1 document. Paths come from the routes themselves, so that the two cannot differ; the shapes are in
/// `OpenAPISchemas`, the headers of answers in `OpenAPIHeaders`.
enum OpenAPI {
  static var response: HTTPServerResponse {
    HTTPServerResponse(
      .ok, headers: [.contentType: "application/json", .cacheControl: "public, max-age=300"], body: encoded)
  }

  private static let encoded = document.encoded()

  static let document: JSONValue = {
    var paths = JSONObject()
    for route in Route.all {
      var item = paths[route.path]?.objectValue ?? JSONObject()
      item[route.method.rawValue] = operation(route)
      paths[route.path] = .object(item)
    }
    var schemas = OpenAPISchemas.schemas
    for event in OpenAPIEvents.schemas.members { schemas[event.name] = event.value }
    return [
      "openapi": "3.1.0",
      "info": [
        "title": "EmailMCP", "version": .string(Release.version),
        "description": "Sends a user's mail from the user's own Gmail account, and reports on it.",
        "license": ["name": "Apache-2.0", "identifier": "Apache-2.0"],
      ],
      "servers": [["url": "/"]],
      "security": [["credential": []]],
      "paths": .object(paths),
      "webhooks": OpenAPIEvents.webhooks,
      "components": [
        "securitySchemes": [
          "credential": [
            "type": "http", "scheme": "bearer",
            "description": "An API key (emcp_…) of a tenant, or a user token (emct_…).",
          ]
        ],
        "schemas": .object(schemas),
        "headers": OpenAPIHeaders.components,
        "responses": [
          "Problem": [
            "description": "An error (RFC 9457).",
            "headers": OpenAPIHeaders.object(OpenAPIHeaders.ofProblems),
            "content": ["application/problem+json": ["schema": reference("Problem")]],
          ]
        ],
      ],
    ]
  }()

  static func reference(_ schema: String) -> JSONValue { ["$ref": .string("#/components/schemas/\(schema)")] }

  private static func operation(_ route: Route) -> JSONValue {
    var operation = JSONObject()
    operation["operationId"] = .string(route.operation.rawValue)
    operation["summary"] = .string(route.summary)
    if let scope = route.scope {
      operation["description"] = .string("Needs the scope `\(scope.rawValue)`.")
    } else {
      operation["security"] = []
    }
    let parameters = parameters(route)
    if !parameters.isEmpty { operation["parameters"] = .array(parameters) }
    if let body = OpenAPISchemas.requestBody(route.operation) { operation["requestBody"] = body }
    operation["responses"] = responses(route)
    return .object(operation)
  }

  private static func parameters(_ route: Route) -> [JSONValue] {
    var parameters: [JSONValue] = []
    for segment in route.path.split(separator: "/") where segment.hasPrefix("{") {
      let name = String(segment.dropFirst().dropLast())
      parameters.append([
        "name": .string(name), "in": "path", "required": true,
        "schema": OpenAPISchemas.parameter(name, route.operation),
      ])
    }
    for name in route.query {
      parameters.append([
        "name": .string(name), "in": "query", "schema": OpenAPISchemas.parameter(name, route.operation),
      ])
    }
    for name in OpenAPISchemas.headers(route.operation) {
      parameters.append(["name": .string(name), "in": "header", "schema": ["type": "string"]])
    }
    return parameters
  }

  private static func responses(_ route: Route) -> JSONValue {
    var responses = JSONObject()
    let answers = OpenAPISchemas.answers(route.operation)
    for (status, description, _, _) in answers {
      var response = object("description", .string(description))
      response["headers"] = OpenAPIHeaders.object(OpenAPIHeaders.names(route.operation, status))
      var content = JSONObject()
      for case (status, _, let media?, let schema) in answers {
        content[media] = ["schema": schema.map { reference($0) } ?? ["type": "string"]] as JSONValue
      }
      if !content.isEmpty { response["content"] = .object(content) }
      responses[status] = .object(response)
    }
    responses["default"] = ["$ref": "#/components/responses/Problem"]
    return .object(responses)
  }

  private static func object(_ name: String, _ value: JSONValue) -> JSONObject {
    var object = JSONObject()
    object[name] = value
    return object
  }
}

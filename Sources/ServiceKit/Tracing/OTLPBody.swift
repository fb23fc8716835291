package import RPCRuntime
internal import StrictJSON

/// Spans as OTLP/HTTP takes them, in its JSON form.
///
/// Spec: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding
package enum OTLPBody {
  package static func encode(_ spans: [Span.Record], serviceName: String) -> [UInt8] {
    var json = JSONWriter(capacity: 512 * spans.count + 256)
    json.object { json in
      json.member("resourceSpans") { json in
        json.array { json in
          json.object { json in
            json.member("resource") { json in
              json.object { $0.member("attributes") { attributes(["service.name": .text(serviceName)], to: &$0) } }
            }
            json.member("scopeSpans") { json in
              json.array { json in
                json.object { json in
                  json.member("scope") { json in json.object { $0.member("name", "emailmcp") } }
                  json.member("spans") { json in json.array(of: spans) { write($1, to: &$0) } }
                }
              }
            }
          }
        }
      }
    }
    return json.finish()
  }

  private static func write(_ span: Span.Record, to json: inout JSONWriter) {
    json.object { json in
      json.member("traceId", span.context.traceIDText)
      json.member("spanId", TraceContext.text(span.context.spanID))
      if let parent = span.parentID { json.member("parentSpanId", TraceContext.text(parent)) }
      json.member("name", span.name)
      json.member("kind", span.kind.rawValue)
      // 64-bit numbers are text in protobuf's JSON.
      json.member("startTimeUnixNano", String(span.start))
      json.member("endTimeUnixNano", String(span.end))
      json.member("flags", 1)
      json.member("attributes") { attributes(span.attributes, to: &$0) }
      json.member("status") { json in json.object { if span.isError { $0.member("code", 2) } } }
    }
  }

  private static func attributes(_ attributes: [String: Span.Value], to json: inout JSONWriter) {
    json.array(of: attributes.sorted { $0.key < $1.key }) { json, attribute in
      json.object { json in
        json.member("key", attribute.key)
        json.member("value") { json in
          json.object { json in
            switch attribute.value {
            case .text(let text): json.member("stringValue", text)
            case .number(let number): json.member("intValue", String(number))
            }
          }
        }
      }
    }
  }
}

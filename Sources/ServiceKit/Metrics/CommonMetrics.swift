/// Help texts and buckets of what the shared modules measure.
package enum CommonMetrics {
  package static let descriptions: [MetricDescription] = [
    MetricDescription("grpc_server_call_started_total", help: "RPCs that began, by method."),
    MetricDescription("grpc_server_call_duration_seconds", help: "Time from the request's headers to the status."),
    MetricDescription(
      "grpc_server_call_sent_total_compressed_message_size_bytes", help: "Bytes of response messages of an RPC.",
      buckets: MetricDescription.sizes),
    MetricDescription(
      "grpc_server_call_rcvd_total_compressed_message_size_bytes", help: "Bytes of request messages of an RPC.",
      buckets: MetricDescription.sizes),
    MetricDescription("grpc_client_attempt_started_total", help: "Attempts of RPCs that began, by method and target."),
    MetricDescription("grpc_client_attempt_duration_seconds", help: "Time that an attempt of an RPC took."),
    MetricDescription(
      "grpc_client_attempt_sent_total_compressed_message_size_bytes", help: "Bytes of request messages of an attempt.",
      buckets: MetricDescription.sizes),
    MetricDescription(
      "grpc_client_attempt_rcvd_total_compressed_message_size_bytes",
      help: "Bytes of response messages of an attempt.", buckets: MetricDescription.sizes),
    MetricDescription("grpc_client_call_duration_seconds", help: "Time that an RPC took with all its attempts."),
    MetricDescription("grpc_client_call_retries_total", help: "Attempts of RPCs after the first."),
    MetricDescription(
      "grpc_client_call_transparent_retries_total",
      help: "Attempts of RPCs that followed one which the server has certainly not processed."),
    MetricDescription("grpc_client_call_hedges_total", help: "Attempts of RPCs beside the first."),
    MetricDescription(
      "grpc_subchannel_connection_attempts_succeeded_total", help: "Connections to other services that were made."),
    MetricDescription(
      "grpc_subchannel_connection_attempts_failed_total", help: "Attempts to connect to other services that failed."),
    MetricDescription(
      "grpc_subchannel_disconnections_total",
      help: "Connections to other services that were lost, told to go or given up, by reason."),
    MetricDescription(
      "grpc_subchannel_open_connections", help: "Connections to other services that are open and take calls."),
    MetricDescription(
      "grpc_lb_outlier_detection_ejections_enforced_total", help: "Replicas that were spared calls for failing."),
    MetricDescription(
      "rpc_http2_limits_total", help: "Peers that met one of the limits on HTTP/2, requests and connections, by limit."),
    MetricDescription("rpc_client_http2_limits_total", help: "Servers that met one of the limits on HTTP/2, by limit."),
    MetricDescription(
      "rpc_server_connections_ended_total", help: "Connections that the RPC server ended by itself, by reason."),
    MetricDescription(
      "rpc_server_calls_shed_total", help: "RPCs turned away because the server had too much to do, by method."),
    MetricDescription("emailmcp_postgres_connections", help: "Connections to PostgreSQL, by loop."),
    MetricDescription(
      "emailmcp_postgres_connects_total", help: "Attempts to connect to PostgreSQL, by result."),
    MetricDescription(
      "emailmcp_postgres_transactions_open", help: "Connections lent to transactions that decide as they go, by loop."),
    MetricDescription("emailmcp_postgres_waiting", help: "Statements and transactions without a connection, by loop."),
    MetricDescription("emailmcp_postgres_query_duration_seconds", help: "Time that a statement or a batch took."),
    MetricDescription("emailmcp_postgres_errors_total", help: "Statements that failed, by code."),
    MetricDescription("emailmcp_trace_spans_exported_total", help: "Spans that the collector of traces has taken."),
    MetricDescription(
      "emailmcp_trace_spans_dropped_total", help: "Spans that were lost: too many at one time, or not taken."),
    MetricDescription("emailmcp_ready", help: "1 when the process can do its work, else 0."),
    MetricDescription(
      "emailmcp_log_lines_dropped", help: "Log lines dropped since the start: the reader was too slow."),
  ]
}

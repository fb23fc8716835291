package import RPCRuntime

/// The schemas that are written by hand in this module, as the reflection service tells them: `Proto/`, built in.
package enum ServiceSchemas {
  package static let files = [
    ProtoFile(builtIn: "google/rpc/status.proto", source: PackageResources.status_proto),
    ProtoFile(builtIn: "google/rpc/error_details.proto", source: PackageResources.error_details_proto),
    ProtoFile(builtIn: "emailmcp/common/v1/common.proto", source: PackageResources.common_proto),
    ProtoFile(builtIn: "emailmcp/oauth/v1/oauth.proto", source: PackageResources.oauth_proto),
    ProtoFile(builtIn: "emailmcp/mailer/v1/mailer.proto", source: PackageResources.mailer_proto),
    ProtoFile(builtIn: "emailmcp/report/v1/report.proto", source: PackageResources.report_proto),
  ]
}

extension ProtoFile {
  /// The files that the runtime brings: its own services, and protobuf's types that most files import.
  static let builtIn: [ProtoFile] = {
    let reflection = String(decoding: PackageResources.reflection_proto, as: UTF8.self)
    let alpha = reflection.split(separator: "\n", omittingEmptySubsequences: false).map { line in
      line.hasPrefix("package ") ? "package grpc.reflection.v1alpha;" : String(line)
    }.joined(separator: "\n")
    return [
      ProtoFile(builtIn: "grpc/health/v1/health.proto", source: PackageResources.health_proto),
      ProtoFile(builtIn: "grpc/reflection/v1/reflection.proto", source: PackageResources.reflection_proto),
      // The same messages and method under the name that older clients ask by.
      ProtoFile(builtIn: "grpc/reflection/v1alpha/reflection.proto", source: Array(alpha.utf8)),
      wellKnown("any", "Any", "string type_url = 1; bytes value = 2;", go: "anypb"),
      wellKnown("duration", "Duration", "int64 seconds = 1; int32 nanos = 2;", go: "durationpb", arenas: true),
      wellKnown("timestamp", "Timestamp", "int64 seconds = 1; int32 nanos = 2;", go: "timestamppb", arenas: true),
      wellKnown("empty", "Empty", "", go: "emptypb", arenas: true),
    ]
  }()

  /// protobuf's own files, without their comments.
  private static func wellKnown(
    _ file: String, _ message: String, _ fields: String, go: String, arenas: Bool = false
  ) -> ProtoFile {
    let source = """
      syntax = "proto3";
      package google.protobuf;
      option csharp_namespace = "Google.Protobuf.WellKnownTypes";
      \(arenas ? "option cc_enable_arenas = true;" : "")
      option go_package = "google.golang.org/protobuf/types/known/\(go)";
      option java_package = "com.google.protobuf";
      option java_outer_classname = "\(message)Proto";
      option java_multiple_files = true;
      option objc_class_prefix = "GPB";
      message \(message) { \(fields) }
      """
    return ProtoFile(builtIn: "google/protobuf/\(file).proto", source: Array(source.utf8))
  }
}

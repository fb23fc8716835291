// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .enableUpcomingFeature("InferIsolatedConformances"),
]

let runtime: Target.Dependency = .product(name: "RPCRuntime", package: "EmailMCP")

// Programs that measure the product, with the peers that they are measured against. Not part of the product's build.
let package = Package(
  name: "Benchmarks",
  platforms: [.macOS(.v15)],
  dependencies: [.package(name: "EmailMCP", path: "..")],
  targets: [
    .target(name: "EchoSchema", dependencies: [runtime], swiftSettings: settings),
    .executableTarget(name: "echo-server", dependencies: ["EchoSchema", runtime], path: "Sources/EchoServer", swiftSettings: settings),
    .executableTarget(name: "echo-client", dependencies: ["EchoSchema", runtime], path: "Sources/EchoClient", swiftSettings: settings),
    .executableTarget(name: "codec-bench", dependencies: ["EchoSchema", runtime], path: "Sources/CodecBench", swiftSettings: settings),
  ]
)

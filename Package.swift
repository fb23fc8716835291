// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .enableUpcomingFeature("InferIsolatedConformances"),
  .enableUpcomingFeature("ImmutableWeakCaptures"),
]

func module(_ name: String, _ dependencies: [Target.Dependency] = [], resources: [Resource]? = nil) -> Target {
  .target(name: name, dependencies: dependencies, resources: resources, swiftSettings: settings)
}

func executable(_ name: String, _ dependencies: [Target.Dependency], resources: [Resource]? = nil) -> Target {
  .executableTarget(name: name, dependencies: dependencies, resources: resources, swiftSettings: settings)
}

func tests(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .testTarget(
    name: "\(name)Tests", dependencies: [.byName(name: name)] + dependencies,
    path: "Tests/\(name)Tests", swiftSettings: settings)
}

func library(_ name: String, pkgConfig: String, apt: String) -> Target {
  .systemLibrary(name: name, pkgConfig: pkgConfig, providers: [.apt([apt])])
}

let log: Target.Dependency = .product(name: "Logging", package: "swift-log")
let metrics: Target.Dependency = .product(name: "CoreMetrics", package: "swift-metrics")
let httpTypes: Target.Dependency = .product(name: "HTTPTypes", package: "swift-http-types")
let deque: Target.Dependency = .product(name: "DequeModule", package: "swift-collections")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

/// What reads strangers' bytes.
let fuzzed: [Target.Dependency] = [
  "CivilTime", "WireCodec", "StrictJSON", "EventLoop", "HTTP2Session", "HTTPServer", "RPCRuntime", "ServiceContracts",
  "PostgresClient", "CLibPQ", "MailSyntax", "MailerService", "TLSSession", httpTypes,
]

let package = Package(
  name: "EmailMCP",
  products: [
    .library(name: "RPCRuntime", targets: ["RPCRuntime", "WireCodec", "EventLoop", "TLSSession"]),
    .library(name: "ServiceContracts", targets: ["ServiceContracts"]),
    .executable(name: "edge-service", targets: ["EdgeService"]),
    .executable(name: "oauth-service", targets: ["OAuthService"]),
    .executable(name: "mailer-service", targets: ["MailerService"]),
    .executable(name: "report-service", targets: ["ReportService"]),
    .executable(name: "google-sandbox", targets: ["GoogleSandbox"]),
    .executable(name: "emailmcp", targets: ["EmailMCPCLI"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: []),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
  ],
  targets: [
    // System libraries, one Swift module each.
    library("CNghttp2", pkgConfig: "libnghttp2", apt: "libnghttp2-dev"),
    library("COpenSSL", pkgConfig: "openssl", apt: "libssl-dev"),
    library("CLibPQ", pkgConfig: "libpq", apt: "libpq-dev"),
    library("CLibCurl", pkgConfig: "libcurl", apt: "libcurl4-openssl-dev"),
    library("CZlib", pkgConfig: "zlib", apt: "zlib1g-dev"),
    .systemLibrary(name: "CLinux"),

    // Foundations: values and the loop.
    module("HugePages"),
    module("WireCodec"),
    module("StrictJSON", ["HugePages"]),
    module("CivilTime"),
    module("MailSyntax"),
    module("URLSyntax"),
    module("EventLoop", ["CLinux", deque]),
    module("TLSSession", ["COpenSSL", "HugePages"]),
    module("HTTP2Session", ["CNghttp2"]),
    module("Transport", ["CLinux", "EventLoop", "TLSSession"]),

    // Protocols.
    module("RPCRuntime", ["WireCodec", "StrictJSON", "EventLoop", "TLSSession", "HTTP2Session", "Transport", "CZlib", deque, log, metrics], resources: [.embedInCode("Schemas")]),
    module("HTTPServer", ["CivilTime", "EventLoop", "TLSSession", "HTTP2Session", "Transport", httpTypes]),
    module("HTTPSClient", ["URLSyntax", "EventLoop", "CLibCurl", deque, httpTypes]),
    module("PostgresClient", ["CivilTime", "EventLoop", "CLibPQ", deque, log, metrics]),
    module("SecretVault", ["URLSyntax", "CivilTime", "HTTPSClient", "PostgresClient", "TLSSession", "StrictJSON", "EventLoop", httpTypes, log]),

    // What services share.
    module("ServiceKit", ["URLSyntax", "CivilTime", "ServiceContracts", "WireCodec", httpTypes, "EventLoop", "TLSSession", "HTTPServer", "HTTPSClient", "RPCRuntime", "PostgresClient", "StrictJSON", "CLinux", log, metrics]),
    module("ServiceContracts", ["CivilTime", "WireCodec", "RPCRuntime"], resources: [.embedInCode("Schemas")]),

    // Processes.
    executable("EdgeService", ["CivilTime", "MailSyntax", "WireCodec", "ServiceContracts", "ServiceKit", "HTTPServer", "RPCRuntime", "PostgresClient", "StrictJSON", "TLSSession", "EventLoop", httpTypes, log, metrics]),
    executable("OAuthService", ["URLSyntax", "CivilTime", "ServiceContracts", "ServiceKit", "HTTPSClient", "RPCRuntime", "PostgresClient", "SecretVault", "StrictJSON", "TLSSession", "EventLoop", httpTypes, log, metrics]),
    executable("MailerService", ["CivilTime", "URLSyntax", "HugePages", "MailSyntax", "WireCodec", "ServiceContracts", "ServiceKit", "HTTPSClient", "RPCRuntime", "PostgresClient", "SecretVault", "StrictJSON", "TLSSession", "EventLoop", httpTypes, log, metrics]),
    executable("ReportService", ["CivilTime", "ServiceContracts", "ServiceKit", "RPCRuntime", "PostgresClient", "StrictJSON", "WireCodec", "EventLoop", log]),
    executable("GoogleSandbox", ["CivilTime", "ServiceKit", "HTTPServer", "StrictJSON", "TLSSession", "EventLoop", httpTypes, log]),
    executable("EmailMCPCLI", ["MailSyntax", "URLSyntax", "ServiceKit", "PostgresClient", "HTTPSClient", "SecretVault", "TLSSession", "StrictJSON", "EventLoop", "CLinux", arguments, httpTypes],
      resources: [.embedInCode("Migrations")]),

    // Tests.
    .target(name: "TestSupport", dependencies: ["EventLoop", "PostgresClient"], path: "Tests/TestSupport", swiftSettings: settings),
    tests("WireCodec", ["TestSupport"]), tests("StrictJSON"), tests("CivilTime"), tests("MailSyntax"), tests("URLSyntax"), tests("EventLoop", ["TestSupport"]), tests("TLSSession", ["TestSupport"]), tests("HTTP2Session", ["TestSupport", "CNghttp2"]),
    tests("Transport", ["TestSupport", "EventLoop", "TLSSession"]),
    tests("RPCRuntime", ["TestSupport", "WireCodec", "EventLoop", "TLSSession", "HTTP2Session", "Transport", log, metrics]),
    tests("HTTPServer", ["TestSupport", "EventLoop", "HTTP2Session", "TLSSession", "Transport", httpTypes]),
    tests("HTTPSClient", ["TestSupport", "EventLoop", "CLibCurl", "TLSSession", httpTypes]),
    tests("PostgresClient", ["TestSupport", "EventLoop"]),
    tests("SecretVault", ["URLSyntax", "TestSupport", "EventLoop", "PostgresClient", "HTTPSClient", "TLSSession"]),
    tests("ServiceKit", ["TestSupport", "URLSyntax", httpTypes, "EventLoop", "WireCodec", "TLSSession", "ServiceContracts", "RPCRuntime", "CivilTime", "StrictJSON", log, metrics]),
    tests("ServiceContracts", ["CivilTime", "RPCRuntime", "WireCodec"]),
    tests("EdgeService", ["TestSupport", "PostgresClient", "CivilTime", "EventLoop", "HTTPServer", "RPCRuntime", "ServiceContracts", "ServiceKit", "StrictJSON", "TLSSession", "WireCodec", httpTypes, log]),
    tests("OAuthService", ["URLSyntax", "TestSupport", "CivilTime", "EventLoop", "HTTPServer", "HTTPSClient", "PostgresClient", "RPCRuntime", "SecretVault", "ServiceContracts", "ServiceKit", "StrictJSON", "TLSSession", httpTypes, log]),
    tests("MailerService", [httpTypes, "URLSyntax", "TestSupport", "MailSyntax", "SecretVault", "StrictJSON", "CivilTime", "EventLoop", "HTTPSClient", "PostgresClient", "RPCRuntime", "ServiceContracts", "ServiceKit", "TLSSession", "Transport", "WireCodec", log]),
    tests("GoogleSandbox", ["CivilTime", "EventLoop", "HTTPSClient", "StrictJSON", "TLSSession", httpTypes]),
    tests("ReportService", ["TestSupport", "CivilTime", "EventLoop", "PostgresClient", "RPCRuntime", "ServiceContracts", "WireCodec", log]),
    tests("EmailMCPCLI", ["TestSupport", "MailSyntax"]),
    // The corpora of the fuzzers, replayed.
    .testTarget(
      name: "FuzzTests", dependencies: fuzzed + ["TestSupport"], path: "Tests/FuzzTests",
      exclude: ["Corpus", "Driver", "corpora.py"],
      swiftSettings: settings),

    // The other side of foreign gRPC programs: see Tests/Interop.
    .target(name: "InteropSchema", dependencies: ["RPCRuntime", "WireCodec", "TLSSession", "EventLoop"], path: "Tests/Interop/Schema", swiftSettings: settings),
    .executableTarget(name: "interop-server", dependencies: ["InteropSchema", "RPCRuntime", "WireCodec", "EventLoop", "TLSSession"], path: "Tests/Interop/Server", swiftSettings: settings),
    .executableTarget(name: "interop-client", dependencies: ["InteropSchema", "RPCRuntime", "WireCodec", "EventLoop", "TLSSession"], path: "Tests/Interop/Client", swiftSettings: settings),
    // What Examples/Package.swift builds too: here they are compiled with everything else, and tested by Tests/Interop,
    // without a view of what is `package`, as a stranger's package has none.
    .target(name: "InventorySchema", dependencies: ["RPCRuntime", "WireCodec"], path: "Examples/Sources/InventorySchema", resources: [.embedInCode("inventory.proto")], packageAccess: false, swiftSettings: settings),
    .executableTarget(name: "inventory-server", dependencies: ["InventorySchema", "RPCRuntime", "WireCodec", "EventLoop"], path: "Examples/Sources/InventoryServer", packageAccess: false, swiftSettings: settings),
    .executableTarget(name: "inventory-client", dependencies: ["InventorySchema", "RPCRuntime", "WireCodec", "EventLoop"], path: "Examples/Sources/InventoryClient", packageAccess: false, swiftSettings: settings),
    .executableTarget(name: "protocol-target", dependencies: ["InteropSchema", "RPCRuntime", "HTTPServer", "HTTP2Session", "ServiceKit", "Transport", "EventLoop", "TLSSession", httpTypes, metrics], path: "Tests/Protocol/Target", swiftSettings: settings),
  ]
)

// script/fuzz builds one program, which links the mailer's values as a library, where SwiftPM links executables into tests.
if Context.environment["EMAILMCP_FUZZ"] != nil {
  let kept: Set<String> = [
    "CNghttp2", "COpenSSL", "CLibPQ", "CLibCurl", "CZlib", "CLinux", "HugePages", "WireCodec", "StrictJSON", "CivilTime",
    "MailSyntax", "EventLoop", "TLSSession", "HTTP2Session", "Transport", "RPCRuntime", "HTTPServer", "PostgresClient", "ServiceContracts",
  ]
  package.products = []
  package.targets.removeAll { !kept.contains($0.name) }
  package.targets += [
    .target(
      name: "MailerService",
      dependencies: ["CivilTime", "HugePages", "MailSyntax", "StrictJSON", "WireCodec", "TLSSession"],
      path: "Sources/MailerService/Domain", sources: ["Message", "MIME"],
      swiftSettings: settings),
    .executableTarget(
      name: "fuzz", dependencies: fuzzed, path: "Tests/FuzzTests", exclude: ["Corpus", "corpora.py"],
      sources: ["Targets", "Driver"], swiftSettings: settings),
  ]
}

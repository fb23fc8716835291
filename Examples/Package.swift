// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

let runtime: Target.Dependency = .product(name: "RPCRuntime", package: "EmailMCP")

// To copy: a schema, its messages, a server and a client. The root package builds the same sources with its own, so that
// the tests need no second build of the runtime.
let package = Package(
  name: "Examples",
  dependencies: [.package(name: "EmailMCP", path: "..")],
  targets: [
    .target(
      name: "InventorySchema", dependencies: [runtime], resources: [.embedInCode("inventory.proto")],
      swiftSettings: settings),
    .executableTarget(
      name: "inventory-server", dependencies: ["InventorySchema", runtime], path: "Sources/InventoryServer",
      swiftSettings: settings),
    .executableTarget(
      name: "inventory-client", dependencies: ["InventorySchema", runtime], path: "Sources/InventoryClient",
      swiftSettings: settings),
  ]
)

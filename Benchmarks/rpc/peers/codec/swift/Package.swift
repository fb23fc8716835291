// swift-tools-version: 6.1
import PackageDescription

// A package of its own, so that the product's dependencies stay without it. `echo.pb.swift` is generated beside main.swift
// by Benchmarks/rpc/peers/build.
let package = Package(
  name: "SwiftCodecPeer",
  dependencies: [.package(url: "https://github.com/apple/swift-protobuf", exact: "1.39.0")],
  targets: [
    .executableTarget(
      name: "swift-codec-peer", dependencies: [.product(name: "SwiftProtobuf", package: "swift-protobuf")])
  ]
)

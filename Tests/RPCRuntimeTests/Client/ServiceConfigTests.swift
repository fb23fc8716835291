import EventLoop
import Testing

@testable import RPCRuntime

@Suite("Service config as JSON")
struct ServiceConfigTests {
  private let echo = Notes.echo.descriptor

  @Test("Everything that a config may say is read")
  func whole() throws {
    let configuration = try ServiceConfiguration(
      json: """
        {
          "loadBalancingConfig": [
            {"xds_experimental": {"balancerName": "anything"}},
            {"outlier_detection_experimental": {
              "interval": "1s", "baseEjectionTime": "2.5s", "maxEjectionTime": "60s", "maxEjectionPercent": 50,
              "successRateEjection": {"stdevFactor": 1500, "enforcementPercentage": 90, "minimumHosts": 3,
                "requestVolume": 10},
              "failurePercentageEjection": {"threshold": 60, "enforcementPercentage": 80, "minimumHosts": 2,
                "requestVolume": 7},
              "consecutiveFailures": 4,
              "childPolicy": [{"unheard_of": {}}, {"least_request_experimental": {"choiceCount": 3}}]
            }},
            {"round_robin": {}}
          ],
          "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.5},
          "healthCheckConfig": {"serviceName": "test.Notes"},
          "methodConfig": [
            {"name": [{}], "waitForReady": true},
            {"name": [{"service": "test.Notes", "method": null}], "timeout": "1.000000001s",
             "maxRequestMessageBytes": 1024, "maxResponseMessageBytes": "4294967295"},
            {"name": [{"service": "test.Notes", "method": "Echo"}, {"service": "test.Other", "method": ""}],
             "retryPolicy": {"maxAttempts": 9, "initialBackoff": "0.05s", "maxBackoff": "3s", "backoffMultiplier": 1.5,
               "retryableStatusCodes": [14, "aborted", "UNAVAILABLE"]}},
            {"name": [{"service": "test.Notes", "method": "Count"}],
             "hedgingPolicy": {"maxAttempts": 3, "hedgingDelay": "0s", "nonFatalStatusCodes": ["INTERNAL"]}},
            {"name": [], "timeout": "1s"}
          ]
        }
        """)
    var expected = ServiceConfiguration()
    expected.balancing = .leastRequest(choices: 3)
    expected.retryThrottle = RetryThrottle(maxTokens: 10, ratio: 0.5)
    expected.healthCheckedService = "test.Notes"
    var outliers = OutlierDetection()
    outliers.interval = .seconds(1)
    outliers.baseEjectionTime = .milliseconds(2_500)
    outliers.maxEjectionTime = .seconds(60)
    outliers.maxEjectionPercent = 50
    outliers.successRateDeviations = 1.5
    outliers.successRateEnforcement = 90
    outliers.minimumHosts = 3
    outliers.requestVolume = 10
    outliers.consecutiveFailures = 4
    var failures = OutlierDetection.FailurePercentage()
    (failures.threshold, failures.enforcement, failures.minimumHosts, failures.requestVolume) = (60, 80, 2, 7)
    outliers.failurePercentage = failures
    expected.outlierDetection = outliers
    expected.defaults.waitForReady = true
    var service = MethodConfiguration(timeout: .seconds(1) + .nanoseconds(1))
    service.maxRequestBytes = 1024
    service.maxResponseBytes = 4_294_967_295
    expected.configure(service: "test.Notes", service)
    let retry = RetryPolicy(
      maxAttempts: 5, initialBackoff: .milliseconds(50), maxBackoff: .seconds(3), backoffMultiplier: 1.5,
      retryableCodes: [.unavailable, .aborted])
    expected.configure(echo, MethodConfiguration(repetition: .retry(retry)))
    expected.configure(service: "test.Other", MethodConfiguration(repetition: .retry(retry)))
    expected.configure(
      Notes.count.descriptor,
      MethodConfiguration(
        repetition: .hedge(HedgingPolicy(maxAttempts: 3, delay: .zero, nonFatalCodes: [.internal]))))
    #expect(configuration == expected)
  }

  @Test("The most specific entry counts: the method's, its service's, the default")
  func precedence() throws {
    let configuration = try ServiceConfiguration(
      json: """
        {"methodConfig": [
          {"name": [{}], "timeout": "3s"}, {"name": [{"service": "test.Notes"}], "timeout": "2s"},
          {"name": [{"service": "test.Notes", "method": "Echo"}], "timeout": "1s"}]}
        """)
    func timeout(_ service: String, _ name: String) -> Duration? {
      configuration.configuration(of: MethodDescriptor(service: service, name: name, kind: .unary)).timeout
    }
    #expect(timeout("test.Notes", "Echo") == .seconds(1))
    #expect(timeout("test.Notes", "Other") == .seconds(2))
    #expect(timeout("test.Else", "Echo") == .seconds(3))
  }

  @Test("What a config leaves out has gRPC's defaults, and the runtime's budget of retries")
  func defaults() throws {
    #expect(try ServiceConfiguration(json: "{}") == ServiceConfiguration())
    let balanced = try ServiceConfiguration(
      json: #"{"loadBalancingConfig": [{"outlier_detection_experimental": {"childPolicy": [{"round_robin": {}}]}}]}"#)
    let outliers = try #require(balanced.outlierDetection)
    // By proposal A50 nothing ejects unless it is named.
    #expect(outliers.successRateDeviations == nil)
    #expect(outliers.failurePercentage == nil)
    #expect(outliers.consecutiveFailures == nil)
    #expect(outliers.interval == .seconds(10))
    #expect(outliers.maxEjectionTime == .seconds(300))
  }

  @Test(
    "Policies by name",
    arguments: [
      (#"{"loadBalancingPolicy": "ROUND_ROBIN"}"#, LoadBalancingPolicy.roundRobin),
      (#"{"loadBalancingPolicy": "pick_first"}"#, .pickFirst),
      (#"{"loadBalancingPolicy": "pick_first", "loadBalancingConfig": [{"round_robin": {}}]}"#, .roundRobin),
      (#"{"loadBalancingConfig": [{"grpclb": {}}, {"pick_first": {"shuffleAddressList": false}}]}"#, .pickFirst),
      (#"{"loadBalancingConfig": [{"least_request_experimental": {}}]}"#, .leastRequest()),
      (#"{"loadBalancingConfig": [{"least_request_experimental": {"choiceCount": 99}}]}"#, .leastRequest(choices: 10)),
    ])
  func policies(json: String, policy: LoadBalancingPolicy) throws {
    #expect(try ServiceConfiguration(json: json).balancing == policy)
  }

  /// A `methodConfig` with one entry.
  private static func method(_ members: String) -> String {
    #"{"methodConfig": [{"name": [{"service": "s"}], \#(members)}]}"#
  }

  private static func retry(_ member: String, _ value: String?) -> String {
    var members = [
      "maxAttempts": "3", "initialBackoff": #""1s""#, "maxBackoff": #""1s""#, "backoffMultiplier": "2",
      "retryableStatusCodes": "[14]",
    ]
    members[member] = value
    let text = members.sorted { $0.key < $1.key }.map { #""\#($0.key)": \#($0.value)"# }.joined(separator: ", ")
    return method(#""retryPolicy": {\#(text)}"#)
  }

  @Test(
    "What is wrong is said with its place",
    arguments: [
      ("", "the text ends too early (at byte 0)"),
      ("[]", "must be an object, not an array"),
      (#"{"methodConfig": {}}"#, "methodConfig must be an array, not an object"),
      (#"{"methodconfig": []}"#, "methodconfig is not a known field"),
      (#"{"methodConfig": [{"name": [{"method": "m"}]}]}"#, "methodConfig[0].name[0].service is missing"),
      (
        #"{"methodConfig": [{"name": [{"service": "s"}]}, {"name": [{"service": "s", "method": ""}]}]}"#,
        "methodConfig[1].name[0].service and method are named twice: s/"
      ),
      (#"{"methodConfig": [{"name": [{}, {}]}]}"#, "named twice: the default"),
      (method(#""timeout": 1"#), "methodConfig[0].timeout must be a duration"),
      (method(#""timeout": "1""#), "must be a duration"), (method(#""timeout": "-1s""#), "must be a duration"),
      (method(#""timeout": "1.0000000001s""#), "must be a duration"),
      (method(#""timeout": "s""#), "must be a duration"),
      (method(#""timeout": "315576000001s""#), "must be a duration"),
      (method(#""waitForReady": 1"#), "methodConfig[0].waitForReady must be true or false"),
      (method(#""maxRequestMessageBytes": -1"#), "maxRequestMessageBytes must be a whole number from 0 to 4294967295"),
      (method(#""maxResponseMessageBytes": 4294967296"#), "maxResponseMessageBytes must be a whole number"),
      (method(#""maxResponseMessageBytes": 1.5"#), "maxResponseMessageBytes must be a whole number"),
      (method(#""retry_policy": {}"#), "methodConfig[0].retry_policy is not a known field"),
      (retry("maxAttempts", nil), "retryPolicy.maxAttempts is required"),
      (retry("maxAttempts", "1"), "retryPolicy.maxAttempts must be a whole number from 2"),
      (retry("initialBackoff", nil), "retryPolicy.initialBackoff is required"),
      (retry("initialBackoff", #""0s""#), "retryPolicy.initialBackoff must be greater than 0"),
      (retry("maxBackoff", #""0s""#), "retryPolicy.maxBackoff must be greater than 0"),
      (retry("backoffMultiplier", "0"), "retryPolicy.backoffMultiplier must be a number greater than 0"),
      (retry("backoffMultiplier", nil), "retryPolicy.backoffMultiplier is required"),
      (retry("retryableStatusCodes", nil), "retryPolicy.retryableStatusCodes is required"),
      (retry("retryableStatusCodes", "[]"), "retryableStatusCodes must name at least one code"),
      (retry("retryableStatusCodes", "[17]"), "retryableStatusCodes[0] is no status code"),
      (retry("retryableStatusCodes", #"["OKAY"]"#), "retryableStatusCodes[0] is no status code"),
      (
        method(
          #""hedgingPolicy": {"maxAttempts": 2}, "retryPolicy": {"maxAttempts": 2, "initialBackoff": "1s", "maxBackoff": "1s", "backoffMultiplier": 1, "retryableStatusCodes": [14]}"#
        ), "methodConfig[0].hedgingPolicy cannot stand beside a retryPolicy"
      ),
      (method(#""hedgingPolicy": {"maxAttempts": 1}"#), "hedgingPolicy.maxAttempts must be a whole number from 2"),
      (#"{"retryThrottling": {"maxTokens": 0, "tokenRatio": 1}}"#, "retryThrottling.maxTokens must be from 1 to 1000"),
      (
        #"{"retryThrottling": {"maxTokens": 1001, "tokenRatio": 1}}"#,
        "retryThrottling.maxTokens must be from 1 to 1000"
      ),
      (#"{"retryThrottling": {"maxTokens": 10, "tokenRatio": 0}}"#, "retryThrottling.tokenRatio must be a number"),
      (#"{"retryThrottling": {"maxTokens": 10}}"#, "retryThrottling.tokenRatio is required"),
      (#"{"loadBalancingPolicy": "grpclb"}"#, "loadBalancingPolicy must be pick_first or round_robin"),
      (#"{"loadBalancingConfig": []}"#, "loadBalancingConfig names no policy that is known here"),
      (#"{"loadBalancingConfig": [{"grpclb": {}}]}"#, "loadBalancingConfig names no policy that is known here"),
      (
        #"{"loadBalancingConfig": [{"round_robin": {}, "pick_first": {}}]}"#,
        "loadBalancingConfig[0] must be an object with exactly one policy"
      ),
      (#"{"loadBalancingConfig": [{"round_robin": {"x": 1}}]}"#, "loadBalancingConfig[0].round_robin.x is not a known"),
      (
        #"{"loadBalancingConfig": [{"pick_first": {"shuffleAddressList": true}}]}"#,
        "shuffleAddressList is not available"
      ),
      (
        #"{"loadBalancingConfig": [{"least_request_experimental": {"choiceCount": 1}}]}"#,
        "choiceCount must be a whole number from 2"
      ),
      (#"{"loadBalancingConfig": [{"outlier_detection_experimental": {}}]}"#, "childPolicy is required"),
      (
        #"{"loadBalancingConfig": [{"outlier_detection_experimental": {"maxEjectionPercent": 101, "childPolicy": [{"round_robin": {}}]}}]}"#,
        "maxEjectionPercent must be a whole number from 0 to 100"
      ),
    ])
  func problems(json: String, problem: String) {
    let error = #expect(throws: ServiceConfigurationError.self) { try ServiceConfiguration(json: json) }
    #expect(error?.description.contains(problem) == true, "\(error?.description ?? "")")
  }

  @Test("A text at the limit is read, one byte more is not")
  func size() throws {
    let limit = ServiceConfiguration.maximumJSONBytes
    _ = try ServiceConfiguration(json: "{}" + String(repeating: " ", count: limit - 2))
    let error = #expect(throws: ServiceConfigurationError.self) {
      try ServiceConfiguration(json: "{}" + String(repeating: " ", count: limit - 1))
    }
    #expect(error?.problems.first?.contains("too large") == true)
  }

  @Test("A config in JSON retries as one in code does, and the smaller size of call and config counts")
  func effect() async throws {
    var configuration = ChannelConfiguration()
    configuration.service = try ServiceConfiguration(
      json: """
        {"methodConfig": [{"name": [{"service": "test.Notes", "method": "Echo"}], "maxResponseMessageBytes": 100,
          "retryPolicy": {"maxAttempts": 3, "initialBackoff": "0.001s", "maxBackoff": "0.001s", "backoffMultiplier": 1,
            "retryableStatusCodes": ["unavailable"]}}]}
        """)
    try await withPair(channel: configuration) { server in
      let calls = Tally()
      server.handle(Notes.echo) { request, _ in
        calls.add(1)
        if request.text == "thrice", calls.value < 3 { throw RPCError(.unavailable, "not yet") }
        return request.text == "large" ? Note("", data: [UInt8](repeating: 0, count: 200)) : Note("\(calls.value)")
      }
    } _: { channel, _ in
      let answer = try await channel.call(Notes.echo, Note("thrice"))
      #expect(answer.text == "3")
      let generous = CallOptions(maxResponseBytes: 1_000)
      let error = await failure { _ = try await channel.call(Notes.echo, Note("large"), options: generous) }
      #expect(error?.code == .resourceExhausted)
    }
  }
}

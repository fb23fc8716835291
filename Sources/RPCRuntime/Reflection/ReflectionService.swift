import WireCodec

extension RPCServer {
  /// Serves `grpc.reflection.v1` and `v1alpha`, so that tools such as grpcurl learn the server's methods by asking.
  /// It tells the names of all registered services and, from `files`, their messages.
  ///
  /// Spec: https://github.com/grpc/grpc/blob/master/doc/server-reflection.md
  /// - Parameters:
  ///   - files: the `.proto` files of the services and all that they import. The runtime brings `grpc.health.v1`,
  ///     `grpc.reflection` and `google/protobuf/{any,duration,empty,timestamp}.proto`.
  ///   - allowedPeers: see `MethodOptions`.
  /// - Throws: NOT_FOUND for an import or a type that is not there, ALREADY_EXISTS for a file or name that is there twice.
  public func serveReflection(of files: [ProtoFile], allowedPeers: Set<String>? = nil) throws(RPCError) {
    let pool = try SchemaPool(ProtoFile.builtIn + files)
    for method in [Reflection.serverReflectionInfo, Reflection.alphaServerReflectionInfo] {
      handle(method, options: MethodOptions(allowedPeers: allowedPeers, endsOnDrain: true)) {
        [unowned self] requests, responses, _ in
        var answers = ReflectionAnswers(pool: pool)
        for try await request in requests {
          try await responses.write(answers.answer(request, services: serviceNames))
        }
      }
    }
  }

  /// The full names of the services that have a method, sorted.
  var serviceNames: [String] { Set(methods.methods.map(\.descriptor.service)).sorted() }
}

/// The answers to the questions of one reflection call.
struct ReflectionAnswers {
  let pool: SchemaPool
  /// Files that the client has got on this call: not sent again unless asked for.
  private var sent: Set<String> = []

  init(pool: SchemaPool) { self.pool = pool }

  mutating func answer(_ request: Reflection.Request, services: [String]) -> Reflection.Response {
    Reflection.Response {
      $0.validHost = request.host
      $0.originalRequest = request
      $0.messageResponse = message(for: request.messageRequest, services)
    }
  }

  private mutating func message(
    for request: Reflection.Request.MessageRequest?, _ services: [String]
  ) -> Reflection.Response.MessageResponse {
    switch request {
    case .fileByFilename(let name): file(name, "no file \(name)")
    case .fileContainingSymbol(let symbol): file(pool.file(declaring: symbol), "nothing is called \(symbol)")
    case .fileContainingExtension(let question):
      error(.notFound, "\(question.containingType) has no extension \(question.extensionNumber)")
    case .allExtensionNumbersOfType(let name):
      if pool.isMessage(name) {
        .allExtensionNumbersResponse(Reflection.ExtensionNumberResponse { $0.baseTypeName = name })
      } else {
        error(.notFound, "no message type is called \(name)")
      }
    case .listServices:
      .listServicesResponse(
        Reflection.ListServiceResponse { $0.service = services.map { name in .init { $0.name = name } } })
    case nil: error(.invalidArgument, "the question is missing")
    }
  }

  private mutating func file(_ name: String?, _ absent: String) -> Reflection.Response.MessageResponse {
    guard let name, pool.files[name] != nil else { return error(.notFound, absent) }
    let names = pool.closure(of: name).filter { $0 == name || !sent.contains($0) }
    sent.formUnion(names)
    return .fileDescriptorResponse(
      Reflection.FileDescriptorResponse { $0.fileDescriptorProto = names.compactMap { pool.files[$0] } })
  }

  private func error(_ code: StatusCode, _ message: String) -> Reflection.Response.MessageResponse {
    .errorResponse(
      Reflection.ErrorResponse {
        $0.errorCode = code.rawValue
        $0.errorMessage = message
      })
  }
}

# Runs cases of the official Ruby interop client of Debian's package ruby-grpc in one process, and three that it does not
# have:
#   ruby_cases.rb FOLDER HOST PORT CASE…
# Prints `CASE ok` or `CASE` and what failed, a line a case.
folder, host, port, *names = ARGV
ARGV.clear
load File.join(folder, 'client.rb')
GRPC.logger.level = Logger::WARN

class OwnTests < NamedTests
  def special_status_message
    message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    status = EchoStatus.new(code: GRPC::Core::StatusCodes::UNKNOWN, message: message)
    @stub.unary_call(SimpleRequest.new(response_status: status))
    fail 'the call was to fail, and did not'
  rescue GRPC::Unknown => e
    assert(e.details.inspect) { e.details.b == message.b }
  end

  def server_compressed_unary
    [true, false].each do |wish|
      request = SimpleRequest.new(response_size: 314_159, response_compressed: BoolValue.new(value: wish))
      assert('size') { @stub.unary_call(request).payload.body == nulls(314_159) }
      bytes = as_they_came.request_response(
        '/grpc.testing.TestService/UnaryCall', request, SimpleRequest.method(:encode), :itself.to_proc)
      assert("#{wish}: #{bytes.length} bytes") { compressed?(bytes) == wish }
    end
  end

  def server_compressed_streaming
    wishes = { 31_415 => true, 92_653 => false }
    request = StreamingOutputCallRequest.new(
      response_parameters: wishes.map do |size, wish|
        ResponseParameters.new(size: size, compressed: BoolValue.new(value: wish))
      end)
    assert('sizes') { @stub.streaming_output_call(request).map { |r| r.payload.body.length } == wishes.keys }
    messages = as_they_came.server_streamer(
      '/grpc.testing.TestService/StreamingOutputCall', request, StreamingOutputCallRequest.method(:encode),
      :itself.to_proc)
    assert('flags') { messages.map { |bytes| compressed?(bytes) } == wishes.values }
  end

  private

  # A stub that hands messages on as they came: gRPC does not say otherwise which were compressed.
  def as_they_came
    GRPC::ClientStub.new("#{@args.server_host}:#{@args.server_port}", :this_channel_is_insecure,
                         channel_args: { 'grpc.per_message_decompression' => 0 })
  end

  def compressed?(bytes)
    bytes.b.start_with?("\x1f\x8b".b)
  end
end

names.each do |name|
  args = Args.new
  args.server_host, args.server_port, args.test_case = host, port, name
  args.server_host_override, args.secure = '', false
  begin
    stub = create_stub(args)
    OwnTests.new(stub, args).method(name).call
    STDERR.puts "#{name} ok"
  rescue Exception => e
    STDERR.puts "#{name} #{e.class}: #{e.message.lines.first}"
  end
end

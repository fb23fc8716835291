# Runs cases of the official Ruby interop client of Debian's package ruby-grpc in one process:
#   ruby_cases.rb FOLDER HOST PORT CASE…
# Prints `CASE ok` or `CASE` and what failed, a line a case.
folder, host, port, *names = ARGV
ARGV.clear
load File.join(folder, 'client.rb')
GRPC.logger.level = Logger::WARN

names.each do |name|
  args = Args.new
  args.server_host, args.server_port, args.test_case = host, port, name
  args.server_host_override, args.secure = '', false
  begin
    stub = create_stub(args)
    NamedTests.new(stub, args).method(name).call
    STDERR.puts "#{name} ok"
  rescue Exception => e
    STDERR.puts "#{name} #{e.class}: #{e.message.lines.first}"
  end
end

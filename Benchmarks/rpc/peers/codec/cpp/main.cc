// The measurements of codec-bench with Google's C++ protobuf. Usage: cpp-codec-peer COUNT
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "echo.pb.h"

double cpu_time() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * 1e9 + time.tv_nsec;
}

template <typename Body>
double measure(long count, Body body) {
  for (long round = 0; round < count / 10; round++) body(round);
  const double began = cpu_time();
  for (long round = 0; round < count; round++) body(round);
  return (cpu_time() - began) / count;
}

int main(int argc, char** arguments) {
  const long count = argc > 1 ? std::atol(arguments[1]) : 1000000;
  bench::EchoMessage message;
  message.set_text("a typical request that says something about somebody, in seventy byte.");
  message.set_number(12345);
  message.set_data(std::string(30, '\0'));
  const std::string bytes = message.SerializeAsString();
  if (bytes.size() != 107) return 1;

  unsigned long sum = 0;
  auto add = [&](const bench::EchoMessage& decoded) {
    sum += decoded.text().size() + decoded.number() + decoded.data().size();
  };
  const double encode = measure(count, [&](long round) {
    message.set_number(12345 + (round & 1));
    sum += message.SerializeAsString().size();
  });
  const double decode = measure(count, [&](long) {
    bench::EchoMessage decoded;
    if (!decoded.ParseFromString(bytes)) std::abort();
    add(decoded);
  });
  const double both = measure(count, [&](long round) {
    message.set_number(12345 + (round & 1));
    bench::EchoMessage decoded;
    if (!decoded.ParseFromString(message.SerializeAsString())) std::abort();
    add(decoded);
  });
  std::printf("%f %f %f %lu\n", encode, decode, both, sum);
}

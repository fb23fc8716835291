#!/usr/bin/env python3
"""Encoding and decoding bench.EchoMessage (107 bytes) with WireCodec, SwiftProtobuf and C++ protobuf, in nanoseconds.

The programs take turns on one core; CPU time, medians of the rounds. Each encoding makes a new buffer and each decoding a new
message, as a call does. `script/bench codec` builds what this needs.
"""

import argparse
import os
import statistics
import subprocess

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".build", "benchmarks")
PROGRAMS = {
    "WireCodec": "release/codec-bench", "SwiftProtobuf 1.39": "peers/swift-codec-peer",
    "C++ protobuf of the distribution": "peers/cpp-codec-peer"}
GOAL = 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--count", type=int, default=1_000_000, help="of messages in a round")
    options = parser.parse_args()
    seen: dict[str, list[list[float]]] = {name: [] for name in PROGRAMS}
    core = str(max(os.sched_getaffinity(0)))
    for _ in range(options.rounds):
        for name, program in PROGRAMS.items():
            answer = subprocess.check_output(
                ["taskset", "-c", core, os.path.join(ROOT, program), str(options.count)], text=True)
            seen[name].append([float(word) for word in answer.split()[:3]])
    print("| codec | encode, ns | decode, ns | both in turn, ns | fastest round | × WireCodec |\n| --- | --- | --- | --- | --- | --- |")
    ours = 0.0
    for name, rounds in seen.items():
        encode, decode, both = (statistics.median(round[column] for round in rounds) for column in range(3))
        ours = ours or both
        fastest = min(round[2] for round in rounds)
        print(f"| {name} | {encode:.0f} | {decode:.0f} | {both:.0f} | {fastest:.0f} | {both / ours:.2f} |")
    print(f"\n{ours:.0f} ns for both (goal {GOAL})")


if __name__ == "__main__":
    main()

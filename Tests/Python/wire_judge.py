"""Holds hand-written messages and methods against the schemas, with the official protobuf runtime as the judge.

Started by Tests/ServiceContractsTests with the folder of the schemas, a seed and the number of random messages a type.
Talks with the test in JSON lines: first the test tells which messages and methods it has; then each line from here asks
it to read a message, and its answer tells what it read (by the names of its properties) and what it writes for that.
Ends with one line {"faults": [...]}.
"""

import json
import pathlib
import random
import struct
import sys
import tempfile

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor as F
from google.protobuf.message import DecodeError
from grpc_tools import protoc

OURS = ("emailmcp.", "grpc.", "google.rpc.")


def varint(value, padding=0):
    """As short as can be, or with so many bytes more in all."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    while len(out) < padding + 1 and padding:
        out[-1] |= 0x80
        out.append(0)
    return bytes(out)


def compile_schemas(folder):
    import grpc_tools

    includes = [folder, str(pathlib.Path(grpc_tools.__file__).parent / "_proto")]
    names = sorted(str(p.relative_to(folder)) for p in pathlib.Path(folder).rglob("*.proto"))
    with tempfile.NamedTemporaryFile() as out:
        arguments = ["protoc", "--include_imports", f"--descriptor_set_out={out.name}"]
        if protoc.main(arguments + [f"-I{i}" for i in includes] + names) != 0:
            raise SystemExit("protoc refuses the schemas")
        return descriptor_pb2.FileDescriptorSet.FromString(out.read())


class Judge:
    def __init__(self, schemas, seed, count):
        self.random = random.Random(seed)
        self.count = count
        self.faults = []
        self.schemas = schemas
        self.pool = descriptor_pool.DescriptorPool()
        for file in schemas.file:
            self.pool.Add(file)

    def fault(self, where, what):
        if len(self.faults) < 50:
            self.faults.append(f"{where}: {what}")

    # The names of all messages and methods.

    def messages(self):
        def walk(prefix, message):
            if not message.options.map_entry:
                name = f"{prefix}.{message.name}"
                yield name
                for nested in message.nested_type:
                    yield from walk(name, nested)

        for file in self.schemas.file:
            if file.package.startswith(tuple(o.rstrip(".") for o in OURS)):
                for message in file.message_type:
                    yield from walk(file.package, message)

    def methods(self):
        kinds = {(0, 0): "unary", (1, 0): "clientStreaming", (0, 1): "serverStreaming", (1, 1): "bidirectional"}
        for file in self.schemas.file:
            for service in file.service:
                for m in service.method:
                    kind = kinds[int(m.client_streaming), int(m.server_streaming)]
                    path = f"{file.package}.{service.name}/{m.name}"
                    yield f"{path} {kind} {m.input_type.lstrip('.')} {m.output_type.lstrip('.')}"

    def check_inventory(self, hello):
        for what, ours, theirs in (
            ("message", hello["messages"], set(self.messages())),
            ("method", hello["methods"], set(self.methods())),
        ):
            for name in sorted(theirs - set(ours)):
                self.fault(name, f"this {what} of the schemas is not written")
            for name in sorted(set(ours) - theirs):
                if not name.startswith("google.protobuf."):
                    self.fault(name, f"no such {what} in the schemas")

    # What a message should look like to the test.

    def dump(self, message):
        return {self.key(p): v for p, v in self.properties(message)}

    @staticmethod
    def key(name):
        return name.replace("_", "").lower()

    def properties(self, message):
        for field in message.DESCRIPTOR.fields:
            oneof = field.containing_oneof
            if oneof is not None and not oneof.name.startswith("_"):  # "_…" stands for `optional`
                if field.name == oneof.fields[0].name:
                    chosen = message.WhichOneof(oneof.name)
                    inner = message.DESCRIPTOR.fields_by_name.get(chosen)
                    value = {self.key(chosen): self.value(inner, getattr(message, chosen))} if chosen else None
                    yield oneof.name, value
                continue
            value = getattr(message, field.name)
            if self.is_map(field):
                inner = field.message_type.fields_by_name["value"]
                yield field.name, {k: self.value(inner, v) for k, v in value.items()}
            elif field.is_repeated:
                yield field.name, [self.value(field, v) for v in value]
            elif field.has_presence and not message.HasField(field.name):
                yield field.name, None
            else:
                yield field.name, self.value(field, value)

    def value(self, field, value):
        if field.type == F.TYPE_MESSAGE:
            return self.dump(value)
        if field.type == F.TYPE_BYTES:
            return value.hex()
        if field.type == F.TYPE_DOUBLE:
            return "d" + struct.pack(">d", value).hex()
        if field.type == F.TYPE_BOOL:
            return value
        if field.type == F.TYPE_STRING:
            return value
        return str(value)

    @staticmethod
    def is_map(field):
        return field.type == F.TYPE_MESSAGE and field.message_type.GetOptions().map_entry

    # Messages to ask about.

    def scalar(self, field):
        r = self.random
        if field.type == F.TYPE_STRING:
            alphabet = "abcXYZ 0189\u00e9\u0301\u20ac\U0001f600\0\n"
            return "".join(r.choice(alphabet) for _ in range(r.choice((0, 1, 3, 15, 16, 40, 130))))
        if field.type == F.TYPE_BYTES:
            return r.randbytes(r.choice((0, 1, 5, 127, 128, 300)))
        if field.type == F.TYPE_BOOL:
            return r.random() < 0.5
        if field.type == F.TYPE_DOUBLE:
            return r.choice((0.0, -0.0, 0.5, 1.0, -1e300, float("inf"), r.random()))
        if field.type == F.TYPE_ENUM:
            return r.choice([v.number for v in field.enum_type.values] + [-1, 77, 2**31 - 1])
        bits = 31 if field.type == F.TYPE_INT32 else 63
        assert field.type in (F.TYPE_INT32, F.TYPE_INT64), f"{field.full_name}: teach the judge this type"
        return r.choice((0, 1, -1, 127, 128, 2**bits - 1, -(2**bits), r.randrange(2 ** r.randrange(1, bits))))

    def fill(self, message, density, depth=0):
        chosen = {o.name: self.random.choice(o.fields).name for o in message.DESCRIPTOR.oneofs}
        for field in message.DESCRIPTOR.fields:
            if field.containing_oneof is not None and chosen[field.containing_oneof.name] != field.name:
                continue
            if self.random.random() < density:
                self.set(message, field, density, depth)
        if message.DESCRIPTOR.full_name == "google.protobuf.Duration":
            message.nanos = abs(message.nanos) % 10**9 * (-1 if message.seconds < 0 else 1)

    def set(self, message, field, density, depth):
        if self.is_map(field):
            fields = field.message_type.fields_by_name
            values = getattr(message, field.name)
            for _ in range(self.random.randrange(4)):
                key = self.scalar(fields["key"])
                if fields["value"].type == F.TYPE_MESSAGE:
                    values[key].SetInParent()
                    self.fill(values[key], density, depth + 1)
                else:
                    values[key] = self.scalar(fields["value"])
        elif field.type == F.TYPE_MESSAGE:
            for _ in range(self.random.randrange(4) if field.is_repeated else 1):
                target = getattr(message, field.name)
                target = target.add() if field.is_repeated else target
                target.SetInParent()
                if depth < 4:
                    self.fill(target, density, depth + 1)
        elif field.is_repeated:
            getattr(message, field.name).extend(self.scalar(field) for _ in range(self.random.randrange(5)))
        else:
            setattr(message, field.name, self.scalar(field))

    # The exchange.

    def ask(self, name, wire):
        print(json.dumps({"message": name, "wire": wire.hex()}), flush=True)
        return json.loads(sys.stdin.readline())

    def check(self, name, message, where):
        wire = message.SerializeToString(deterministic=True)
        answer = self.ask(name, wire)
        if "refused" in answer:
            return self.fault(where, f"refused: {answer['refused']}")
        expected = self.dump(message)
        if answer["read"] != expected:
            for key in sorted(set(expected) | set(answer["read"])):
                ours, theirs = answer["read"].get(key, "(no such property)"), expected.get(key, "(no such field)")
                if ours != theirs:
                    self.fault(where, f"property {key} reads {ours!r}, the judge reads {theirs!r}")
        written = bytes.fromhex(answer["written"])
        back = type(message)()
        try:
            back.ParseFromString(written)
        except DecodeError as error:
            return self.fault(where, f"the judge refuses what was written: {error}")
        if self.dump(back) != expected:
            self.fault(where, "the judge reads another message from what was written")
        elif written != wire and not (self.has_map(message.DESCRIPTOR) and sorted(written) == sorted(wire)):
            # The order of a map's entries is nobody's business.
            self.fault(where, f"written as {written.hex()}, the judge writes {wire.hex()}")

    def check_fields(self, name, factory):
        """Each field alone, so that two of one type that are swapped show, and with its default, so that presence does."""
        self.check(name, factory(), f"{name}, empty")
        for field in factory.DESCRIPTOR.fields:
            for _ in range(4):
                message = factory()
                self.set(message, field, 0.5, 3)
                self.check(name, message, f"{field.full_name} = {field.number}")
            if field.has_presence and field.type != F.TYPE_MESSAGE:
                message = factory()
                setattr(message, field.name, field.default_value)
                self.check(name, message, f"{field.full_name} = {field.number}, present with its default")

    def check_damaged(self, name, factory):
        """Damaged bytes: both refuse them, or both read the same."""
        message = factory()
        self.fill(message, 0.7)
        wire = bytearray(message.SerializeToString())
        for _ in range(self.random.randrange(1, 4)):
            at = self.random.randrange(len(wire) + 1)
            if self.random.random() < 0.4 and wire:
                del wire[min(at, len(wire) - 1)]
            elif self.random.random() < 0.5 and wire:
                wire[min(at, len(wire) - 1)] = self.random.randrange(256)
            else:
                wire.insert(at, self.random.randrange(256))
        self.compare(name, factory, bytes(wire))

    def compare(self, name, factory, wire, what="these bytes"):
        """Both refuse the bytes, or both read the same from them."""
        answer = self.ask(name, wire)
        theirs = factory()
        try:
            theirs.ParseFromString(wire)
        except DecodeError:
            if "refused" not in answer:
                self.fault(name, f"takes {what}, which the judge refuses: {wire.hex()}")
            return
        if "refused" in answer:
            # The specification forbids the field number 0; the judge's C core lets it pass among unknown fields.
            if not answer["refused"].startswith("a tag has an impossible field number"):
                self.fault(name, f"refuses {what} ({answer['refused']}), which the judge takes: {wire.hex()}")
            return
        # The judge's core keeps a map's entry with an unknown field as an unknown field; a Duration out of its range is
        # written back in range.
        if self.has_map(factory.DESCRIPTOR) or "google.protobuf.Duration" in self.nested(factory.DESCRIPTOR):
            return
        if self.dump(factory.FromString(bytes.fromhex(answer["written"]))) != self.dump(theirs):
            self.fault(name, f"reads another message from {what} than the judge: {wire.hex()}")

    def check_spellings(self, name, factory):
        """Bytes that no writer writes, and every reader must read: the specification's "last one wins", merging, both
        forms of repeated numbers, unknown fields, varints longer than needed."""
        r = self.random
        first, second = factory(), factory()
        self.fill(first, r.choice((0.4, 1.0)))
        self.fill(second, r.choice((0.4, 1.0)))
        one, two = first.SerializeToString(), second.SerializeToString()
        # Fields that come twice: the last wins, messages are merged, repeated ones joined, a oneof changes its member.
        self.compare(name, factory, one + two, "two messages behind one another")
        self.compare(name, factory, one[: r.randrange(len(one) + 1)], "a message cut short")
        unknown = b"".join(self.unknown() for _ in range(3))
        self.compare(name, factory, unknown + one + unknown, "unknown fields")
        for field in factory.DESCRIPTOR.fields:
            tag = field.number << 3
            if field.type in (F.TYPE_STRING, F.TYPE_BYTES):
                bad = r.choice((b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"\xc3\xa9"))
                self.compare(name, factory, one + varint(tag | 2) + varint(len(bad)) + bad, "bytes that may be no UTF-8")
            elif field.type in (F.TYPE_INT32, F.TYPE_INT64, F.TYPE_BOOL, F.TYPE_ENUM):
                values = [r.choice((0, 1, 2, 300, 2**31 - 1, 2**32 + 1, 2**64 - 1)) for _ in range(3)]
                loose = b"".join(varint(tag) + varint(v) for v in values)
                packed = b"".join(varint(v) for v in values)
                self.compare(name, factory, one + loose, "numbers one by one")
                self.compare(name, factory, loose + varint(tag | 2) + varint(len(packed)) + packed, "packed numbers")
                self.compare(name, factory, one + varint(tag, 4) + varint(5, 9), "long varints")
                self.compare(name, factory, one + varint(tag) + b"\x80" * r.choice((8, 9, 10)) + b"\x01", "too long varints")
                self.compare(name, factory, one + varint(tag) + b"\xff" * 9 + b"\x7f", "a varint of more than 64 bits")
            self.compare(name, factory, one + varint(tag | r.randrange(6)) + r.randbytes(9), "any wire type")

    def check_depth(self, name, factory):
        """Unknown groups inside one another, about as deep as is allowed."""
        for depth in (1, 50, 99, 101, 150):
            number = 15_000
            group = varint(number << 3 | 3) * depth + varint(number << 3 | 4) * depth
            self.compare(name, factory, group, f"groups {depth} deep")
            self.compare(name, factory, group[:-1], f"groups {depth} deep, cut short")

    def unknown(self):
        """A field of a number that no schema has, of any wire type."""
        tag = self.random.randrange(12_000, 2**29) << 3
        data = self.random.randbytes(self.random.randrange(20))
        return self.random.choice((
            varint(tag) + varint(self.random.getrandbits(64)), varint(tag | 1) + bytes(8), varint(tag | 5) + bytes(4),
            varint(tag | 2) + varint(len(data)) + data, varint(tag | 3) + varint(8) + b"\x05" + varint(tag | 4)))

    def has_map(self, descriptor):
        return any(self.pool.FindMessageTypeByName(n).GetOptions().map_entry for n in self.nested(descriptor))

    def nested(self, descriptor, seen=None):
        seen = seen if seen is not None else set()
        if descriptor.full_name not in seen:
            seen.add(descriptor.full_name)
            for field in descriptor.fields:
                if field.message_type is not None:
                    self.nested(field.message_type, seen)
        return seen

    def run(self):
        hello = json.loads(sys.stdin.readline())
        if hello.get("inventory", True):
            self.check_inventory(hello)
        known = set(self.messages())
        for name in hello["messages"]:
            if name not in known and not name.startswith("google.protobuf."):
                continue
            factory = message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))
            self.check_fields(name, factory)
            for index in range(self.count):
                message = factory()
                self.fill(message, self.random.choice((0.2, 0.6, 1.0)))
                self.check(name, message, f"{name}, random message {index}")
                self.check_damaged(name, factory)
            for _ in range(min(self.count, 4)):
                self.check_spellings(name, factory)
            self.check_depth(name, factory)
        print(json.dumps({"faults": self.faults}), flush=True)


if __name__ == "__main__":
    folder, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    Judge(compile_schemas(folder), seed, count).run()

"""Makes the committed Python code and the lock files from the `.proto` files; refuses what breaks evolution.

Decides which changes of a protocol are legal (protos/README.md, rules 1, 2 and 4). Leaves the wording of the
protocol to the `.proto` files and the compiling to `grpc_tools.protoc`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc_tools
from google.protobuf import descriptor_pb2
from grpc_tools import protoc

PROTOS = Path(__file__).resolve().parent
GENERATED = PROTOS.parent / "bfl_fabric" / "transport" / "generated"
GENERATED_PACKAGE = "bfl_fabric.transport.generated"

Lock = dict[str, Any]
_IMPORT = re.compile(r"^from (bfl(?:\.\w+)+) import (\w+_pb2)", re.MULTILINE)
_Field = descriptor_pb2.FieldDescriptorProto


class ProtocolBroken(Exception):
    """A change would make old and new nodes misunderstand each other; the message lists what."""


def sources() -> list[str]:
    """Return the `.proto` files, relative to this folder, in a fixed order."""
    return sorted(path.relative_to(PROTOS).as_posix() for path in PROTOS.rglob("*.proto"))


def compile_descriptors() -> descriptor_pb2.FileDescriptorSet:
    """Return what protoc understood of the `.proto` files."""
    with tempfile.TemporaryDirectory() as scratch:
        target = Path(scratch) / "descriptors"
        _protoc([f"--descriptor_set_out={target}"])
        return descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes())


def write_code(target: Path) -> None:
    """Write the Python modules, their type stubs and the package files below `target`."""
    target.mkdir(parents=True, exist_ok=True)
    _protoc([f"--python_out={target}", f"--pyi_out={target}", f"--grpc_python_out={target}"])
    for module in target.rglob("*_pb2_grpc.py"):
        module.write_text(_IMPORT.sub(rf"from {GENERATED_PACKAGE}.\1 import \2", module.read_text()))
    for folder in [target, *(path for path in target.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").write_text("")


def lock_of(file: descriptor_pb2.FileDescriptorProto) -> Lock:
    """Return every number and signature that `file` gives away, as JSON of a fixed order."""
    messages = dict(_message_locks("", file.message_type))
    enums = {enum.name: _enum_lock(enum) for enum in file.enum_type}
    services = {
        service.name: {method.name: _signature(method) for method in service.method}
        for service in file.service
    }
    return {"package": file.package, "messages": messages, "enums": enums, "services": services}


def verify_evolution(old: Lock, new: Lock) -> None:
    """Raise ProtocolBroken when `new` reuses, retypes or drops something that `old` gave away."""
    broken = list(_broken_rules(old, new))
    if broken:
        raise ProtocolBroken("; ".join(broken))


def lock_path(source: str) -> Path:
    """Return the lock file of one `.proto` file."""
    return (PROTOS / source).with_suffix(".lock.json")


def lock_text(lock: Lock) -> str:
    """Return the text of a lock file."""
    return json.dumps(lock, indent=2) + "\n"


def current_locks() -> dict[Path, str]:
    """Return what each lock file must hold. Raises ProtocolBroken against the locks that are there."""
    locks: dict[Path, str] = {}
    orphans = {path.name for path in PROTOS.rglob("*.lock.json")} - {
        lock_path(name).name for name in sources()
    }
    if orphans:
        raise ProtocolBroken(f"a version is only ever added; these have lost their .proto: {sorted(orphans)}")
    for file in compile_descriptors().file:
        path, lock = lock_path(file.name), lock_of(file)
        if path.exists():
            verify_evolution(json.loads(path.read_text()), lock)
        locks[path] = lock_text(lock)
    return locks


def stale_files() -> list[str]:
    """Return the committed files that are not what the `.proto` files say, missing and superfluous ones too."""
    stale = [
        path.name for path, text in current_locks().items() if not path.exists() or path.read_text() != text
    ]
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch) / "generated"
        write_code(fresh)
        made, committed = _contents(fresh), _contents(GENERATED)
    return stale + sorted(name for name in made | committed if made.get(name) != committed.get(name))


def main(arguments: list[str] | None = None) -> int:
    """Write the code and the locks, or with `--check` say what is stale."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 when stale")
    if parser.parse_args(arguments).check:
        stale = stale_files()
        sys.stderr.write("".join(f"stale: {name}\n" for name in stale))
        return 1 if stale else 0
    locks = current_locks()
    for path, text in locks.items():
        path.write_text(text)
    write_code(GENERATED)
    return 0


def _protoc(outputs: list[str]) -> None:
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    status = protoc.main(["protoc", f"-I{PROTOS}", f"-I{well_known}", *outputs, *sources()])
    if status != 0:
        raise ProtocolBroken(f"protoc ended with {status}")


def _contents(folder: Path) -> dict[str, str]:
    found = (path for pattern in ("*.py", "*.pyi") for path in folder.rglob(pattern))
    return {path.relative_to(folder).as_posix(): path.read_text() for path in found}


def _message_locks(
    scope: str, messages: Iterable[descriptor_pb2.DescriptorProto]
) -> Iterator[tuple[str, Lock]]:
    for message in messages:
        name = scope + message.name
        if message.enum_type:
            raise ProtocolBroken(f"{name}: declare enums at the top of the file, the lock covers only those")
        yield name, _message_lock(message)
        yield from _message_locks(f"{name}.", message.nested_type)


def _message_lock(message: descriptor_pb2.DescriptorProto) -> Lock:
    fields: Lock = {}
    for field in sorted(message.field, key=lambda field: field.number):
        fields[str(field.number)] = {
            "name": field.name,
            "type": field.type_name.lstrip(".") or _Field.Type.Name(field.type).removeprefix("TYPE_").lower(),
            "label": _Field.Label.Name(field.label).removeprefix("LABEL_").lower(),
            "oneof": message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else "",
        }
    ranges = ((reserved.start, reserved.end) for reserved in message.reserved_range)
    return {"fields": fields, **_reserved(ranges, message.reserved_name)}


def _enum_lock(enum: descriptor_pb2.EnumDescriptorProto) -> Lock:
    values = {str(value.number): {"name": value.name} for value in enum.value}
    ranges = ((reserved.start, reserved.end + 1) for reserved in enum.reserved_range)
    return {"fields": values, **_reserved(ranges, enum.reserved_name)}


def _reserved(ranges: Iterable[tuple[int, int]], names: Iterable[str]) -> Lock:
    numbers = sorted(number for start, end in ranges for number in range(start, end))
    return {"reserved_numbers": numbers, "reserved_names": sorted(names)}


def _signature(method: descriptor_pb2.MethodDescriptorProto) -> str:
    request = ("stream " if method.client_streaming else "") + method.input_type.lstrip(".")
    response = ("stream " if method.server_streaming else "") + method.output_type.lstrip(".")
    return f"({request}) -> ({response})"


def _broken_rules(old: Lock, new: Lock) -> Iterator[str]:
    if old["package"] != new["package"]:
        yield f"the package changed from {old['package']} to {new['package']}"
    for family in ("messages", "enums"):
        for name, was in old[family].items():
            now = new[family].get(name)
            if now is None:
                yield f"{name} was removed"
            else:
                yield from _broken_numbers(name, was, now)
    for service, methods in old["services"].items():
        for method, signature in methods.items():
            if new["services"].get(service, {}).get(method) != signature:
                yield f"{service}.{method} is no longer {signature}"


def _broken_numbers(name: str, was: Lock, now: Lock) -> Iterator[str]:
    for number, field in was["fields"].items():
        if number in now["fields"]:
            if now["fields"][number] != field:
                yield f"{name}: number {number} was {field} and is {now['fields'][number]}"
        elif int(number) not in now["reserved_numbers"] or field["name"] not in now["reserved_names"]:
            yield f"{name}: {field['name']} ({number}) went without being reserved by number and name"
    for number in set(was["reserved_numbers"]) - set(now["reserved_numbers"]):
        yield f"{name}: the number {number} is no longer reserved"
    for reserved in set(was["reserved_names"]) - set(now["reserved_names"]):
        yield f"{name}: the name {reserved} is no longer reserved"


if __name__ == "__main__":
    sys.exit(main())

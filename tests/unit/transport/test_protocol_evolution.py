from __future__ import annotations

import copy
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bfl_fabric.transport.generated.bfl.v1 import transfer_pb2 as pb

PROTOS = Path(__file__).resolve().parents[3] / "protos"


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("protocol_generator", PROTOS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


generator = load_generator()
LOCK = json.loads((PROTOS / "bfl" / "v1" / "transfer.lock.json").read_text())


def test_the_committed_code_and_lock_are_what_the_protos_say() -> None:
    assert generator.stale_files() == []


def test_the_check_from_the_command_line_agrees() -> None:
    checked = subprocess.run(
        [sys.executable, str(PROTOS / "generate.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_lock_names_what_the_running_code_uses() -> None:
    fields = LOCK["messages"]["UploadHeader"]["fields"]
    assert {int(number): field["name"] for number, field in fields.items()} == {
        field.number: field.name for field in pb.UploadHeader.DESCRIPTOR.fields
    }
    values = LOCK["enums"]["RefusalReason"]["fields"]
    assert {int(number): value["name"] for number, value in values.items()} == {
        number: name for name, number in pb.RefusalReason.items()
    }


def test_generated_modules_import_each_other_by_their_full_name() -> None:
    text = (generator.GENERATED / "bfl" / "v1" / "transfer_pb2_grpc.py").read_text()
    assert "from bfl_fabric.transport.generated.bfl.v1 import transfer_pb2" in text
    assert "\nfrom bfl.v1" not in text


def rename_field(lock: Any) -> None:
    lock["messages"]["UpdateName"]["fields"]["1"]["name"] = "job_id"


def retype_field(lock: Any) -> None:
    lock["messages"]["UpdateName"]["fields"]["2"]["type"] = "uint64"


def repeat_field(lock: Any) -> None:
    lock["messages"]["Chunk"]["fields"]["2"]["label"] = "repeated"


def leave_oneof(lock: Any) -> None:
    lock["messages"]["UploadRequest"]["fields"]["2"]["oneof"] = ""


def swap_numbers(lock: Any) -> None:
    fields = lock["messages"]["UploadHeader"]["fields"]
    fields["3"], fields["4"] = fields["4"], fields["3"]


def drop_field(lock: Any) -> None:
    del lock["messages"]["UploadStatus"]["fields"]["2"]


def drop_field_reserving_only_its_number(lock: Any) -> None:
    drop_field(lock)
    lock["messages"]["UploadStatus"]["reserved_numbers"] = [2]


def drop_field_reserving_only_its_name(lock: Any) -> None:
    drop_field(lock)
    lock["messages"]["UploadStatus"]["reserved_names"] = ["complete"]


def drop_message(lock: Any) -> None:
    del lock["messages"]["Chunk"]


def drop_enum_value(lock: Any) -> None:
    del lock["enums"]["RefusalReason"]["fields"]["6"]


def rename_enum_value(lock: Any) -> None:
    lock["enums"]["RefusalReason"]["fields"]["6"]["name"] = "REFUSAL_REASON_CROWDED"


def drop_method(lock: Any) -> None:
    del lock["services"]["UpdateTransfer"]["Upload"]


def change_streaming(lock: Any) -> None:
    lock["services"]["BlobTransfer"]["Download"] = "(bfl.v1.DownloadRequest) -> (bfl.v1.DownloadChunk)"


def drop_service(lock: Any) -> None:
    del lock["services"]["BlobTransfer"]


def move_package(lock: Any) -> None:
    lock["package"] = "bfl.v2"


BREAKING: list[Callable[[Any], None]] = [
    rename_field,
    retype_field,
    repeat_field,
    leave_oneof,
    swap_numbers,
    drop_field,
    drop_field_reserving_only_its_number,
    drop_field_reserving_only_its_name,
    drop_message,
    drop_enum_value,
    rename_enum_value,
    drop_method,
    change_streaming,
    drop_service,
    move_package,
]


@pytest.mark.parametrize("change", BREAKING, ids=lambda change: change.__name__)
def test_a_change_that_old_nodes_would_misread_is_refused(change: Callable[[Any], None]) -> None:
    changed = copy.deepcopy(LOCK)
    change(changed)
    with pytest.raises(generator.ProtocolBroken):
        generator.verify_evolution(LOCK, changed)


def test_a_reserved_number_never_comes_back() -> None:
    old = copy.deepcopy(LOCK)
    drop_field(old)
    old["messages"]["UploadStatus"].update(reserved_numbers=[2], reserved_names=["complete"])
    generator.verify_evolution(LOCK, old)
    with pytest.raises(generator.ProtocolBroken, match="no longer reserved"):
        generator.verify_evolution(old, LOCK)


def test_new_fields_messages_values_and_methods_are_welcome() -> None:
    grown = copy.deepcopy(LOCK)
    field = {"name": "chunk_root", "type": "bytes", "label": "optional", "oneof": ""}
    grown["messages"]["UploadHeader"]["fields"]["5"] = field
    grown["messages"]["Share"] = {"fields": {"1": field}, "reserved_numbers": [], "reserved_names": []}
    grown["enums"]["RefusalReason"]["fields"]["10"] = {"name": "REFUSAL_REASON_NEW"}
    grown["services"]["BlobTransfer"]["Stat"] = "(bfl.v1.DownloadRequest) -> (bfl.v1.UploadStatus)"
    generator.verify_evolution(LOCK, grown)
    generator.verify_evolution(LOCK, LOCK)


def test_a_protocol_that_lost_its_proto_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bfl" / "v1").mkdir(parents=True)
    (tmp_path / "bfl" / "v1" / "gone.lock.json").write_text("{}")
    monkeypatch.setattr(generator, "PROTOS", tmp_path)
    with pytest.raises(generator.ProtocolBroken, match=r"gone\.lock\.json"):
        generator.current_locks()


def test_generating_refuses_a_reused_number_and_leaves_the_lock_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proto = tmp_path / "bfl" / "v1" / "small.proto"
    proto.parent.mkdir(parents=True)
    monkeypatch.setattr(generator, "PROTOS", tmp_path)
    monkeypatch.setattr(generator, "GENERATED", tmp_path / "generated")
    text = 'syntax = "proto3";\npackage bfl.v1;\nmessage M { %s }\n'
    proto.write_text(text % "string a = 1; uint32 b = 2;")
    assert generator.main([]) == 0
    lock = generator.lock_path("bfl/v1/small.proto")
    before = lock.read_text()
    proto.write_text(text % "string a = 1; bytes c = 2;")
    with pytest.raises(generator.ProtocolBroken, match="number 2 was"):
        generator.main([])
    assert lock.read_text() == before
    proto.write_text(text % 'string a = 1; reserved 2; reserved "b"; bytes c = 3;')
    assert generator.main([]) == 0
    assert generator.stale_files() == []
    proto.write_text(text % "string a = 1; uint32 b = 2; bytes c = 3;")
    with pytest.raises(generator.ProtocolBroken, match="no longer reserved"):
        generator.main(["--check"])

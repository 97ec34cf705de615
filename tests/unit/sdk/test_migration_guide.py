"""The migration guide's Python runs: all blocks as one script, as a reader would, on the embedded ledger."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.interop.doors import Door

GUIDE = Path(__file__).parents[3] / "docs" / "migrating-from-hfc.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def script_for(door: Door) -> str:
    """Return the guide's Python with its example names replaced by those of a channel that runs."""
    names = {
        "localhost:7051": door.address,
        "Org1MSP": door.msp_id,
        '"mychannel"': f'"{door.channel_id}"',
        '"basic"': f'"{door.chaincode}"',
    }
    text = "\n".join(BLOCK.findall(GUIDE.read_text("utf-8")))
    for name, real in names.items():
        assert name in text, f"the guide no longer uses {name}"
        text = text.replace(name, real)
    return text


def test_every_python_block_of_the_guide_runs(door: Door, tmp_path: Path) -> None:
    files = {"user/certificate.pem": door.certificate, "user/key.pem": door.key, "tls/ca.pem": door.tls_roots}
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o600)
    script = tmp_path / "guide.py"
    script.write_text(script_for(door) + '\nprint("all of it ran")\n', "utf-8")
    result = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout == "all of it ran\n"


def test_the_guide_has_a_block_for_every_heading_that_promises_one() -> None:
    text = GUIDE.read_text("utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    without = [part.splitlines()[0] for part in sections if not BLOCK.search(part)]
    assert without == ["Line for line", "What you no longer have to watch out for"]

"""A directory as one file: written the same way every time, read back with suspicion.

Decides the archive: a tar of regular files and directories in sorted order, without owners and times, mode 0600
because it holds keys. Reading refuses whatever is not of that form: absolute paths, `..`, links, devices, a name
twice. What is in the directory is left to the callers.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from bfl_fabric.errors import ConfigurationError, MalformedInput

_CHUNK_BYTES = 1 << 20
_OWNER_ONLY = 0o700


def pack(directory: Path, file: Path) -> str:
    """Write a directory into a new file; return the file's SHA-256. Raises ConfigurationError when it exists.

    Nothing may write into the directory meanwhile.
    """
    partial = file.with_name(f".{file.name}.partial")
    if file.exists():
        raise ConfigurationError(f"{file} exists already; choose another file")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as output:
        with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path in sorted(directory.rglob("*")):
                _add(archive, path, path.relative_to(directory).as_posix())
        output.flush()
        os.fsync(output.fileno())
    partial.rename(file)
    return digest_of(file)


def unpack(file: Path, directory: Path) -> None:
    """Write an archive's content into a new directory. Raises MalformedInput when it is none of ours.

    What was written before a refusal stays in the directory, which nobody uses.
    """
    directory.mkdir(mode=_OWNER_ONLY)
    try:
        with tarfile.open(file, mode="r:") as archive:
            for entry, name in _checked(archive):
                _extract(archive, entry, directory / name)
    except tarfile.TarError as error:
        raise MalformedInput(f"{file} is no archive of `bfl network backup`: {error}") from error
    except OSError as error:
        raise ConfigurationError(f"cannot read the archive {file}: {error.strerror}") from error


def digest_of(file: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    """Add a file or a directory; anything else (a socket, a link) is not data and is refused."""
    entry = tarfile.TarInfo(name)
    entry.mode = path.lstat().st_mode & _OWNER_ONLY
    if path.is_symlink() or not (path.is_file() or path.is_dir()):
        raise ConfigurationError(f"{path} is neither file nor directory; it cannot be archived")
    if path.is_dir():
        entry.type = tarfile.DIRTYPE
        archive.addfile(entry)
        return
    entry.size = path.stat().st_size
    with path.open("rb") as content:
        archive.addfile(entry, content)


def _checked(archive: tarfile.TarFile) -> Iterator[tuple[tarfile.TarInfo, str]]:
    """Yield what the archive holds, in order. Raises MalformedInput at the first entry that is not as we write it."""
    seen: set[str] = set()
    for entry in archive:
        path = PurePosixPath(entry.name)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in entry.name:
            raise MalformedInput(f"the archive names {entry.name!r}, which is not below its directory")
        if not (entry.isreg() or entry.isdir()) or entry.issparse():
            raise MalformedInput(f"the archive holds {entry.name!r}, which is neither file nor directory")
        if str(path) in seen:
            raise MalformedInput(f"the archive holds {entry.name!r} twice")
        seen.add(str(path))
        yield entry, str(path)


def _extract(archive: tarfile.TarFile, entry: tarfile.TarInfo, target: Path) -> None:
    mode = entry.mode & _OWNER_ONLY
    if entry.isdir():
        target.mkdir(mode=_OWNER_ONLY, exist_ok=True)
        return
    target.parent.mkdir(mode=_OWNER_ONLY, parents=True, exist_ok=True)
    content = archive.extractfile(entry)
    if content is None:
        raise MalformedInput(f"the archive holds nothing for {entry.name!r}")
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode | 0o600)
    with os.fdopen(descriptor, "wb") as output:
        _copy(content, output)


def _copy(source: IO[bytes], target: IO[bytes]) -> None:
    while chunk := source.read(_CHUNK_BYTES):
        target.write(chunk)
    target.flush()
    os.fsync(target.fileno())

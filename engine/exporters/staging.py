"""Writing under another name first: what is at the final path is whole, or was there before."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

from engine.exporters.report import ExportFailed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["ABOUT", "staged_file", "staged_folder", "staged_parts", "write_about"]

ABOUT = "cobalt_export.json"
"""The file in an exported folder that says what it is; also the mark that it may be replaced."""


@contextlib.contextmanager
def staged_file(path: Path, *, replace: bool) -> Iterator[Path]:
    """A name beside `path` to write one file to; it becomes `path` when the block ends well."""
    if path.is_dir():
        raise ExportFailed(f"path: expected the name of a file, found the folder {path}")
    if path.exists() and not replace:
        raise ExportFailed(f"path: {path} exists; replace=true overwrites it")
    temporary = _beside(path)
    with _told(path), _folder_made(path.parent):
        try:
            yield temporary
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def staged_folder(path: Path, *, replace: bool) -> Iterator[Path]:
    """An empty folder beside `path` to write to; it becomes `path` when the block ends well. Only
    an empty folder or an earlier export is ever replaced.
    """
    if path.exists() and not path.is_dir():
        raise ExportFailed(f"path: expected the name of a folder, found the file {path}")
    full = path.is_dir() and any(path.iterdir())
    if full and not (path / ABOUT).is_file():
        raise ExportFailed(
            f"path: {path} holds files that no export wrote; name a new or empty folder"
        )
    if full and not replace:
        raise ExportFailed(f"path: {path} holds an export; replace=true overwrites it")
    temporary = _beside(path)
    with _told(path), _folder_made(path.parent):
        try:
            temporary.mkdir()
            yield temporary
            _swap(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextlib.contextmanager
def staged_parts(root: Path, parts: Sequence[str], *, replace: bool) -> Iterator[Path]:
    """A folder inside `root` to write some of the sub-folders `parts` to; they are moved to their
    places in `root` when the block ends well, and those that were there before are gone then, also
    where the block wrote none instead. If a move fails, all are taken back.
    """
    if root.exists() and not root.is_dir():
        raise ExportFailed(f"path: expected the name of a folder, found the file {root}")
    held = [part for part in parts if (root / part).exists()]
    if held and not replace:
        raise ExportFailed(f"path: {root} has {held[0]} already; replace=true overwrites it")
    with _told(root), _folder_made(root):
        temporary = root / f".cobalt-export-{os.getpid()}.tmp"
        try:
            (temporary / "old").mkdir(parents=True)
            (temporary / "new").mkdir()
            yield temporary / "new"
            _move_parts(temporary, root, parts)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_about(folder: Path, about: dict[str, Any]) -> None:
    """Writes `cobalt_export.json`."""
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    (folder / ABOUT).write_text(text, encoding="utf-8")


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _swap(new: Path, path: Path) -> None:
    """Puts a folder into the place of another; a rename alone replaces only an empty one."""
    if not path.exists():
        new.rename(path)
        return
    old = new.with_suffix(".old")
    path.rename(old)
    try:
        new.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old)


def _move_parts(temporary: Path, root: Path, parts: Sequence[str]) -> None:
    with contextlib.ExitStack() as undo:
        for part in parts:
            for source, target in (
                (root / part, temporary / "old" / part),
                (temporary / "new" / part, root / part),
            ):
                if source.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    source.rename(target)
                    undo.callback(target.rename, source)
        undo.pop_all()


@contextlib.contextmanager
def _folder_made(folder: Path) -> Iterator[None]:
    """The folder exists inside the block; if the block fails, folders made for it are removed."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    made: list[Path] = []
    try:
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            made.append(path)
        yield
    except BaseException:
        for path in reversed(made):
            with contextlib.suppress(OSError):
                path.rmdir()
        raise


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turns the operating system's errors of writing into words."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOSPC or "No space left" in str(error):
            reason = "no space left on the device"
        else:
            reason = error.strerror or str(error)
        raise ExportFailed(f"path: {path} cannot be written: {reason}") from error

"""The first thing that the process of a checked run does; only the standard library is loaded here.

The job comes as JSON on standard input. Where it asks for it, folders are put in the place of
others for this process alone, which Linux allows only before any thread is started; that is why
the engine is loaded after it.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path

_CLONE_NEWNS, _CLONE_NEWUSER = 0x0002_0000, 0x1000_0000
_MS_BIND, _MS_REC = 0x1000, 0x4000


def put_over(mounts: list[tuple[str, str]]) -> None:
    """Shows each `source` at its `target`, in order, to this process and its children alone.

    It takes a user namespace of its own. Raises OSError where the system does not allow that.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if not hasattr(libc, "unshare"):
        raise OSError("there are no namespaces on this system")
    _call(libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNS), "unshare")
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        Path(f"/proc/self/{name}").write_text(text, encoding="ascii")
    for source, target in mounts:
        flags = ctypes.c_ulong(_MS_BIND | _MS_REC)
        _call(libc.mount(source.encode(), target.encode(), None, flags, None), f"mount {target}")


def _call(result: int, name: str) -> None:
    if result != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def main() -> None:
    """Runs the job, or with `probe` only tries what it asks for."""
    job = json.load(sys.stdin)
    if job["mounts"]:
        put_over(job["mounts"])
    if job.get("probe"):
        return
    sys.path[:] = job["sys_path"]
    from engine.check.worker import work

    work(job)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        # Whoever stopped the check is told so by the process that started this one.
        sys.exit(130)

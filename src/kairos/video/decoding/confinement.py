"""What the decoding process gives up before it opens a file, so that a file which takes a decoder over gains little.

Called first of all, while the process has one thread, and so imports nothing but the standard library. On Linux: no
network (a network namespace of its own, where the kernel lets this user make one); no writing of files, no TCP and no
signals to other processes (Landlock: kernel 5.13, 6.7, 6.12); no capability but that of reading; no new privileges.
Everywhere but on Windows: limits on the size of written files, on open files, on processor time, and no core dumps.
The worker limits its memory itself. `make doctor` says what a machine offers.

Not protected: the process may read what its user may read, connect to local sockets that have a path, use one decoder's
share of processor and memory until its limits end it, and put whatever it wants into the frames that it returns. There
is no filter of system calls.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping

STDERR_BYTES = 1 << 20
OPEN_FILES = 256
_KEPT = ("PATH", "LANG", "TZ", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "PYTHONHOME")
_KEPT_PREFIXES = ("LC_", "OMP_", "MKL_", "OPENBLAS_")
_NEWUSER, _NEWNET = 0x10000000, 0x40000000
_NO_NEW_PRIVILEGES = 38
_READ_ANY_FILE = 1 << 2  # CAP_DAC_READ_SEARCH
_CAPABILITIES_3 = 0x20080522
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # Landlock's system calls, the same on every architecture
_WRITE, _REMOVE_AND_MAKE, _MOVE, _TRUNCATE = 1 << 1, sum(1 << bit for bit in range(4, 13)), 1 << 13, 1 << 14
_TCP, _SOCKETS_AND_SIGNALS = 0b11, 0b11


def environment() -> dict[str, str]:
    """The environment variables that a decoding process is given: no tokens, no addresses."""
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    return {**kept, "TORCHINDUCTOR_CACHE_DIR": os.sep}  # torch makes this folder when imported: one that exists


def confine(cpu_seconds: int) -> Mapping[str, bool]:
    """Give everything up, as far as this system lets a process do so. What is given up, by name."""
    tempfile.tempdir = os.sep  # libraries ask for its name, and finding one that cannot be written to is an error
    limits = _limited(cpu_seconds)
    if not sys.platform.startswith("linux"):
        return {**dict.fromkeys(("network", "tcp", "writing", "signals", "privileges"), False), "limits": limits}
    libc = ctypes.CDLL(None, use_errno=True)
    network = _without_network(libc)
    privileges = libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) == 0
    landlock = _landlocked(libc)
    return {
        "network": network,
        "tcp": network or landlock >= 4,
        "writing": landlock >= 1,
        "signals": landlock >= 6,
        "privileges": _without_capabilities(libc) and privileges,
        "limits": limits,
    }


def offered() -> Mapping[str, bool]:
    """What `confine` can give up on this machine, found out in a process of its own."""
    command = [sys.executable, "-m", "kairos.video.decoding.confinement"]
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(command, capture_output=True, check=True, env={**environment(), "PYTHONPATH": path})
    return json.loads(done.stdout)


def _limited(cpu_seconds: int) -> bool:
    try:
        import resource
    except ImportError:
        return False
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: STDERR_BYTES,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_CPU: cpu_seconds,
    }
    for what, most in wanted.items():
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))
    return True


def _without_network(libc: ctypes.CDLL) -> bool:
    """A network namespace with nothing in it; a user namespace around it for a user who may not make one alone."""
    unshare: Callable[[int], int] = libc.unshare
    if unshare(_NEWNET) == 0:
        return True
    # Root in a user namespace of its own would lose the right to read files of other users.
    return os.geteuid() != 0 and unshare(_NEWUSER | _NEWNET) == 0


def _without_capabilities(libc: ctypes.CDLL) -> bool:
    """Keep only the right to read other users' files, for who has it: data in a container often belong to others."""
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITIES_3, 0))
    held = ctypes.create_string_buffer(24)
    if libc.capget(header, held) != 0:
        return False
    effective, permitted, *_ = struct.unpack("=6I", held.raw)
    kept = struct.pack("=6I", effective & _READ_ANY_FILE, permitted & _READ_ANY_FILE, 0, 0, 0, 0)
    return libc.capset(header, kept) == 0


def _landlocked(libc: ctypes.CDLL) -> int:
    """Open files stay open; no other is opened for writing, made, moved or removed, but for the null device. Landlock's
    version; 0: without."""

    def call(*arguments: object) -> int:
        return libc.syscall(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))

    version = call(_CREATE_RULESET, None, 0, 1)
    if version < 1:
        return 0
    files = _WRITE | _REMOVE_AND_MAKE | (_MOVE if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    fields = [files, *([_TCP] if version >= 4 else []), *([_SOCKETS_AND_SIGNALS] if version >= 6 else [])]
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    rules = call(_CREATE_RULESET, attributes, len(attributes), 0)
    if rules < 0:
        return 0
    null = os.open(os.devnull, os.O_PATH)  # libraries look for others with programs that write to nowhere
    call(_ADD_RULE, rules, 1, struct.pack("=Qi", _WRITE, null), 0)
    os.close(null)
    done = call(_RESTRICT_SELF, rules, 0) == 0
    os.close(rules)
    return version if done else 0


if __name__ == "__main__":
    print(json.dumps(confine(60)))

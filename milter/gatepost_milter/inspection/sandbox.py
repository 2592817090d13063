"""Owns what an inspector process may no longer do: files, network, programs, signals, memory and time.

Every measure is tried, and what took effect is reported by name, so that an old kernel degrades visibly
instead of failing. Nothing here needs a privilege or a package: it is prctl(2), setrlimit(2), landlock(7)
and a hand-written seccomp(2) filter, called through libc.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
from collections.abc import Iterable

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2

# The C library's syscall(2) numbers of landlock are the same on every architecture.
_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_VERSION = 1
_LANDLOCK_FILES = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF, 5: 0xFFFF}

# What a Python process that only computes, and answers on a socket it already has, still asks of the kernel.
# Everything else (open, socket, connect, execve, clone, kill, ptrace, prctl …) fails with EPERM. No tgkill: an
# abort() ends in a trap instead of a signal, which the worker cannot tell apart and need not.
_NEEDED = {
    "x86_64": {
        "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10,
        "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "pread64": 17,
        "pwrite64": 18, "readv": 19, "writev": 20, "sched_yield": 24, "mremap": 25, "madvise": 28, "dup": 32,
        "nanosleep": 35, "getpid": 39, "sendto": 44, "recvfrom": 45, "sendmsg": 46, "recvmsg": 47, "exit": 60,
        "fcntl": 72, "ftruncate": 77, "gettimeofday": 96, "getrusage": 98, "sigaltstack": 131, "gettid": 186,
        "futex": 202, "restart_syscall": 219, "clock_gettime": 228, "clock_nanosleep": 230, "exit_group": 231,
        "newfstatat": 262, "ppoll": 271, "set_robust_list": 273, "getrandom": 318, "membarrier": 324,
        "rseq": 334,
    },
    "aarch64": {
        "fcntl": 25, "dup": 23, "ftruncate": 46, "close": 57, "lseek": 62, "read": 63, "write": 64, "readv": 65,
        "writev": 66, "pread64": 67, "pwrite64": 68, "ppoll": 73, "newfstatat": 79, "fstat": 80, "exit": 93,
        "exit_group": 94, "futex": 98, "set_robust_list": 99, "nanosleep": 101, "clock_gettime": 113,
        "clock_nanosleep": 115, "sched_yield": 124, "restart_syscall": 128, "sigaltstack": 132,
        "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "getrusage": 165, "gettimeofday": 169,
        "getpid": 172, "gettid": 178, "sendto": 206, "recvfrom": 207, "sendmsg": 211, "recvmsg": 212,
        "brk": 214, "munmap": 215, "mremap": 216, "mmap": 222, "mprotect": 226, "madvise": 233,
        "getrandom": 278, "membarrier": 283, "rseq": 293,
    },
}  # fmt: skip
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000

_LOAD_WORD = 0x20
_JUMP_EQUAL = 0x15
_JUMP_GREATER_EQUAL = 0x35
_RETURN = 0x06
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | 1  # SECCOMP_RET_ERRNO with EPERM

_libc = ctypes.CDLL(None, use_errno=True)


def give_back_memory() -> None:
    """Return freed memory to the kernel, which the C library keeps for the next time (malloc_trim(3))."""
    if hasattr(_libc, "malloc_trim"):
        _libc.malloc_trim(0)


def die_with(parent: int) -> None:
    """End this process when ``parent`` (a pid) does. Ends it at once if the parent is already gone."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def keep_only(descriptors: Iterable[int]) -> None:
    """Close every other descriptor; standard input, output and error lead nowhere afterwards."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    start = 3
    for kept in sorted(set(descriptors)):
        os.closerange(start, kept)
        start = kept + 1
    os.closerange(start, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def enter(*, memory: int, file_size: int, cpu: int) -> tuple[str, ...]:
    """Give up everything that examining bytes does not need, and say what took effect.

    ``memory`` bounds the address space and ``file_size`` the scratch file, in bytes; ``cpu`` is in seconds over
    the whole life of the process. Whatever is to be used later must be imported already.
    """
    done = ["rlimits"]
    bounds = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: cpu,
        resource.RLIMIT_FSIZE: file_size,
        resource.RLIMIT_NOFILE: 16,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_AS: memory,
    }
    for what, bound in bounds.items():
        hard = resource.getrlimit(what)[1]
        lowest = bound if hard == resource.RLIM_INFINITY else min(bound, hard)
        resource.setrlimit(what, (lowest, lowest))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write fails with EFBIG instead
    done += renounce()
    if _landlock():
        done.append("landlock")
    if _seccomp():
        done.append("seccomp")
    return tuple(done)


def renounce() -> tuple[str, ...]:
    """Give up what no process of ours needs: being looked into, and gaining privileges. Says what took effect."""
    done = []
    if _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) == 0:
        done.append("undumpable")
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        done.append("no-new-privileges")
    return tuple(done)


def _landlock() -> bool:
    """Forbid every file and, where the kernel can, every TCP connection (landlock(7))."""
    version = _libc.syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_VERSION)
    if version < 1:
        return False
    files = _LANDLOCK_FILES.get(version, 0xFFFF)
    network = 0b11 if version >= 4 else 0
    ruleset = struct.pack("=QQ", files, network)[: 16 if network else 8]
    descriptor = _libc.syscall(_LANDLOCK_CREATE_RULESET, ruleset, len(ruleset), 0)
    if descriptor < 0:
        return False
    entered = bool(_libc.syscall(_LANDLOCK_RESTRICT_SELF, descriptor, 0) == 0)
    os.close(descriptor)
    return entered


class _Program(ctypes.Structure):
    """``struct sock_fprog`` of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _seccomp() -> bool:
    """Let through the calls in _NEEDED and refuse all others (seccomp(2), classic BPF)."""
    machine = platform.machine()
    needed = _NEEDED.get(machine)
    if needed is None:
        return False
    count = len(needed)
    program = [
        _step(_LOAD_WORD, 4),
        _step(_JUMP_EQUAL, _AUDIT_ARCH[machine], 0, count + 2),
        _step(_LOAD_WORD, 0),
        _step(_JUMP_GREATER_EQUAL, _X32_BIT, count, 0),
        *(_step(_JUMP_EQUAL, number, count - place, 0) for place, number in enumerate(needed.values())),
        _step(_RETURN, _REFUSE),
        _step(_RETURN, _ALLOW),
    ]
    code = b"".join(program)
    loaded = _Program(len(program), code)
    return bool(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(loaded), 0, 0) == 0)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)

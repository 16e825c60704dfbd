"""Which system calls a process may still make: a seccomp filter by the system's libseccomp. For Linux.

Debian and its containers have libseccomp, as apt needs it; so do systems with systemd. It knows the numbers
of the calls on each kind of processor.
"""

from __future__ import annotations

import ctypes
import errno
import os
from tempfile import TemporaryFile

_LIBRARY = "libseccomp.so.2"
_ALLOW = 0x7FFF0000
_ERROR = 0x00050000
_UNKNOWN = -1
_MASKED_EQUAL = 7
_CLONE_THREAD = 0x00010000
_OTHER_ARCHITECTURE = 2
"""Attribute: what calls by the numbers of other processors get; by itself the library ends the process."""
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_INSTRUCTION_BYTES = 8

_DENIED = (
    # network, other than the stream that is open
    "socket", "socketpair", "connect", "bind", "listen", "accept", "accept4", "sendmsg", "sendmmsg",
    "recvmsg", "recvmmsg", "socketcall",
    # programs and other processes
    "execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev", "kcmp",
    "kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open", "pidfd_getfd",
    "pidfd_send_signal", "process_madvise",
    # names and contents on disks
    "creat", "open_by_handle_at", "name_to_handle_at", "truncate", "truncate64", "ftruncate", "ftruncate64",
    "fallocate", "rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "link",
    "linkat", "symlink", "symlinkat", "mknod", "mknodat", "chmod", "fchmod", "fchmodat", "fchmodat2", "chown",
    "fchown", "fchownat", "lchown", "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr",
    "fremovexattr", "utime", "utimes", "utimensat", "futimesat", "fanotify_init", "quotactl",
    # what changes the machine, or opens the kernel wide
    "mount", "umount", "umount2", "move_mount", "open_tree", "fsopen", "fsconfig", "fsmount", "mount_setattr",
    "chroot", "pivot_root", "unshare", "setns", "bpf", "perf_event_open", "userfaultfd", "io_uring_setup",
    "io_uring_enter", "io_uring_register", "keyctl", "add_key", "request_key", "init_module", "finit_module",
    "delete_module", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "sethostname",
    "setdomainname", "settimeofday", "clock_settime", "adjtimex", "clock_adjtime", "acct", "syslog", "iopl",
    "ioperm", "modify_ldt", "vhangup", "mq_open", "mq_unlink", "shmget", "shmat", "semget", "msgget",
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "capset",
)  # fmt: skip
_WRITING = (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC)
_ABSENT = ("clone3", "openat2")
"""No filter sees their arguments, which lie in memory; libraries that lack them use the older calls."""


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


class _Program(ctypes.Structure):
    """`struct sock_fprog`: so many instructions of 8 bytes, and where they lie."""

    _fields_ = (("num_instructions", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def system_call_filter() -> bytes | None:
    """Return a filter that forbids what reading a file does not need; None where libseccomp cannot make it.

    It allows no new connections, no programs, no processes but threads of one's own, no signals, no files
    opened for writing, nothing renamed or removed: such a call fails with `PermissionError`.
    """
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    library.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ALLOW)))
    if not rules:
        return None

    def deny(name: str, error: int = errno.EPERM, argument: _Comparison | None = None) -> bool:
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number == _UNKNOWN:  # newer than the library
            return True
        comparisons = (_Comparison * 1)(*([argument] if argument else []))
        action, count = ctypes.c_uint32(_ERROR | error), 1 if argument else 0
        return bool(library.seccomp_rule_add_array(rules, action, number, count, comparisons) == 0)

    try:
        library.seccomp_attr_set(rules, _OTHER_ARCHITECTURE, ctypes.c_uint32(_ERROR | errno.EPERM))
        denied = [
            *(deny(name) for name in _DENIED),
            *(deny(name, errno.ENOSYS) for name in _ABSENT),
            *(
                deny(name, argument=_Comparison(place, _MASKED_EQUAL, flag, flag))
                for name, place in (("open", 1), ("openat", 2))
                for flag in _WRITING
            ),
            deny("clone", argument=_Comparison(0, _MASKED_EQUAL, _CLONE_THREAD, 0)),
        ]
        if not all(denied):
            return None
        with TemporaryFile() as file:
            if library.seccomp_export_bpf(rules, file.fileno()) != 0:
                return None
            file.seek(0)
            return file.read()
    finally:
        library.seccomp_release(rules)


def apply_filter(instructions: bytes) -> bool:
    """Set a filter for this process and all that it starts, for good; tell whether the kernel allowed that.

    To be called before there are threads, in a process that cannot get new rights (`limit_process`).

    Args:
        instructions: of `system_call_filter`.
    """
    program = _Program(len(instructions) // _INSTRUCTION_BYTES, instructions)
    outcome: int = ctypes.CDLL(None).prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0)
    return outcome == 0

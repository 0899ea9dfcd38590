"""`python -m tests.without_ipv6 COMMAND...`: runs a command as on a machine whose kernel has no IPv6.

A filter of system calls (seccomp) refuses its sockets, also to the processes that the command starts.
"""

import ctypes
import errno
import os
import platform
import socket
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2  # prctl(2)
SOCKET = {"x86_64": 41, "aarch64": 198}[platform.machine()]  # the number of that system call
# The system call, and its first argument, in struct seccomp_data.
NUMBER, FAMILY = 0, 16
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # of BPF
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EAFNOSUPPORT
PROGRAM = [
    (LOAD, 0, 0, NUMBER),
    (EQUAL, 0, 3, SOCKET),
    (LOAD, 0, 0, FAMILY),
    (EQUAL, 0, 1, socket.AF_INET6),
    (RETURN, 0, 0, REFUSE),
    (RETURN, 0, 0, ALLOW),
]


def forbid() -> None:
    """Take IPv6 away from this process."""
    steps = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in PROGRAM))
    program = ctypes.create_string_buffer(struct.pack("HP", len(PROGRAM), ctypes.addressof(steps)))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, FILTER, program, 0, 0)):
        if libc.prctl(*arguments):
            raise OSError(ctypes.get_errno(), "prctl")


if __name__ == "__main__":
    forbid()
    os.execvp(sys.argv[1], sys.argv[1:])

# What probes in Python have in common. Imported by each.
import ctypes, os, socket, struct, sys

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long


def opened(value):
    """Says that the way is open unless the C call that returned this failed."""
    if value is not None and value >= 0:
        print("THE-WAY-IS-OPEN")
    else:
        print("refused:", os.strerror(ctypes.get_errno()))


def mapping(pid):
    """A readable, writable place in the memory of a process, with its length."""
    for line in open(f"/proc/{pid}/maps"):
        place, rights = line.split()[:2]
        if rights.startswith("rw"):
            start, end = (int(part, 16) for part in place.split("-"))
            return start, min(end - start, 4096)


def connect(kind, address, *rest):
    found = socket.socket(*kind, *rest)
    found.settimeout(3)
    found.connect(address)
    found.send(b"x")
    print("connected")

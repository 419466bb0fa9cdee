"""Makes calls of a node that change its files fail: the other side of tests/lib/disk_fault.c."""

import collections
import mmap
import os
import struct

from node import program

KINDS = ["make", "open", "write", "write_sync", "sync", "sync_dir", "allocate", "resize", "rename", "unlink",
         "mkdir", "rmdir"]
NAME_BYTES = 256
ALWAYS = 2**64 - 1
# struct rule: name; kinds, reason, is_short, unused; first, times, met, failed
RULE = struct.Struct("<256s4I4Q")
REASON_AT = 256 + 4
RULES = 2


class Faults:
    """The rules that a node lives under; `environment` is for its start. Names are relative to `root`."""

    def __init__(self, directory, root):
        self.log_path = os.path.join(directory, "disk_fault.log")
        path = os.path.join(directory, "disk_fault.control")
        open(self.log_path, "wb").close()
        with open(path, "w+b") as f:
            f.truncate(NAME_BYTES + RULES * RULE.size)
            self.map = mmap.mmap(f.fileno(), 0)
        self.map[:NAME_BYTES] = os.path.realpath(root).encode().ljust(NAME_BYTES, b"\0")
        self.environment = {
            "LD_PRELOAD": os.path.join(os.path.dirname(program()), "tests", "lib", "disk_fault.so"),
            "DISK_FAULT": path, "DISK_FAULT_LOG": self.log_path,
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"}

    def set(self, kinds, name, reason, first=1, times=ALWAYS, short=False, rule=0):
        """The calls of these kinds on files of this name (a pattern) fail with the errno `reason`: `times`
        of them from the `first` on. Writes that are `short` take half of it instead."""
        at = NAME_BYTES + rule * RULE.size
        mask = sum(1 << KINDS.index(kind) for kind in kinds)
        struct.pack_into("<I", self.map, at + REASON_AT, 0)
        self.map[at:at + RULE.size] = RULE.pack(name.encode(), mask, 0, short, 0, first, times, 0, 0)
        struct.pack_into("<I", self.map, at + REASON_AT, reason)  # last: it counts from here on

    def clear(self):
        for rule in range(RULES):
            struct.pack_into("<I", self.map, NAME_BYTES + rule * RULE.size + REASON_AT, 0)

    def failed(self, rule=0):
        """How many calls have."""
        return RULE.unpack_from(self.map, NAME_BYTES + rule * RULE.size)[-1]

    def calls(self):
        """Counter of (kind, name) of all calls so far."""
        with open(self.log_path, encoding="utf-8", errors="surrogateescape") as f:
            return collections.Counter(tuple(line.rstrip("\n").split(" ", 1)) for line in f)

    def close(self):
        self.map.close()

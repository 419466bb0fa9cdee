"""hold.py PID: holds the first worker of a node still until the node is ended."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))

from manager import WALL, HeldThread  # noqa: E402

thread = HeldThread(int(sys.argv[1]), "worker-0")
thread.__enter__()
os.waitpid(thread.thread, WALL)

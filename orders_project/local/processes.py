"""What the kernel can promise about processes."""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int, death_signal: signal.Signals = signal.SIGTERM) -> None:
    """Have the kernel send `death_signal` to this process when `parent`, its parent, ends.

    Call it last before exec: changing user clears the request. Elsewhere than on Linux it does
    nothing, and what is left behind by a killed parent is found by the next start.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, death_signal)
    if os.getppid() != parent:  # it ended before the request was made
        os.kill(os.getpid(), death_signal)

"""What everybody needs who starts a server as a process of its own: a free port, and its end."""

from __future__ import annotations

import socket
import subprocess

KILL_TIMEOUT_S = 5.0


def free_port() -> int:
    """A loopback port on which nobody listens just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end(process: subprocess.Popen[bytes], timeout_s: float) -> None:
    """Ask it to end, and make it end when it has not after so long."""
    process.terminate()
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(KILL_TIMEOUT_S)

"""What other processes of this machine are: whose connection, whose child."""

from __future__ import annotations

from collections.abc import Iterable

import psutil


def local_ports(pids: Iterable[int], *, towards: frozenset[int]) -> dict[int, int]:
    """Return {local port: process} for connections of these processes to the ports in `towards`.

    Processes that are gone, or not ours to look into, have none. Reads one table of the kernel and
    the open files of each process: a few milliseconds each, so not for an event loop.
    """
    found = {}
    for pid in pids:
        try:
            connections = psutil.Process(pid).net_connections("tcp")
        except psutil.Error:
            continue
        for connection in connections:
            if connection.raddr and connection.raddr.port in towards:
                found[connection.laddr.port] = pid
    return found


def is_child(pid: int, parent: int) -> bool:
    """Return whether a process lives and was started by `parent`; a number may be used again."""
    try:
        return psutil.Process(pid).ppid() == parent
    except psutil.Error:
        return False

"""Tells systemd how the service is, by the protocol of sd_notify(3); silent elsewhere."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """Send one state line, such as `READY=1` or `STOPPING=1`, to the service manager if any."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]  # the abstract namespace of unix(7)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.sendto(state.encode(), address)

"""A session with a host whose commands are answered from a table, without a connection."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import asyncssh

from bzzz_core.deploy.remote import Completed
from bzzz_core.deploy.ssh.login import Login
from bzzz_core.deploy.ssh.session import SshHost

LOGIN = Login(name="a", address="10.0.0.1", port=22, user="root")


class NoConnection:
    """Stands where the connection would, and is open."""

    def get_server_host_key(self) -> None:
        """Return no key: nobody showed one."""

    def is_closed(self) -> bool:
        """Return that it is open."""
        return False


class ScriptedSession(SshHost):
    """The real session; only the commands do not leave this machine."""

    def __init__(self, said: Mapping[str, bytes]) -> None:
        """Take what commands print, by what they are for; all others print nothing."""
        super().__init__(LOGIN, cast("asyncssh.SSHClientConnection", NoConnection()))
        self._said = said

    async def run(self, script: str, *arguments: str, what: str, **options: Any) -> Completed:
        """Answer a command."""
        del script, arguments, options
        return Completed(0, self._said.get(what, b""), b"")

    async def staged_in(self) -> str:
        """Return where staged files would be put."""
        return await self._staged.made()

"""What can be done to the node that a view is about: a shell, and changes of the cluster."""

from __future__ import annotations

from typing import cast

from bzzz_core.api.documents import MemberStatus
from bzzz_core.errors import ConfigError
from bzzz_tui.app_base import AppBase
from bzzz_tui.monitor import changes
from screens.monitor.base import MonitorView
from screens.monitor.changing import confirm


class ChangesHere(MonitorView):
    """A view with a node under its cursor."""

    def member(self) -> MemberStatus:
        """Return the node.

        Raises:
            ConfigError: There is none.
        """
        raise NotImplementedError

    def leads(self) -> bool:
        """Return whether the node leads."""
        raise NotImplementedError

    def action_shell(self) -> None:
        """Open a shell on the node; the monitor waits meanwhile.

        Raises:
            ConfigError: The profile knows no way to log in to it.
        """
        name, opened = self.member().name, self.session.opened
        command = opened.ssh.get(name) if opened is not None else None
        if command is None:
            raise ConfigError(f"no way to log in to {name} is known; a demo has none")
        self.say(cast("AppBase", self.app).run_outside(command))

    def action_log_of(self) -> None:
        """Open the log of the node."""
        self.shell.show("logs", f"node={self.member().name}")

    def action_transfer(self) -> None:
        """Hand the leadership over: to the node, or to the fittest voter if it leads already."""
        confirm(
            self, changes.transfer(self.member() if self.node_here() and not self.leads() else None)
        )

    def action_log_level(self, level: str = "") -> None:
        """Set the log level of the node."""
        if not level:
            self.action_command("level ")
            return
        confirm(self, changes.log_level(self.member(), level))

    def action_drain(self) -> None:
        """Let the node leave in order."""
        nodes = len(self.session.store.order)
        confirm(self, changes.drain(self.member(), nodes))

    def action_undrain(self) -> None:
        """Call the leaving of the node off."""
        confirm(self, changes.undrain(self.member()))

    def action_remove(self) -> None:
        """Withdraw the trust in the node."""
        confirm(self, changes.remove(self.member()))

    def action_halt(self) -> None:
        """Stop all work everywhere."""
        confirm(self, changes.halt(self.session.context))

    def action_resume(self) -> None:
        """Let work go on."""
        confirm(self, changes.resume(self.session.context))

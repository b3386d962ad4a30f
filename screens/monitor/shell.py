"""The way through the views of one cluster: what is open, what was before, and what comes back.

The first view is *home*. A view opened by its digit lies over home, what is opened from it (a node,
say) over that; Esc goes back one. Opening another view by digit or command replaces everything over
home, so the way back is never long. Views are made when they are opened and are gone when they are
left; cursor, filter and order stay in the session.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bzzz_core.config.profile_places import known_profiles
from bzzz_core.errors import ConfigError
from bzzz_tui.action_kinds import Argument
from bzzz_tui.app_base import end_service
from bzzz_tui.keymap import Keymap
from bzzz_tui.monitor import view_settings
from bzzz_tui.monitor.session import MonitorSession
from bzzz_tui.monitor.views import HOME, known_view, load, view_named
from bzzz_tui.theme_choice import all_names
from bzzz_tui.wording import Glyphs, Tone

if TYPE_CHECKING:
    from screens.app import BzzzApp
    from screens.monitor.base import MonitorView
    from screens.monitor.frame import Frame

_FIRST_FRAME_S: Final = 0.03
_REFRESH_S: Final = (1.0, 3_600.0)
_GROUPS: Final = ("leader", "follower", "edge")
"""What a demo's commands take instead of a name."""


class Shell:
    """Where the operator is in one cluster."""

    def __init__(self, app: BzzzApp, session: MonitorSession, *, settings: Path) -> None:
        """Open nothing yet.

        Args:
            app: Whose screens the views are.
            session: The watched cluster.
            settings: File of what the operator chose for each view.
        """
        self.app = app
        self.session = session
        self._settings = settings
        self._home: MonitorView | None = None
        self._way: list[MonitorView] = []
        self._last: tuple[str, str] | None = None
        self._service: asyncio.Task[None] | None = None
        self._begun = False

    @property
    def glyphs(self) -> Glyphs:
        """Return the symbols in use."""
        return self.app.glyphs

    @property
    def keymap(self) -> Keymap:
        """Return the operator's own keys."""
        return self.app.keymap

    def way(self) -> list[str]:
        """Return the titles from home to the present view."""
        return [view.title_here for view in self._way]

    # ---- views

    def home(self, name: str = HOME, argument: str = "") -> MonitorView:
        """Make the first view; the caller shows it.

        Raises:
            ConfigError: No view has this name, or it is still to come.
        """
        self.session.views.update(view_settings.load(self._settings))
        self._home = self._make(name, argument)
        self._way = [self._home]
        return self._home

    def show(self, name: str, argument: str = "") -> None:
        """Open a view by its name, over home; with a filter, or what it is about.

        Raises:
            ConfigError: No view has this name, or it is still to come.
        """
        here = self._way[-1]
        if name == here.VIEW and (here.argument == argument or not _drilled(name)):
            here.take_argument(argument)
            return
        assert self._home is not None
        if name == self._home.VIEW and not _drilled(name):
            self._last = self._here()
            self._pop_to(1)
            self._home.take_argument(argument)
            return
        view = self._make(name, argument)
        self._last = self._here()
        self._pop_to(2)
        if len(self._way) > 1:
            self._way[-1] = view
            self.app.switch_screen(view)
        else:
            self._push(view)

    def drill(self, name: str, argument: str) -> None:
        """Open a view over the present one: what is under the cursor, nearer.

        Raises:
            ConfigError: No view has this name, or it is still to come.
        """
        view = self._make(name, argument)
        self._last = self._here()
        self._push(view)

    def back(self) -> bool:
        """Go back one view; return False at the first one."""
        if len(self._way) < 2:  # noqa: PLR2004  home and one more
            return False
        self._last = self._here()
        self._pop_to(len(self._way) - 1)
        return True

    def leave(self) -> None:
        """Go back one view; at home leave the cluster, if no change is under way."""
        if not self.back() and self._may_end():
            self.app.leave_monitor()

    def quit(self) -> None:
        """End the program, if no change is under way."""
        if self._may_end():
            self.app.exit(0)

    def last(self) -> None:
        """Open the view that was open before this one."""
        if self._last is None:
            self.say("this is the first view", Tone.MUTED)
        else:
            self.show(*self._last)

    def say(self, words: str, tone: Tone = Tone.PLAIN) -> None:
        """Answer the operator in the present view, if the cluster was not left meanwhile."""
        if self._way:
            self._way[-1].say(words, tone)

    def _make(self, name: str, argument: str) -> MonitorView:
        made: MonitorView = load(known_view(name).place)(self, argument)
        return made

    def _push(self, view: MonitorView) -> None:
        self._way.append(view)
        self.app.push_screen(view)

    def _pop_to(self, length: int) -> None:
        while len(self._way) > length:
            self._way.pop()
            self.app.pop_screen()

    def _here(self) -> tuple[str, str]:
        view = self._way[-1]
        return view.VIEW, view.argument if _drilled(view.VIEW) else ""

    def _may_end(self) -> bool:
        if self.session.busy:
            self.say("a change is under way; wait for its answer", Tone.WARN)
        return not self.session.busy

    # ---- the session

    def shown(self, view: Frame) -> None:
        """Begin to watch once the first view is on the screen.

        The feed's libraries take longer to load than the first frame takes to paint, and
        `call_after_refresh` comes before the frame is written (measured).
        """
        if not self._begun:
            self._begun = True
            view.set_timer(_FIRST_FRAME_S, self._begin)

    def _begin(self) -> None:
        self._service = self.app.start_service(self.session.run())
        self.app.take_keymap()

    def gone(self, view: Frame) -> None:
        """End the session with its first view; the app waits until it has let go of everything."""
        if view is self._home and self._service is not None:
            end_service(self._service)

    def close(self) -> None:
        """Take all views off the screen; the session ends with them."""
        for _ in range(len(self._way)):
            self.app.pop_screen()
        self._way = []

    def watch(self, name: str) -> None:
        """Watch another cluster.

        Raises:
            ConfigError: None has this name.
        """
        known = self.contexts()
        if not name:
            words = ", ".join(known) or "none; bzzz-tui setup makes one"
            self.say(f"known clusters: {words}; :ctx NAME watches one")
            return
        if name not in known:
            raise ConfigError(f"no cluster is called {name!r}; there are {', '.join(known)}")
        if self._may_end():
            self.app.watch_another(name)

    @staticmethod
    def contexts() -> Sequence[str]:
        """Return the names of the clusters that have a profile here."""
        return known_profiles()

    def set(self, words: str) -> str:
        """Change a setting for now; return what is set.

        Raises:
            ConfigError: There is no such setting, or not this value.
        """
        name, _, value = words.partition(" ")
        if name != "refresh":
            raise ConfigError(f"no setting is called {name!r}; there is: refresh SECONDS")
        try:
            seconds = float(value.strip().removesuffix("s"))
        except ValueError as exc:
            raise ConfigError("write seconds: :set refresh 5") from exc
        least, most = _REFRESH_S
        if not least <= seconds <= most:
            raise ConfigError(f"refresh takes {least:g} to {most:g} seconds")
        self.session.set_refresh_ms(round(seconds * 1_000))
        return f"asks every {seconds:g} s"

    def keep_settings(self) -> None:
        """Write down what the operator chose for the views."""
        self.app.start_service(self._save())

    async def _save(self) -> None:
        failed = await asyncio.to_thread(view_settings.save, self._settings, self.session.views)
        if failed:
            self.say(failed, Tone.WARN)

    def _names(self) -> list[str]:
        store = self.session.store
        return [store.rows[node].member.name for node in store.order]

    def choices(self, kind: Argument, text: str) -> Sequence[str]:
        """Return what may stand behind a command anywhere."""
        found: Sequence[str] = ()
        match kind:
            case Argument.THEME:
                found = all_names()
            case Argument.CONTEXT:
                found = self.contexts()
            case Argument.SETTING:
                found = ("refresh 1", "refresh 2", "refresh 5", "refresh 10")
            case Argument.LEVEL:
                from bzzz_tui.monitor.changes import LEVELS  # noqa: PLC0415

                found = LEVELS
            case Argument.EXPORT:
                from bzzz_tui.monitor.export import FORMATS  # noqa: PLC0415

                found = FORMATS
            case Argument.NODE:
                found = self._names()
            case Argument.NODES:
                head, gap, text = text.rpartition(" ")
                names = [*self._names(), *_GROUPS]
                return [f"{head}{gap}{each}" for each in names if each.startswith(text)]
            case _:
                pass
        return [each for each in found if each.startswith(text)]


def _drilled(name: str) -> bool:
    spec = view_named(name)
    return spec is not None and spec.drilled

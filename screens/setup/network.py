"""Step 2: the network that the hosts share, and where each node listens.

What the probe found is shown beside what is asked: the subnet of the hosts, their interfaces, what
collides. An empty field takes what was found; what is typed is a rule that setup enforces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from textual.widget import Widget

from bzzz_core.deploy import surroundings
from bzzz_core.deploy.events import Finding
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.facts.network import Interface
from bzzz_core.deploy.reach import Matrix
from bzzz_core.errors import BzzzError
from bzzz_tui.parts import Part, fit
from bzzz_tui.widgets.step_rail import StepState
from bzzz_tui.widgets.toned import Lines, Paragraph
from bzzz_tui.wording import UNKNOWN, Glyphs, Tone, clean
from screens.setup.context import Context
from screens.setup.draft import FIELDS
from screens.setup.step import PushButton, StepView
from screens.setup.steps import StepSpec

_INTERFACE = "network.interface"
_PORTS = "network.ports."
_PROVE = "Prove that all reach each other (each listens for some seconds)"
_HOSTS_SHOWN = 5
_CELL = 12
_WORDS_MAX = 400
_GIGABIT = 1_000
_NAME_WIDTH = 12


class NetworkStep(StepView):
    """Subnet, interfaces, collisions, and ports."""

    def compose_above(self) -> Iterable[Widget]:
        """Show what was found: addresses are given in step 1."""
        yield Lines(id="addresses")
        yield Paragraph(id="collisions", indent=2)
        yield PushButton("Choose the next interface", id="next-interface")
        yield PushButton(_PROVE, id="reach")
        yield Lines(id="reached")

    def __init__(self, spec: StepSpec, context: Context) -> None:
        """Take which step this is and what the wizard knows."""
        super().__init__(spec, context)
        self._proved: tuple[object, ...] = ()
        """The hosts and ports that the last proof is about."""

    def shown(self) -> None:
        """Show the network as it is now."""
        self._paint()
        super().shown()

    def refreshed(self) -> None:
        """Show what was found of hosts since."""
        self._paint()

    def edited(self, key: str) -> None:
        """Judge the subnet and the interface anew."""
        if key in {"network.subnet", _INTERFACE} or key.startswith(_PORTS):
            self._paint()

    def state(self) -> StepState:
        """Say whether what is asked for collides with what was found."""
        if self.problems():
            return StepState.BAD
        severities = {fault.severity for fault in self._faults()}
        if "error" in severities:
            return StepState.BAD
        return StepState.WARN if severities else StepState.OK

    def pressed(self, button: PushButton) -> None:
        """Prove who reaches whom, or put the next usable interface into its field."""
        if button.id == "reach":
            self._prove()
            return
        if self.context.frozen:
            return
        names = ["", *self._common_interfaces()]
        row = self.rows[_INTERFACE]
        now = row.text if row.text in names else ""
        row.put(names[(names.index(now) + 1) % len(names)])

    def _prove(self) -> None:
        if self.context.draft.spec() is None:
            self.query_one("#reached", Lines).show([[("first mend the answers", Tone.BAD)]])
            return
        words = "each host listens for a few seconds and tries the others ..."
        self.query_one("#reached", Lines).show([[(words, Tone.INFO)]])
        self._proved = self._to_prove()
        self.errands.begin("reach", self._reach())

    async def _reach(self) -> None:
        spec = self.context.draft.spec()
        assert spec is not None, "only complete answers are tried"
        try:
            matrix = await self.context.engine.reach(spec)
        except BzzzError as exc:
            lines: list[list[Part]] = [[(clean(str(exc)), Tone.BAD)]]
        else:
            names = [host.name for host in spec.hosts]
            lines = matrix_lines(matrix, names, self.context.glyphs)
        self.query_one("#reached", Lines).show(lines)

    def _to_prove(self) -> tuple[object, ...]:
        draft = self.context.draft
        ports = tuple(draft.get(key) for key in FIELDS if key.startswith(_PORTS))
        return (ports, *((host.name, host.address) for host in draft.hosts))

    def _forget_proof(self) -> None:
        """Show no proof that is about other hosts or ports than those of the answers now."""
        if self._proved != self._to_prove():
            self.errands.end("reach")
            self.query_one("#reached", Lines).show([])

    def _seen(self) -> dict[str, HostFacts]:
        looks = {host.name: self.context.look(host).facts for host in self.context.draft.hosts}
        return {name: facts for name, facts in looks.items() if facts is not None}

    def _common_interfaces(self) -> list[str]:
        """Return the names of interfaces that every host that was seen could use."""
        lists = [[one.name for one in surroundings.candidates(f)] for f in self._seen().values()]
        return [name for name in lists[0] if all(name in other for other in lists)] if lists else []

    def _faults(self) -> list[Finding]:
        """Return what is wrong with subnet and interface."""
        spec = self.context.draft.spec()
        seen = self._seen()
        if spec is None:
            return []
        hosts = [host for host in spec.hosts if host.name in seen]
        return [one for host in hosts for one in surroundings.check(spec, host, seen[host.name])]

    def _paint(self) -> None:
        if not self.query("#addresses"):
            return
        self._forget_proof()
        seen = self._seen()
        hosts = self.context.draft.hosts
        subnet = surroundings.shared_subnet([(h.address, seen.get(h.name)) for h in hosts])
        found = str(subnet) if subnet else "not one subnet" if len(seen) == len(hosts) else UNKNOWN
        lines: list[list[Part]] = [
            [("Found", Tone.ACCENT), ("  subnet of the hosts ", Tone.MUTED), (found, Tone.PLAIN)]
        ]
        for host in hosts:
            facts = seen.get(host.name)
            lines.append([(f"{host.name:<{_NAME_WIDTH}}", Tone.PLAIN), (host.address, Tone.PLAIN)])
            if facts is None:
                lines[-1].append(("  not seen yet: p in step 1 looks", Tone.MUTED))
                continue
            words = "; ".join(map(_interface, surroundings.candidates(facts)[:3]))
            lines[-1].append((f"  {words or 'no usable interface'}", Tone.MUTED))
        lines.extend([(clean(note), Tone.MUTED)] for note in surroundings.notes(seen))
        self.query_one("#addresses", Lines).show(lines)
        self.query_one("#collisions", Paragraph).show(*map(self._fault_part, self._faults()))

    def _fault_part(self, fault: Finding) -> Part:
        glyphs, bad = self.context.glyphs, fault.severity == "error"
        mark, tone = (glyphs.bad, Tone.BAD) if bad else (glyphs.warn, Tone.WARN)
        return clean(f"{mark} {fault.host}: {fault.message}; {fault.fix}"), tone


def matrix_lines(matrix: Matrix, names: Sequence[str], glyphs: Glyphs) -> list[list[Part]]:
    """Return who reaches whom, a row for each host that connects, and what is wrong in words."""
    shown = names[:_HOSTS_SHOWN]
    head: list[Part] = [(" " * _NAME_WIDTH, Tone.MUTED)]
    head += [(fit(name, _CELL), Tone.MUTED) for name in shown]
    lines: list[list[Part]] = [head]
    for source in names:
        row: list[Part] = [(fit(source, _NAME_WIDTH), Tone.PLAIN)]
        for target in shown:
            cells = matrix.between(source, target)
            if not cells:
                row.append((fit(glyphs.dot, _CELL), Tone.MUTED))
                continue
            bad = [cell for cell in cells if not cell.through]
            slowest_ms = max(cell.rtt_us for cell in cells) / 1_000
            words = bad[0].state.value if bad else f"{slowest_ms:.1f} ms"
            mark, tone = (glyphs.bad, Tone.BAD) if bad else (glyphs.ok, Tone.OK)
            row.append((fit(f"{mark} {words}", _CELL), tone))
        lines.append(row)
    if len(names) > len(shown):
        lines.append([(f"columns of {len(names) - len(shown)} hosts do not fit", Tone.MUTED)])
    if matrix.whole:
        return [*lines, [(f"{glyphs.done} every host reaches every other", Tone.OK)]]
    return [*lines, [(clean(matrix.sentence())[:_WORDS_MAX], Tone.BAD)]]


def _interface(one: Interface) -> str:
    speed = ""
    if one.speed_mbps is not None:
        gigabits = one.speed_mbps / _GIGABIT
        speed = f" {gigabits:g} Gbit/s" if gigabits >= 1 else f" {one.speed_mbps} Mbit/s"
    address = (one.addresses or ("",))[0]
    return clean(f"{one.name} {one.state}{speed} {address}".strip())

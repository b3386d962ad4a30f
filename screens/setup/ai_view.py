"""What step 4 shows of the hosts: their model servers, and where the wanted models would lie.

Pure: facts and answers in, lines out.
"""

from __future__ import annotations

from collections.abc import Mapping

from bzzz_core.config.sections import ModelServersAnswers
from bzzz_core.deploy.facts.ai_servers import AiServer
from bzzz_core.deploy.facts.host import HostFacts
from bzzz_core.deploy.model_places import Place, devices_of, gigabytes, place_wanted, sized
from bzzz_core.deploy.model_search import FoundServer, ModelSearch
from bzzz_tui.parts import Part
from bzzz_tui.wording import Glyphs, Tone, clean

_MODELS_SHOWN = 3


def server_lines(facts: Mapping[str, HostFacts], glyphs: Glyphs) -> list[Part]:
    """Return a line for each model server that the hosts have, and one for each host without."""
    lines: list[Part] = [("Model servers found", Tone.ACCENT)]
    if not facts:
        return [*lines, ("look at the hosts in step 1 to see them here", Tone.MUTED)]
    for host, one in facts.items():
        if one.ai_servers is None:
            lines.append((f"{host}  {glyphs.warn} not known", Tone.WARN))
        elif not one.ai_servers:
            lines.append((f"{host}  none", Tone.MUTED))
        for server in one.ai_servers or ():
            tone = Tone.WARN if server.exposed else Tone.PLAIN
            lines.append((f"{host}  {_server(server)}", tone))
    return lines


def _server(server: AiServer) -> str:
    words = [clean(server.program)]
    if server.version:
        words.append(clean(server.version))
    if server.port is None:
        return f"{words[0]} installed, not running"
    words.append(f"on {clean(server.place)}")
    if server.models is None:
        words.append("does not answer")
    else:
        names = ", ".join(clean(model.name) for model in server.models[:_MODELS_SHOWN])
        more = len(server.models) - _MODELS_SHOWN
        words.append(f"{names or 'no models'}{f' and {more} more' if more > 0 else ''}")
    if server.exposed:
        words.append("(others reach it, without a password)")
    return " ".join(words)


def search_lines(found: ModelSearch, glyphs: Glyphs) -> list[Part]:
    """Return how a search of the network came out; the servers themselves are buttons."""
    count = len(found.servers)
    words = f"{found.addresses} addresses, {count} model servers"
    tone = Tone.OK if count else Tone.WARN
    lines: list[Part] = [(words + ("; press one to use it" if count else ""), tone)]
    lines += [(f"{glyphs.warn} {clean(words)}", Tone.WARN) for words in found.failures]
    return lines


def use_words(server: FoundServer) -> str:
    """Return what the button says that takes a server of the network."""
    names = ", ".join(clean(name)[:40] for name in server.models[:_MODELS_SHOWN])
    more = len(server.models) - _MODELS_SHOWN
    models = f"{names or 'no models'}{f' and {more} more' if more > 0 else ''}"
    seen = ", ".join(server.seen_from[:_MODELS_SHOWN])
    return f"{server.url}  {clean(server.version)[:20]}  {models}  (reached from {seen})"


def place_lines(
    servers: ModelServersAnswers, facts: Mapping[str, HostFacts], glyphs: Glyphs
) -> list[Part]:
    """Return where each wanted model would lie, what is refused and why, and the room there is."""
    lines: list[Part] = [("Placement", Tone.ACCENT)]
    if not facts:
        return [*lines, ("look at the hosts in step 1 to see it here", Tone.MUTED)]
    for host, one in facts.items():
        found = devices_of(host, one, on_cpu=servers.on_cpu)
        room = ", ".join(
            f"{clean(device.id)} {gigabytes(device.bytes_total)}{'*' if device.unified else ''}"
            for device in found.devices
        )
        unknown = f"{glyphs.warn} {clean(found.unknown)}" if found.unknown else ""
        words = "; ".join(part for part in (room, unknown) if part) or "no usable card"
        lines.append((f"{host}  {words}", Tone.MUTED))
    placement = place_wanted(servers, facts)
    lines += [_place(place, glyphs) for place in placement.places]
    refused = (f"{glyphs.bad} {clean(one.model)}: {one.words}" for one in placement.refusals)
    lines += [(words, Tone.BAD) for words in dict.fromkeys(refused)]
    if not servers.models:
        lines.append(("no models are asked for", Tone.MUTED))
    elif not placement.refusals:
        sizes = [size.bytes_size for model in servers.models if (size := sized(model, facts))]
        words = (
            f"{len(placement.places)} copies; each model once is {gigabytes(sum(sizes))} of disk"
        )
        lines.append((words, Tone.OK))
    return lines


def _place(place: Place, glyphs: Glyphs) -> Part:
    about = "about " if place.estimated and place.bytes_each else ""
    each = f"{about}{gigabytes(place.bytes_each)}" if place.bytes_each else "size not known"
    on = ", ".join(clean(device) for device in place.devices) or "its server decides"
    if len(place.devices) > 1:
        each += " each"
    tone = Tone.WARN if place.estimated else Tone.OK
    return f"{glyphs.done} {clean(place.model)}  {place.host}  {on}  {each}", tone

"""What the wizard adds to a support bundle: answers, plan, what was seen, and what was done."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

import msgspec

from bzzz_core.clock import utc_now
from bzzz_core.config.profile_places import cluster_directory, home
from bzzz_core.deploy import support
from bzzz_core.deploy.support_texts import versions
from bzzz_core.errors import BzzzError
from bzzz_tui.parts import text_of
from bzzz_tui.wording import ASCII
from screens.setup.context import Context
from screens.setup.plan_view import plan_lines


def texts_of(context: Context) -> dict[str, str]:
    """Return name in the archive -> text; what stands where a reference belongs is left out."""
    draft = context.draft
    seen = [
        f"{host.name} {host.address}: {context.look(host).state.value}: {context.look(host).words}"
        for host in draft.hosts
    ]
    texts = {
        "answers.yaml": draft.yaml(),
        "hosts.txt": "\n".join(seen) + "\n",
        "problems.txt": "\n".join(f"{p.key}: {p.words}" for p in draft.problems()) + "\n",
    }
    for name, facts in context.seen.items():
        document = msgspec.json.format(msgspec.json.encode(facts))
        texts[f"facts/{name}.json"] = document.decode("utf-8", errors="replace")
    if context.plan is not None:
        lines = plan_lines(context.plan, ASCII, difference=True)
        texts["plan.txt"] = "\n".join(text_of(line) for line in lines) + "\n"
    run = context.run
    for row in run.rows():
        texts[f"run/{row.name}.txt"] = "\n".join(words for words, _ in run.log(row.name)) + "\n"
    if run.failure:
        texts["run/failure.txt"] = run.failure + "\n"
    return texts


async def bundle_words(context: Context) -> tuple[str, Literal["information", "warning"]]:
    """Write a bundle; return what to tell about it, and how serious that is."""
    try:
        path, count = await write_bundle(context)
    except BzzzError as exc:
        return str(exc), "warning"
    return f"{count} files in {path}; look through it before you send it", "information"


async def write_bundle(context: Context) -> tuple[Path, int]:
    """Write a bundle about what the wizard knows; return where it is and how many files it has.

    Raises:
        ConfigError: It cannot be written.
    """
    name = context.draft.get("cluster.name") or "bzzz"
    stamp = "".join(char for char in utc_now()[:23] if char not in "-:.")
    target = home() / f"support-{name}-{stamp}.tar.gz"
    directory = cluster_directory(name)
    texts = {"versions.json": versions(), **texts_of(context)}
    # Texts, not the complete answers: with one of them wrong there are none. They are resolved in
    # the thread too: a keyring may take its time.
    answers = context.draft.safe_texts()

    def write() -> int:
        scrub = support.Scrubber(support.secrets_of(None, directory, texts=answers))
        return support.write(target, texts, cluster=directory, scrub=scrub)

    return target, await asyncio.to_thread(write)

"""What each exit code of a command means; which failure has which is said in `bzzz_core.errors`.

docs/commands.md and the manual pages say the same; tests compare.
"""

from __future__ import annotations

from typing import Final

EXIT_CODES: Final = {
    0: "done",
    1: "failed, or asked without an answer: it may have been done",
    2: "usage, configuration or answers are wrong",
    3: (
        "a host, an agent or the cluster could not be reached, or is not fit now (no leader, too"
        " few voters, too busy); nothing was done"
    ),
    4: "some hosts done, some failed",
    5: "failed on all hosts",
    6: "rolled back (not used yet)",
    7: "this node is no member of its cluster: it left or was revoked",
    8: "an audit is not what was written, or a voter holds something else",
    9: "the agent ended itself, because it found itself sick; systemd starts it anew",
    130: "interrupted",
}
"""Code -> meaning, for both programs."""

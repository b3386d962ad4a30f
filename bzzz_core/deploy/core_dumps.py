"""No core dump of a process that holds an operator's secrets.

A dump would put passwords and keys into a file that outlives the process. The limit holds for what
it starts too, and systemd-coredump, to which a kernel may pipe dumps regardless, heeds it.
"""

from __future__ import annotations

import resource


def forbid() -> None:
    """Let this process and its children leave none; it cannot be taken back."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

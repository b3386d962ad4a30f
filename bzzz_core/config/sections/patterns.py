"""What names, addresses and logins look like."""

from __future__ import annotations

URL = r"^https?://[^@\s]+$"
"""Without a login: that is a secret, and belongs behind a reference."""

HTTPS_URL = r"^https://[^@\s]+$"
"""The same, encrypted."""

_STEP = r"(\.{0,2}[A-Za-z0-9_@+-]|\.\.\.)[A-Za-z0-9._@+-]*"
DIRECTORY = rf"^(/{_STEP})+/?$"
"""A path that means the same in a unit, a shell and a file list: no blanks, quotes or "%", and no
"." or ".." as a step of it."""

NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
"""A label of a host name (RFC 1123), lower case: usable in DNS, certificates and file names."""

ADDRESS = (
    r"^([A-Za-z0-9][A-Za-z0-9_-]{0,62}(\.[A-Za-z0-9_-]{1,63})*\.?"
    r"|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(%[A-Za-z0-9._-]+)?)$"
)
"""A host name, whose labels are neither empty nor longer than 63 characters (RFC 1035, 2.3.4), or
an IP address. It never starts with a dash, so it never reads as an option."""

LOGIN = r"^[A-Za-z0-9_][A-Za-z0-9._-]*\$?$"
"""A user's name as systems make them."""

HOST_PORT = r"^([A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]):[1-9][0-9]{0,4}$"
"""Host and port of something that listens; an IPv6 address stands in brackets."""

JUMP = r"^[^\s,-][^\s,]*(,[^\s,-][^\s,]*)*$"
"""Jump hosts as `ssh -J` takes them; each starts with no dash, so it never reads as an option."""

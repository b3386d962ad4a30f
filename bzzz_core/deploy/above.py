"""Whether root can name a directory on a host without being led elsewhere."""

from __future__ import annotations

from typing import Final

ABOVE: Final = """
[ ! -L "$1" ] || { echo "$1 is a symbolic link" >&2; exit 66; }
# Of what is above, links are followed: so nobody but root may be able to place one.
above=${1%/*}
while [ -n "$above" ]; do
  if [ -e "$above" ] || [ -L "$above" ]; then
    if [ "$(stat -c %u -- "$above") $(stat -Lc %u -- "$above")" != "0 0" ]; then
      echo "$above, above $1, does not belong to root" >&2
      exit 66
    fi
    case $(stat -Lc %A -- "$above") in
      # Where `t` is set, as in /tmp, nobody can exchange what belongs to root.
      ????????w[!tT]) echo "anybody may write into $above, above $1" >&2; exit 66 ;;
    esac
  fi
  above=${above%/*}
done
"""
"""In sh: goes on only if nobody but root can exchange the directory `$1` or what it lies in."""

"""How logs that an uninstall kept are told from what belongs to others, in sh.

They are root's from then on, and a file beside them, the *mark*, says that they are ours. An empty
one: the whole directory is. One with words: the directory was there before BZZZ and was given back.
Its first line says with which mode, owner and group, and each other line is the name of one thing
that is ours. Marks of earlier releases say none of the three in their first line.

Three scripts work by the mark: the uninstall that keeps the logs, a later one that removes them,
and the installation that hands them to its user. Each may be cut off anywhere and given again. So
the mark is complete before anything else changes hands, and goes when all else is done.

Root acts on names here, and others may be at work in the same directory. So the scripts first take
the directory itself for root alone, and then go down only where nobody but root may put things:
what is found there cannot be exchanged for something else before it is removed or handed over.
"""

from __future__ import annotations

from typing import Final

MARK: Final = """
marked() {
  [ ! -L "$1" ] && [ -f "$1" ] && [ "$(stat -c '%u %h' -- "$1")" = '0 1' ]
}
was() {
  case $(stat -c %U:%G -- "$1") in
    # So a purge leaves it that was cut off.
    root:root) ! marked "$1/$2" ||
      sed -n '1s/.* before it (\\([0-7]* [^ ]* [^ ]*\\)); they are:$/\\1/p' "$1/$2" ;;
  esac | { grep . || stat -c '%a %U %G' -- "$1"; } | tr ' ' '\\t'
}
"""
"""`marked FILE`: it is a mark that root wrote. `was DIRECTORY MARK`: the mode, owner and group that
a directory has, or had before something of ours was done with it; fields apart by tabs."""
LISTED: Final = """
listed() {
  find . -xdev -mindepth 1 -type d \\( ! -user root -o -perm /022 \\) -prune -o \\
    -user root -group root ! -path "./$mark" ! -path '*
*' "$@" -printf '%P\\0' |
    if [ -s "$mark" ]; then LC_ALL=C grep -zxFf "$mark"; else cat; fi | LC_ALL=C sort -zr
}
"""
"""`listed TESTS...`: what is ours by the file `$mark` here, what lies in a directory before it."""
HAND_OVER: Final = (
    MARK
    + LISTED
    + """
cd -- "$1"
mark=$2
marked "$mark" || exit 0
# A mark in a directory of the user's is one of a run that was cut off, or the user put it there.
if [ "$(stat -c %u -- .)" != "$(id -u bzzz)" ]; then
  chown root:root -- .
  chmod 00700 -- .
  marked "$mark" || { echo "$1/$mark was exchanged just now" >&2; exit 66; }
  # A file with another name elsewhere may be somebody's who did not mean to give it away.
  listed \\( -type d -o -type f -links 1 \\) | xargs -0 -r chown -h bzzz:bzzz --
  chmod 00750 -- .
  chown bzzz:bzzz -- .
fi
# From now on the user itself says whose they are.
rm -f -- "$mark"
"""
)
"""Gives what is kept in the directory `$1` to the user `bzzz`, by the mark `$2`, and the directory
with it: without a mark and not the user's, it would be refused by the next run of setup."""
KEEP: Final = (
    MARK
    + """
uid=$(id -u bzzz)
mark=$5
names=
cd -- "$1"
owner=$(stat -c %u -- .)
# Its group stays until there is a mark: by it the next run finds the directory.
chown root -- .
chmod 00700 -- .
if [ "$owner" != "$uid" ] && marked "$mark"; then
  # Of a run that was cut off. In a directory of the user's it says nothing.
  names=$(sed 1d -- "$mark")
else
  rm -rf --one-file-system -- "$mark"
fi
rm -rf --one-file-system -- "$mark.part"
if [ "$2" ]; then
  # What is the owner's is root's as well, then or later: only names tell them apart.
  found=$(LC_ALL=C find . -xdev -mindepth 1 -uid "$uid" ! -path '*
*' -printf '%P\\n')
  {
    printf '%s\\n' "logs of BZZZ, in a directory that was there before it ($2 $3 $4); they are:"
    printf '%s\\n' "$names" "$found" | LC_ALL=C sort -u | sed '/^$/d'
  } >"$mark.part"
else
  : >"$mark.part"
fi
sync "$mark.part"
mv -fT -- "$mark.part" "$mark"
sync .
chown root:root -- .
# From above, for nobody may exchange what is about to be root's.
find . -xdev -mindepth 1 -type d \\( \\
  -uid "$uid" -execdir chmod go-w -- {} \\; -execdir chown -h root:root -- {} \\; \\
  -o \\( ! -user root -o -perm /022 \\) -prune \\)
chown -hR --from=bzzz root:root -- .
if [ "$2" ]; then
  chmod "$2" -- .
  chown "$3:$4" -- .
else
  chmod 00750 -- .
fi
"""
)
"""Makes what the user has in the directory `$1` root's and marks it with `$5`. If the directory was
there before, it gets the mode `$2`, the owner `$3` and the group `$4`, else these are empty."""
EMPTY: Final = (
    MARK
    + LISTED
    + """
cd -- "$1"
if uid=$(id -u bzzz 2>/dev/null); then
  find . -xdev -mindepth 1 -depth -uid "$uid" \\( ! -type d -o -empty \\) -delete
  find . -xdev -mindepth 1 -depth -uid "$uid" -type d -empty -delete
fi
mark=$5
if [ -z "$mark" ] || ! marked "$mark"; then
  mark=
elif [ "$(stat -c %u -- .)" = "${uid:-none}" ]; then
  # In a directory of the user's it says nothing.
  rm -f -- "$mark"
else
  chown root:root -- .
  chmod 00700 -- .
  if marked "$mark" && [ -s "$mark" ]; then
    listed -type f -links 1 | xargs -0 -r rm -f --
    listed -type d | xargs -0 -r rmdir --ignore-fail-on-non-empty --
  fi
fi
# The mark goes last: by it a run that was cut off knows how the directory was.
chmod "$2" -- .
chown "$3:$4" -- .
[ -z "$mark" ] || rm -f -- "$mark"
"""
)
"""Removes what is the user's in the directory `$1`, and what is kept there by the mark `$5`, if it
is for logs; then gives the directory the mode `$2`, the owner `$3` and the group `$4`."""

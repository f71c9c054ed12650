#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Writes the series anew from a kernel tree:
#
#	kernel-patches/export.sh KTREE [BASE [BRANCH]]
#
# KTREE is a git tree in which `git am` has put the patches on top of BASE (a
# tag or commit, `base` by default) as BRANCH (`wqfan` by default).  The same
# commits always give the same files.  The cover letter's text is kept; its
# number of patches, their list and the statistics are made anew.
set -eu

[ $# -ge 1 ] || { echo "usage: $0 KTREE [BASE [BRANCH]]" >&2; exit 2; }
ktree=$1 base=${2:-base} branch=${3:-wqfan}
here=$(cd "$(dirname "$0")" && pwd)
cover=$here/0000-cover-letter.patch

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

n=$(git -C "$ktree" rev-list --count "$base..$branch")
[ "$n" -gt 0 ] || { echo "nothing between $base and $branch" >&2; exit 1; }

# Nothing of the machine's settings may show.  Empty context lines have no blank:
# checkpatch takes a patch that git tracks for a source file, and would complain.
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
git -C "$ktree" -c core.abbrev=12 -c diff.suppressBlankEmpty=true format-patch -q --zero-commit --no-signature \
	--no-base --numbered -o "$tmp" "$base..$branch"

{
	sed "/^--- list ---\$/,\$d; s|^Subject: .PATCH 0*/[0-9]*.|Subject: [PATCH 0/$n]|" "$cover"
	echo '--- list ---'
	git -C "$ktree" log --reverse --format='  %s' "$base..$branch"
	echo
	git -C "$ktree" diff --stat=78 --summary "$base" "$branch"
} > "$tmp/0000-cover-letter.patch"

rm -f "$here"/[0-9][0-9][0-9][0-9]-*.patch
mv "$tmp"/*.patch "$here/"
ls "$here" | grep -c '^0' | sed 's/$/ files written/'

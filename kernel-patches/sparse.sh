#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Says what sparse has against the series that it does not have against its base:
#
#	kernel-patches/sparse.sh KTREE [BASE [BRANCH]]
#
# KTREE is a git tree as export.sh takes it.  Every file that the series touches
# and the guest's kernel has is looked at, on both sides; a complaint counts
# where the base does not have it as often.  The status is 1 where there is any.
set -eu

[ $# -ge 1 ] || { echo "usage: $0 KTREE [BASE [BRANCH]]" >&2; exit 2; }
ktree=$1 base=${2:-base} branch=${3:-wqfan}
here=$(cd "$(dirname "$0")" && pwd)
command -v sparse > /dev/null || { echo "$0: sparse is not installed (Debian: sparse)" >&2; exit 2; }

tmp=$(mktemp -d)
trap 'git -C "$ktree" worktree remove --force "$tmp/tree" 2> /dev/null || :; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
export MAKEFLAGS= ARCH=x86_64
git -C "$ktree" worktree add -q --detach "$tmp/tree" "$branch"

look() { # REVISION NAME
	git -C "$tmp/tree" checkout -q --detach "$1"
	out=$tmp/$2
	mkdir "$out"
	kmake="make -s -C $tmp/tree O=$out RUSTC=none PAHOLE=none"
	$kmake tinyconfig > /dev/null
	(cd "$tmp/tree" && scripts/kconfig/merge_config.sh -O "$out" -m "$out/.config" "$here"/config/guest.config "$here"/config/series.config \
		"$here"/config/kunit.config "$here"/config/lsm.config) > /dev/null
	echo CONFIG_XFS_FS=y >> "$out/.config" # which those do without
	$kmake olddefconfig
	$kmake prepare > /dev/null
	objects=$(git -C "$tmp/tree" diff --name-only --diff-filter=AM "$base" "$branch" -- '*.c' ':!tools' | sed 's/c$/o/')
	for o in $objects; do
		[ -e "$tmp/tree/${o%o}c" ] || continue
		# What cannot be compiled this configuration does not have.
		if $kmake -j"$(nproc)" C=2 "$o" > "$tmp/said" 2>&1; then
			grep -E ': (warning|error): ' "$tmp/said" || :
		else
			echo "$2: not in this configuration: $o" >&2
			if [ "$2" = series ] && [ -e "$tmp/base/$o" ]; then
				echo "$o: error: compiled on the base"
			fi
		fi
	done | sed -E "s|$tmp/tree/||g; s|^\.\./||; s/:[0-9]+:[0-9]+:/:/" | sort > "$tmp/$2.txt"
	echo "$2: $(echo "$objects" | wc -l) files, $(wc -l < "$tmp/$2.txt") complaints"
}

look "$base" base
look "$branch" series
comm -13 "$tmp/base.txt" "$tmp/series.txt" > "$tmp/new.txt"
cat "$tmp/new.txt"
[ ! -s "$tmp/new.txt" ]

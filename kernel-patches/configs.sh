#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Builds the series' kernel without what it can be configured without, and looks
# at every file that the series touches with W=1:
#
#	kernel-patches/configs.sh KTREE [BASE [BRANCH]] > configs.txt
#
# KTREE is a git tree as export.sh takes it.  A configuration is the guest's with
# the options named; "links" is a whole vmlinux, "compiles" no more than the files
# touched, where all of the kernel would have to be compiled anew.  What each said
# that does not go well is on standard error, and the status is 1 then.
set -eu

[ $# -ge 1 ] || { echo "usage: $0 KTREE [BASE [BRANCH]]" >&2; exit 2; }
ktree=$1 base=${2:-base} branch=${3:-wqfan}
here=$(cd "$(dirname "$0")" && pwd)

tmp=$(mktemp -d)
trap 'git -C "$ktree" worktree remove --force "$tmp/tree" 2> /dev/null || :; rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM
export MAKEFLAGS=
git -C "$ktree" worktree add -q --detach "$tmp/tree" "$branch"
objects=$(git -C "$tmp/tree" diff --name-only --diff-filter=AM "$base" "$branch" -- '*.c' ':!tools' ':!samples' | sed 's/c$/o/')
failed= all=

# try ARCH GOAL OPTION=VALUE...
try() {
	arch=$1 goal=$2
	shift 2
	out=$tmp/$arch
	mkdir -p "$out"
	cc=gcc
	! command -v ccache > /dev/null || cc="ccache gcc"
	kmake="make -s -C $tmp/tree O=$out ARCH=$arch RUSTC=none PAHOLE=none"
	$kmake tinyconfig > /dev/null
	(cd "$tmp/tree" && scripts/kconfig/merge_config.sh -O "$out" -m "$out/.config" "$here"/config/guest.config "$here"/config/series.config) > /dev/null
	printf 'CONFIG_%s\n' "$@" >> "$out/.config"
	$kmake olddefconfig 2> /dev/null
	for option; do
		grep -q "^CONFIG_$option$" "$out/.config" || [ "${option#*=}" = n ] && ! grep -q "^CONFIG_${option%=n}=" "$out/.config" ||
			{ echo "$0: $option is not to be had" >&2; exit 1; }
	done
	said=$tmp/said verdict=$goal
	for o in $objects; do rm -f "$out/$o"; done # another configuration's
	if [ "$goal" = links ]; then
		$kmake -j"$(nproc)" CC="$cc" vmlinux > "$said" 2>&1 || verdict=no
	else
		$kmake -j"$(nproc)" CC="$cc" prepare > "$said" 2>&1 || verdict=no
	fi
	if [ "$goal" = links ]; then # of what is not configured there is no rule
		have=
		for o in $objects; do [ ! -e "$out/$o" ] || have="$have $o"; done
		all=${all:-$have}
	else
		have=$all
	fi
	[ -n "$have" ] || { echo "$0: $*: nothing was compiled" >&2; cat "$said" >&2; exit 1; }
	# shellcheck disable=SC2086 # words
	$kmake -k -j"$(nproc)" CC="$cc" W=1 $have > "$tmp/w1" 2>&1 || verdict=no
	grep -iE '(warning|error):' "$said" "$tmp/w1" > "$tmp/complaints" || :
	w1=clean
	[ ! -s "$tmp/complaints" ] || w1=warns
	[ "$verdict $w1" = "$goal clean" ] || { cat "$said" "$tmp/w1" >&2; failed=1; }
	printf '%-8s %-52s %-10s %-6s %5d\n' "$arch" "$*" "$verdict" "$w1" "$(echo "$have" | wc -w)"
}

printf '%-8s %-52s %-10s %-6s %s\n' arch options whole W=1 files
try x86_64 links FS_ERROR_INJECT=y
try x86_64 links FS_ERROR_INJECT=n
try x86_64 links FS_ERROR_WATCH=n
try x86_64 links WATCH_QUEUE=n KEY_NOTIFICATIONS=n
try x86_64 links KEY_NOTIFICATIONS=n
try x86_64 links FANOTIFY=n
try x86_64 links FANOTIFY=n INOTIFY_USER=n
try x86_64 links PROC_FS=n
try x86_64 links DEBUG_FS=n
try x86_64 links EXT4_FS=n
try x86_64 links XFS_FS=n
try x86_64 compiles SMP=n
try i386 compiles 64BIT=n
[ -z "$failed" ]

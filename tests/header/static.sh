#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A program links with the static library and what pkg-config tells, and with nothing less: each
# library of memsift.pc is needed. BUILD is the build folder, the arguments are the compiler.
set -eu

skip() {
	echo "skipped: $*"
	exit 77
}

command -v pkg-config >/dev/null || skip "pkg-config is not installed"
! grep -q -e __asan_ -e __tsan_ -e __ubsan_ -e __gcov_ "$BUILD/libmemsift.a" ||
	skip "the library was built with instruments of the compiler"
export PKG_CONFIG_PATH="$BUILD/meson-uninstalled"
work=$(mktemp -d "${TMPDIR:-/tmp}/memsift-static.XXXXXX")
trap 'rm -rf "$work"' EXIT
cat >"$work/main.c" <<'END'
#include "memsift.h"
#include <stdio.h>
int main(void)
{
	return puts(ms_version()) < 0;
}
END

# links FLAG...: the whole library links with these, whose own -lmemsift is the shared one.
links() {
	link_with=$(echo "$*" | sed 's/-lmemsift\b//')
	# shellcheck disable=SC2086
	$compiler -I"$SOURCE_ROOT/include" "$work/main.c" -o "$work/main" -Wl,--whole-archive \
		"$BUILD/libmemsift.a" -Wl,--no-whole-archive $link_with
}

compiler=$*
all=$(pkg-config --static --libs memsift)
# shellcheck disable=SC2086
links $all
[ "$("$work/main")" = "$(pkg-config --modversion memsift)" ]
required=$(pkg-config --print-requires-private memsift | awk '!seen[$1]++ { print $1 }')
for name in $required; do
	rest=" $all "
	for flag in $(pkg-config --libs-only-l "$name"); do
		rest=$(echo "$rest" | sed "s/ $flag / /g")
	done
	# shellcheck disable=SC2086
	if links $rest 2>/dev/null; then
		echo "memsift.pc lists $name, without which a program links"
		exit 1
	fi
done
echo "links with: $all"

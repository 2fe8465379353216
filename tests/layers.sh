#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The dependency law and the limits of the house, over src, include and tests: a line for each
# broken rule, and the count. Usage: layers.sh [FOLDER OF THE TREE]
set -u
cd "${1:-$(dirname "$0")/..}" || exit 2

found=$(mktemp) || exit 2
trap 'rm -f "$found"' EXIT
passed=0
failed=0

# Judges a rule: a line in $found for each offence breaks it.
rule() {
	if [ -s "$found" ]; then
		failed=$((failed + 1))
		sed "s|^|$1: |" "$found" >&2
	else
		passed=$((passed + 1))
	fi
}

# "FILE INCLUDED" for each quoted include in the C files of some folders.
includes() {
	find "$@" -name '*.[ch]' -type f -exec grep -H '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' {} + |
		sed 's/^\([^:]*\):[^"]*"\([^"]*\)".*/\1 \2/'
}

# Offences of a folder that may include only what the expression matches.
only() {
	[ ! -d "src/$1" ] || includes "src/$1" | grep -Ev "^[^ ]+ ($2)\$"
}

core='(core|base)/[^/]*|memsift\.h'

only base 'base/[^/]*|memsift\.h' > "$found"
rule "base includes base and memsift.h"
only core "$core|backend/backends\.h|engine/engines\.h" > "$found"
rule "core includes core, base and memsift.h"
only find 'find/[^/]*|base/[^/]*|memsift\.h' > "$found"
rule "find includes find, base and memsift.h"
only backend "$core|backend/[^/]*" > "$found"
rule "backend includes core and base"
only engine "$core|find/[^/]*|engine/[^/]*" > "$found"
rule "engine includes core, base and find"
only export "$core|export/[^/]*" > "$found"
rule "export includes core, base and export"
only track "$core|track/[^/]*|memsift_track\.h" > "$found"
rule "track includes core, base, track and its public header"
only detect "$core|detect/[^/]*" > "$found"
rule "detect includes core, base and detect"

# The cli knows the library as any other program does. How libraries are loaded late, and what
# differs between systems, it shares.
only cli 'memsift(_track)?\.h|cli/[^/]*' | while read -r file header; do
	[ -f "src/cli/$header" ] || [ "$header" = ../base/late.h ] || [ "$header" = ../base/os.h ] ||
		echo "$file $header"
done > "$found"
rule "cli includes the public headers and its own"

# The lists of backends and of engines are for one file of the core each.
includes src | grep ' backend/backends\.h$' | grep -Ev '^src/(core/host\.c|backend/[^ ]*) ' > "$found"
rule "backends.h is for core/host.c and the backends"
includes src | grep ' engine/engines\.h$' | grep -Ev '^src/(core/engine\.c|engine/[^ ]*) ' > "$found"
rule "engines.h is for core/engine.c and the engines"

# Kinds do not know each other: what has operations of its own is included only by its family,
# which is what stands before the first '_' (linux_maps.h is for linux*.c).
siblings() {
	includes "src/$1" | grep " $1/" | while read -r file header; do
		name=$(basename "$file")
		name=${name%.*}
		other=$(basename "$header" .h)
		[ "${name%%_*}" != "${other%%_*}" ] || continue
		! grep -q "^const struct $2 " "src/$1/${other%%_*}.c" 2>/dev/null || echo "$file $header"
	done
}

siblings backend ms_host_ops > "$found"
rule "a backend knows no other backend"
siblings engine ms_engine_ops > "$found"
rule "an engine knows no other engine"
siblings export ms_exporter_ops > "$found"
rule "an exporter knows no other exporter"

# Which operating system it is, is for base/os* and the build.
grep -nE '^[[:space:]]*#[[:space:]]*(if|ifdef|ifndef|elif).*(__linux__|__unix__|_WIN32|_WIN64|__APPLE__|__MACH__|__FreeBSD__)' \
	-r src include --include='*.[ch]' | grep -Ev '^(src/base/os|include/memsift(_track)?\.h)' > "$found"
rule "operating systems are told apart in base/os* only"

# Sizes.
find src tests fuzz bench -name '*.[ch]' -type f -exec wc -l {} \; | awk '$1 > 1000 { print $2, $1 }' > "$found"
rule "no file is longer than 1,000 lines"
find include -name '*.h' -exec wc -l {} \; | awk '$1 > 700 { print $2, $1 }' > "$found"
rule "no public header is longer than 700 lines"

find src include tests fuzz bench -type f \( -name '*.[ch]' -o -name '*.cpp' -o -name '*.sh' \
	-o -name '*.py' -o -name meson.build \) -exec sh -c '
	for file; do
		head -n 2 "$file" | grep -q "SPDX-License-Identifier: BSD-2-Clause" || echo "$file"
	done' sh {} + > "$found"
rule "every file begins with its licence"

# The library prints nothing and ends nobody. Comments and strings may speak of it.
find src -name '*.[ch]' -not -path 'src/cli/*' -exec grep -HnE \
	'(^|[^a-zA-Z0-9_."])(_?exit|abort|printf|vprintf|puts|putchar|perror)[[:space:]]*\(|(fprintf|vfprintf|fputs|fputc|fwrite)[[:space:]]*\([^;]*(stdout|stderr)' {} + |
	grep -Ev '^[^:]*:[0-9]*:[[:space:]]*(/?\*|//)' > "$found"
rule "the library neither prints nor exits"

find src -name '*.[ch]' -type f -exec basename {} \; | sort | uniq -d > "$found"
rule "file names are unique under src"

find src -name '*.[ch]' -type f -exec grep -Hn '^[[:space:]]*//' {} + > "$found"
rule "comments are written between /* and */"

echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]

#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# A 32-bit process on a 64-bit machine.
. "$(dirname "$0")/lib.sh"

begin() {
	[ -n "${PUPPET_NARROW:-}" ] || skip "the compiler makes no 32-bit programs here"
	PUPPET_PATH=$PUPPET_NARROW
	puppet "$@"
}

test_process() {
	begin plain
	run ps $pid -f ndjson
	check_status 0
	check_is "$(record process arch)" i386
}

test_regions_and_modules() {
	begin plain threads
	run regions $pid -f ndjson
	check_status 0
	check_is "$(record region end | sort -u | while read -r end; do
		((end > 1 << 32)) && echo "$end"
	done)" ""
	# The first thread's, and those of the others.
	[ "$(record region kind | grep -c stack)" -ge 2 ] || fail "stacks: $(record region kind)"
	run modules $pid -f ndjson
	check_status 0
	check grep -q '"name":"libc.so.6"' out
	check grep -Eq '"name":"libc.so.6".*"build_id":"[0-9a-f]{40}"' out
}

test_search() {
	begin plain adjacent
	run search $pid -t puppet-plain-needle -f ndjson
	check_status 0
	check grep -q "\"address\":\"$at_plain\"" out
	run search $pid -t puppet-border-needle -f ndjson
	check grep -q "\"address\":\"$(printf '0x%x' $((at_adjacent + 4086)))\"" out
	check_is "$(record coverage status)" complete
}

test_dump() {
	need readelf gdb
	begin plain threads
	run dump $pid --pause freeze -o core
	check_status 0
	readelf -hW core >header
	check grep -q 'Class: *ELF32' header
	check grep -q 'Machine: *Intel 80386' header
	timeout 120 gdb -nx -batch -iex 'set debuginfod enabled off' -ex "x/s $at_plain" \
		-ex 'info threads' "$PUPPET_NARROW" core >gdb 2>&1 </dev/null
	check grep -q puppet-plain-needle gdb
	[ "$(grep -c 'LWP' gdb)" -ge 2 ] || fail "threads: $(cat gdb)"
	run search ./core -t puppet-plain-needle -f ndjson
	check_status 0
	check grep -q "\"address\":\"$at_plain\"" out
}

run_tests

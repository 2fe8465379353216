#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# json, ndjson and csv keep to their promise, and all three say the same.
. "$(dirname "$0")/lib.sh"

# Every command's records in every format: they parse, meta is first, summary last, coverage adds
# up (records.py sees to all of it).
test_every_command_in_every_format() {
	puppet plain guard adjacent threads file
	for format in json ndjson csv; do
		for command in "ps $pid" "regions $pid" "modules $pid" "read $pid $at_plain 32" \
			"search $pid -t puppet" "dump $pid -o core.$format" \
			"collect $pid -o evidence.$format" doctor; do
			# shellcheck disable=SC2086
			run $command -f $format
			check_status 0
			check_silent
			check_is "$(record meta command $format)" "${command%% *}"
			check grep -q complete out
		done
	done
}

test_all_formats_say_the_same() {
	puppet plain adjacent
	for format in json ndjson csv; do
		run search $pid -t puppet -f $format
		check_status 0
		{
			record hit address,size,pattern,bytes,context,region_start,perm,kind $format
			record coverage total,filtered,absent,read,unreadable,skipped $format
		} >hits.$format
	done
	check [ "$(wc -l <hits.json)" -gt 100 ]
	check cmp -s hits.json hits.ndjson
	check cmp -s hits.json hits.csv
}

# However a job ends, its coverage adds up.
test_coverage_adds_up() {
	puppet plain guard holes untouched file private shared threads noaccess secret huge newline
	for arguments in "" "--max-memory-size 100K" "--max-process-size 1" "--max-hits 3" \
		"--timeout 2ms" "--memory-regions heap" "--perm r-x" "--min-size 1M" \
		"--address $at_plain-$(printf %x $((at_plain + 100)))" "--include-device" \
		"--include-swapped" "--threads 3"; do
		for format in json ndjson csv; do
			# shellcheck disable=SC2086
			run search $pid -t puppet-file-needle -f $format $arguments
			case $status in 0 | 3) ;; *) fail "status $status with $arguments" ;; esac
			record coverage total $format >total
			[ -s total ] || [ "$arguments" = "--timeout 2ms" ] || fail "no coverage"
		done
	done
}

# The total of the coverage is the size of all mappings, as /proc has them.
test_coverage_covers_everything() {
	puppet plain guard untouched
	run search $pid -t puppet -f ndjson
	total=0
	while IFS='- ' read -r start end _; do
		total=$((total + 0x$end - 0x$start))
	done </proc/$pid/maps
	check_is "$(record coverage total)" $total
}

test_text_that_is_no_utf8() {
	printf 'x\377\200\033[31m\n","y' >file
	for format in json ndjson csv; do
		run search ./file -t x -f $format --context 16
		check_status 0
		record hit context $format >context
		check_is "$(cat context)" "$(od -An -tx1 file | tr -d ' \n')"
	done
	run search ./file -t "$(printf '\377x')" -f ndjson
	check_status 0
	record meta arguments >arguments
	run search ./file -t "$(printf '\033x')"
	! grep -q "$(printf '\033')" out || fail "a raw escape"
}

test_csv_of_hostile_names() {
	name='=cmd,"a"
b'
	cp "$PUPPET" "$name"
	PUPPET_PATH=$PWD/$name puppet plain
	run ps $pid -f csv
	check_status 0
	record process exe csv >exe
	check_is "$(wc -l <exe)" 2
}

# An error of one target is a record, and the summary says partial.
test_error_record() {
	puppet plain
	run search $pid 999999999 -t puppet-plain -f ndjson
	check_status 3
	check_is "$(record summary status)" partial
	check_err 'no process matches "999999999"'
}

test_colour() {
	puppet plain
	run search $pid -t puppet-plain --max-hits 1
	! grep -q "$(printf '\033')" out || fail "colour, though it is no terminal"
	run search $pid -t puppet-plain --max-hits 1 --color always
	check grep -q "$(printf '\033\\[')" out
	run search $pid -t puppet-plain --max-hits 1 --color never
	! grep -q "$(printf '\033')" out || fail "colour, though never"
	need script
	terminal() {
		script -qec "$MEMSIFT search $pid -t puppet-plain --max-hits 1" /dev/null </dev/null >out
	}
	TERM=xterm terminal
	check grep -q "$(printf '\033\\[')" out
	NO_COLOR=1 TERM=xterm terminal
	! grep -q "$(printf '\033\\[[0-9]*m')" out || fail "colour, though NO_COLOR"
}

run_tests

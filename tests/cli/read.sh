#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# read: memory as a hex dump, as records and as it is.
. "$(dirname "$0")/lib.sh"

test_hex_dump() {
	puppet plain
	run read $pid $at_plain 70
	check_status 0
	check_silent
	golden read
	cp out whole
	# Without 0x, an address is hexadecimal all the same; a size may have a suffix.
	run read $pid "${at_plain#0x}" 70
	check cmp -s out whole
	run read -p $pid $at_plain 70
	check cmp -s out whole
	run read $pid $at_plain 4K
	check_is "$(wc -l <out)" 256
}

test_raw() {
	puppet plain
	run read --raw $pid $at_plain 60
	check_status 0
	check_is "$(cat out)" "puppet-plain-needle puppet-plain-needle puppet-plain-needle "
	run read --raw $pid $at_plain 64K
	check_status 0
	check_is "$(wc -c <out)" 65536
	dd if=/proc/$pid/mem of=memory bs=4096 count=16 skip=$((at_plain / 4096)) 2>/dev/null
	check cmp -s out memory
	run read --raw $pid $at_plain 60 -o file
	check_status 0
	check_is "$(cat out)" ""
	check_is "$(wc -c <file)" 60
}

test_records() {
	puppet plain
	for format in json ndjson csv; do
		run read $pid $at_plain 20 -f $format
		check_status 0
		record data bytes $format >bytes
		check_is "$(cat bytes)" 7075707065742d706c61696e2d6e6565646c6520
	done
}

test_unmapped_address() {
	puppet holes
	run read $pid 0x1000 16
	check_status 4
	check_err "address 0x1000 is not mapped in pid $pid"
	check_err "memsift regions"
	run read $pid 0x1000 16 -f ndjson
	check_status 4
	check_is "$(record error pid)" $pid
	# A hole amid what is mapped is told where it is, and is no zeros.
	run read $pid $at_holes 12K
	check_status 3
	check_err "nothing is mapped here"
	check_is "$(grep -c -- '-- 4096 bytes: nothing is mapped here' out)" 1
	check_is "$(grep -c '|' out)" 512
	run read --raw $pid $at_holes 12K
	check_status 3
	check_is "$(wc -c <out)" 4096
}

test_guard_page() {
	puppet guard
	[ $at_guard != 0x0 ] || skip "this kernel has no guard pages"
	run read $pid $at_guard 20K
	check_is "$(grep -c -- '-- 4096 bytes: guard' out)" 1
	check_is "$(grep -c '|' out)" 1024
	check_err guard
	# A guard page is known not to be data, so nothing is missing.
	check_status 0
	run read --raw $pid $at_guard 20K
	check_status 3
	run read $pid $at_guard 20K -f ndjson
	check_is "$(record gap reason)" guard
}

# Memory that was never touched reads as zeros, and stays untouched.
test_untouched() {
	puppet untouched
	run read $pid $at_untouched 1M
	check_status 0
	check_out "never touched: reads as zeros"
	run read --raw $pid $at_untouched 64K
	check_status 0
	check_is "$(wc -c <out)" 65536
	check_is "$(tr -d '\0' <out | wc -c)" 0
	run regions $pid --min-size 256M -f ndjson
	check_is "$(record region resident)" 0
}

# What a filter leaves out is a gap, and not missing; only bytes alone cannot tell it.
test_filters() {
	puppet plain
	run read $pid $at_plain 64 --perm r-x
	check_status 0
	check_out "-- 64 bytes: left out by a filter"
	check_err "is not read: left out by a filter"
	run read $pid $at_plain 64 --perm rw- --min-size 4K
	check_status 0
	check_silent
	check_is "$(grep -c '|' out)" 4
	range=$(printf '%x-%x' $((at_plain + 16)) $((at_plain + 32)))
	run read $pid $at_plain 64 --address $range -f ndjson
	check_status 0
	check_is "$(record data address,size)" "$(printf '0x%x\t16' $((at_plain + 16)))"
	check_is "$(record gap reason | sort -u)" left-out
	check_is "$(record gap end | tail -n 1)" "$(printf '0x%x' $((at_plain + 64)))"
	run read $pid $at_plain 64 --ignore $range
	check_is "$(grep -c '|' out)" 3
	run read $pid $at_plain 64 --ignore $range --raw
	check_status 3
	check_is "$(wc -c <out)" 16
	run read $pid 0x1000 64 --perm r-x
	check_status 4
	check_err "is not mapped"
}

test_device_memory() {
	puppet device
	[ "$at_device" != 0x0 ] || skip "no device memory could be mapped"
	run regions $pid --address "$at_device-$(printf %x $((at_device + 4096)))" -f ndjson
	[ "$(record region device_memory)" = true ] || skip "this is no device memory"
	run read $pid $at_device 16
	check_status 3
	check_out "-- 16 bytes: device"
	# Not every kernel lets it be read, but then it is the kernel that says so.
	run read $pid $at_device 16 --include-device
	check_no_out device
	[ $status = 0 ] || check_out "-- 16 bytes: no-access"
}

test_limits() {
	puppet huge
	for limit in --max-memory-size --max-process-size; do
		run read $pid $at_huge 256K $limit 100K -f ndjson
		check_status 3
		check_is "$(record summary bytes_read)" 102400
		check_is "$(record gap start,reason)" "$(printf '0x%x\tlimit' $((at_huge + 102400)))"
	done
	run read $pid $at_huge 256K --max-memory-size 100K --raw
	check_status 3
	check_is "$(wc -c <out)" 102400
	run read $pid $at_huge 4M --timeout 1ms
	check_status 3
	check_out "bytes: deadline"
}

# What was read before the target ended stands, and the rest is said to be missing.
test_target_ends_midway() {
	puppet huge
	mkfifo pipe
	for format in ndjson text; do
		[ $format = ndjson ] || puppet huge
		"$MEMSIFT" read $pid $at_huge 4M -f $format >pipe 2>err &
		reader=$!
		{
			head -c 100 >out
			end_puppet
			cat >>out
		} <pipe
		wait $reader
		status=$?
		check_status 3
		[ $format = text ] || check_is "$(record error pid)" $pid
	done
	check_err "pid $pid (puppet) ended"
	check grep -q "^0*${at_huge#0x} " out
}

test_several_processes_match() {
	cp "$PUPPET" ms-twin
	PUPPET_PATH=$PWD/ms-twin puppet plain
	PUPPET_PATH=$PWD/ms-twin puppet plain
	run read ms-twin $at_plain 16
	check_status 2
	check_err "2 processes match; name one"
}

run_tests

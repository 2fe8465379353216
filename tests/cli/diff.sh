#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# diff: what changed between files, between a snapshot and its process, and how it all ends.
. "$(dirname "$0")/lib.sh"

# The fields of the change records, one space between them.
changes() {
	record change "$@" | tr '\t' ' '
}

# Two files that differ in known places.
make_files() {
	need python3
	python3 - <<'END'
data = bytearray(b"memsift " * 4096)
open("before.raw", "wb").write(data)
data[0x10] ^= 1
data[0x100:0x104] = b"\x01\x02\x03\x04"
data[0x1ff8:0x2010] = b"<" * 12 + b">" * 12
data[0x3000:0x3002] = b"!!"
data[0x3009] = 0x21
data[0x4000:0x5000] = bytes(4096)
open("after.raw", "wb").write(data)
END
}

test_text() {
	make_files
	run diff before.raw after.raw --color never
	check_status 0
	check_silent
	golden diff
}

test_formats() {
	make_files
	run diff before.raw after.raw --bytes 8 -f ndjson
	check_status 0
	check_is "$(changes address,size,old,new,change)" "$(
		cat <<'END'
0x10 1 6d 6c write
0x100 4 6d656d73 01020304 write
0x1ff8 24 6d656d7369667420 3c3c3c3c3c3c3c3c write
0x3000 10 6d656d7369667420 21216d7369667420 write
0x4000 4096 6d656d7369667420 0000000000000000 write
END
	)"
	check_is "$(record coverage total,read,status | tr '\t' ' ')" "32768 32768 complete"
	check_is "$(record summary hits,status | tr '\t' ' ')" "5 complete"
	for format in json csv; do
		run diff before.raw after.raw --bytes 8 -f $format
		check_status 0
		check_is "$(changes address,size $format | head -2 | tail -1)" "0x100 4"
	done
}

test_same() {
	make_files
	run diff before.raw before.raw --fail-on-hit
	check_status 0
	check_out "nothing changed in what was read"
}

test_fail_on_hit() {
	make_files
	run diff before.raw after.raw --fail-on-hit
	check_status 1
	run diff before.raw after.raw --max-hits 2 -f ndjson
	check_status 3
	check_is "$(record change address)" "$(printf '0x10\n0x100')"
	check_err "stopped after 2"
}

test_ranges() {
	make_files
	run diff before.raw after.raw --ignore 0-0x1000 --address 0x20-0x3001 -f ndjson
	check_status 0
	check_is "$(changes address,size)" "$(printf '0x1ff8 24\n0x3000 1')"
}

# A longer file has more mapped.
test_grown_file() {
	make_files
	cp before.raw longer.raw
	printf 'and more' >>longer.raw
	run diff before.raw longer.raw -f ndjson
	check_status 0
	check_is "$(changes change,address,size)" "map 0x8000 8"
	run diff longer.raw before.raw -f ndjson
	check_is "$(changes change,address,size)" "unmap 0x8000 8"
}

test_usage() {
	make_files
	run diff before.raw
	check_status 2
	run diff before.raw after.raw before.raw
	check_status 2
	run diff before.raw after.raw --bytes 4097
	check_status 2
	run diff before.raw nothing/there
	check_status 4
	run diff before.raw 4194304999
	check_status 4
	puppet plain
	puppet plain
	run diff before.raw puppet
	check_status 2
	check_err "name one by its pid"
}

# A process against its own snapshots: only what it wrote since.
test_process() {
	puppet untouched plain
	range=$at_untouched-$(printf '0x%x' $((at_untouched + 16 * 4096)))
	run snapshot $pid -o s.core
	check_status 0
	kinds=s.core
	case $features in *xxhash*)
		run snapshot $pid --hash-only -o s.hashes
		check_status 0
		kinds="s.core s.hashes"
		;;
	esac
	run diff s.core $pid --address "$range"
	check_status 0
	check_out "nothing changed"
	tell touch
	wait_for "the pages are there" eval \
		'[ "$(awk "/^RssAnon/ { print \$2 }" /proc/$pid/status)" -gt 250000 ]'
	for kind in $kinds; do
		run diff $kind $pid --address "$range" -f ndjson
		check_status 0
		[ $kind = s.hashes ] && size=65536 || size=1
		check_is "$(changes address,size | head -1)" "$at_untouched $size"
		check_is "$(changes region_start,region_end | head -1 | wc -w)" 2
		check_is "$(record change pid | sort -u)" $pid
		check_is "$(record coverage read)" 65536
	done
	# Never touched by it, and not by looking, either.
	run diff s.core s.core -f ndjson
	check_is "$(record change address)" ""
}

# counter ADDRESS: what the counter there has come to, as $column of the changes tells;
# all its bytes were 1.
counter() {
	changes "address,$column" | python3 -I -c '
import sys
base = int(sys.argv[1], 16)
now = bytearray(b"\1" * 8)
for line in sys.stdin:
    address, new = line.split()
    at = int(address, 16) - base
    if 0 <= at < 8:
        new = bytes.fromhex(new)
        now[at:at + len(new)] = new
print(int.from_bytes(now, "little") - 0x0101010101010101)' "$1"
}

# Two counters of which the second follows the first agree in what is of one moment.
test_pause() {
	need python3
	puppet pair
	run snapshot $pid -o s.core
	check_status 0
	tell count
	for pause in freeze fork; do
		for order in "s.core $pid" "$pid s.core"; do
			column=new
			[ "$order" = "s.core $pid" ] || column=old
			# shellcheck disable=SC2086
			run diff $order --pause $pause --bytes 8 -f ndjson \
				--address "$at_pair-$(printf '0x%x' $((at_pair_end + 8)))"
			check_status 0
			first=$(counter "$at_pair") second=$(counter "$at_pair_end")
			[ "$first" -gt 0 ] || fail "it does not count"
			ahead=$((first - second))
			[ $ahead = 0 ] || [ $ahead = 1 ] || fail "$pause: $first and $second"
		done
		check_is "$(awk '/^TracerPid/ { print $2 }' /proc/$pid/status)" 0
	done
	# Stopped once, one process twice is the same.
	run diff $pid $pid --pause freeze
	check_status 0
	check_silent
	check_out "nothing changed in what was read"
	check_is "$(awk '/^TracerPid/ { print $2 }' /proc/$pid/status)" 0
	run diff s.core $pid --pause maybe
	check_status 2
}

# What the snapshot's filter left out is not taken for a new mapping.
test_filtered_snapshot() {
	puppet plain
	run snapshot $pid --path puppet -o part.core
	check_status 0
	run diff part.core $pid -f ndjson
	check_status 0
	check_is "$(record change change)" ""
	check_out '"reason":"left-out"'
}

# Two processes with little in common.
test_different_processes() {
	puppet plain
	first=$pid
	puppet untouched
	run diff $first $pid -f ndjson
	check_status 0
	record change change | sort -u >kinds
	grep -q '^map$' kinds || fail "nothing is new: $(cat kinds)"
	grep -q '^unmap$' kinds || fail "nothing is gone: $(cat kinds)"
}

test_damaged_core() {
	puppet plain
	run snapshot $pid -o s.core
	check_status 0
	head -c 300000 s.core >cut.core
	run diff cut.core $pid
	check_status 4
	check_err "cut off"
	printf 'XXXXXXXXXXXXXXXX' | dd of=s.core bs=1 seek=32 conv=notrunc 2>dd
	run diff $pid s.core
	check_status 4
	need_feature xxhash
	run snapshot $pid --hash-only -o s.hashes
	head -c 5000 s.hashes >cut.hashes
	run diff cut.hashes $pid
	check_status 4
	check_err "is damaged"
}

test_ended_target() {
	puppet plain
	run snapshot $pid -o s.core
	kill -9 $pid
	run diff s.core $pid
	check_status 4
}

test_timeout() {
	puppet untouched
	tell touch
	run snapshot $pid -o s.core
	run diff s.core $pid --timeout 1ms -f ndjson
	check_status 3
}

run_tests

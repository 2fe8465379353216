#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# search: what is found, what is not, and what the target and the exit status tell.
. "$(dirname "$0")/lib.sh"

# search_for NAME: where the text "puppet-NAME-needle" is, into `found`; not in the program's file.
search_for() {
	run search $pid -t "puppet-$1-needle" --memory-regions heap,stack,code,other -f ndjson
	check_status 0
	record hit address >found
}

# at NAME OFFSET: an address as records have it.
at() {
	local base=at_$1

	printf '0x%x\n' $((${!base} + $2))
}

test_text_output() {
	puppet adjacent
	run search $pid -t puppet-border-needle --address $at_adjacent-"$(at adjacent 12288)"
	check_status 0
	check_silent
	golden search
}

test_records() {
	puppet adjacent
	range=$at_adjacent-$(at adjacent 12288)
	run search $pid -t puppet-border-needle --address $range -f ndjson
	check_status 0
	check_is "$(record hit address)" "$(at adjacent 4086)
$(at adjacent 8182)"
	grep -v '"type":"coverage"' out | sed "s/$range/RANGE/g; s/\"targets\":.*\"bytes_read\"/\"bytes_read\"/" >some
	golden hits some
}

test_patterns() {
	puppet plain
	range=$at_plain-$(at plain 40)
	count() {
		run search $pid --address $range "$@"
		check_status 0
		hits
	}
	check_is "$(count -t puppet)" 2
	check_is "$(count -t PUPPET)" 0
	check_is "$(count -t PUPPET -i)" 2
	check_is "$(count -t puppet -t needle)" 4
	check_is "$(count -x '70 75 70')" 2
	check_is "$(count -x '7? ?5 70')" 2
	check_is "$(count -x '70 75 [2-6] 2d')" 2
	check_is "$(count -x '(41|70) 75 ?? 70')" 2
	check_is "$(count -x '70 75 70' --align 8)" 1
	check_is "$(count -t nosuchneedle)" 0
	check_out "not found in what was read"
}

test_utf16() {
	printf 'ms-\0n\0e\0e\0d\0l\0e\0-ms-needle' >file
	run search ./file -t needle --utf16
	check_status 0
	check_is "$(hits)" 2
	run search ./file -t needle
	check_is "$(hits)" 1
}

test_fail_on_hit() {
	puppet plain
	run search $pid -t puppet-plain --fail-on-hit
	check_status 1
	run search $pid -t "nosuch$RANDOM" --fail-on-hit
	check_status 0
	run search $pid -t puppet-plain
	check_status 0
}

# A guard page is known not to hold data: all that was wanted was covered.
test_guard_page_is_complete() {
	puppet guard
	[ $at_guard != 0x0 ] || skip "this kernel has no guard pages"
	search_for guard
	check_is "$(sed -n 1p found)" $at_guard
	# After the guard page the text goes on: nothing behind it is lost.
	check grep -qx "$(at guard $((20 * 615)))" found
	check_is "$(record coverage status)" complete
	check_is "$(grep -c "{\"start\":\"$(at guard 8192)\",\"end\":\"$(at guard 12288)\",\"reason\":\"guard\"}" out)" 1
}

test_stack_of_a_thread() {
	puppet threads
	search_for stack
	check_is "$(cat found)" $at_threads
	run search $pid -t puppet-stack-needle --memory-regions stack
	check_status 0
	check_is "$(hits)" 1
}

test_adjacent_mappings() {
	puppet adjacent
	search_for border
	check_is "$(cat found)" "$(at adjacent 4086)
$(at adjacent 8182)"
}

# The pages behind a hole are found, and nothing is found across it.
test_holes() {
	puppet holes
	search_for holes
	check_is "$(head -1 found)" $at_holes
	check_is "$(wc -l <found)" 612
	check grep -qx "$(at holes 8200)" found
	check grep -qx "$(at holes 16400)" found
}

# Never touched memory is not made to be there by looking.
test_target_does_not_grow() {
	anonymous() {
		awk '/^(RssAnon|RssFile|RssShmem)/ { sum += $2 } END { print sum }' /proc/$pid/status
	}
	puppet untouched file plain
	before=$(anonymous)
	run search $pid -t puppet-plain
	check_status 0
	run dump $pid -o core
	check_status 0
	run modules $pid
	check_status 0
	grown=$(($(anonymous) - before))
	[ $grown -lt 1024 ] || fail "the target grew by $grown kB"
	run search $pid -t puppet-plain -f ndjson
	[ "$(record coverage absent)" -ge $((256 << 20)) ] || fail "absent: $(record coverage absent)"
}

# A page that blocks whoever touches it is not touched.
test_userfaultfd() {
	puppet uffd plain
	[ $at_uffd != 0x0 ] || skip "no userfaultfd here"
	LIMIT=30 run search $pid -t puppet-plain-needle -f ndjson
	check_status 0
	check_is "$(record hit address | grep -cx $at_plain)" 1
	LIMIT=30 run dump $pid -o core
	check_status 0
	LIMIT=30 run read $pid $at_uffd 16K
	check_status 0
}

test_fuse() {
	need_root
	puppet fuse plain
	[ $at_fuse != 0x0 ] || skip "no FUSE here"
	LIMIT=30 run search $pid -t puppet-plain-needle -f ndjson
	check_is "$(record hit address | grep -cx $at_plain)" 1
	LIMIT=30 run dump $pid -o core
	check_is "$(find core -size +0 | wc -l)" 1
}

# A mapping of 1 TiB with one page of data costs next to nothing.
test_sparse() {
	puppet sparse
	LIMIT=60 run search $pid -t puppet-sparse-needle --min-size 1G -f ndjson
	check_status 0
	check_is "$(record hit address)" "$(at sparse $((1 << 39)))"
	check_is "$(record coverage read)" 4096
	LIMIT=60 run dump $pid --min-size 1G -o core
	check_status 0
	[ "$(du -k core | cut -f1)" -lt 4096 ] || fail "the dump takes $(du -k core | cut -f1) kB"
}

test_churn() {
	puppet churn plain
	for i in 1 2 3 4 5; do
		run search $pid -t puppet-plain-needle -f ndjson
		[ $status = 0 ] || [ $status = 3 ] || fail "status $status"
		check_is "$(record hit address | grep -cx $at_plain)" 1
	done
}

test_no_access() {
	puppet noaccess execonly secret
	run search $pid -t puppet-noaccess-needle -f ndjson
	record coverage status >state
	[ $status = 0 ] || [ $status = 3 ] || fail "status $status"
}

# ---- Limits: what was found is kept, it is said, and the status is 3 ----

test_max_hits() {
	puppet plain
	run search $pid -t puppet-plain --max-hits 5
	check_status 3
	check_is "$(hits)" 5
	check_err "stopped after 5 hits, as --max-hits says"
	run search $pid -t puppet-plain --max-hits 5 -f ndjson
	check_status 3
	check_is "$(record hit address | wc -l)" 5
	check_is "$(record summary status)" partial
	# For several targets together, files too.
	printf 'needle needle needle ' | tee one >two
	run search ./one ./two -t needle --max-hits 4 -f ndjson
	check_status 3
	check_is "$(record hit address | wc -l)" 4
}

test_max_memory_size() {
	puppet huge
	run search $pid -t puppet-stack-needle --max-memory-size 1M -f ndjson
	check_status 3
	check_is "$(record summary status)" partial
	[ "$(record summary bytes_read)" -le 1048576 ] || fail "read too much"
	run search $pid -t puppet-stack-needle --max-memory-size 1
	check_status 3
	run search $pid -t puppet-stack-needle --max-memory-size 1G
	check_status 0
	run search $pid -t puppet-stack-needle --max-process-size 1M -f ndjson
	check_status 3
	[ "$(record coverage read)" -le 1048576 ] || fail "read too much"
}

# The limit is one for all targets together, and so it is for files.
test_max_memory_size_is_for_all() {
	local first

	puppet huge
	first=$pid
	puppet huge
	run search $first $pid -t puppet-stack-needle --max-memory-size 1M -f ndjson
	check_status 3
	[ "$(record summary bytes_read)" -le 1048576 ] || fail "processes: read too much"
	run search $first $pid -t puppet-stack-needle --max-memory-size 4K
	check_status 3
	check_err "pid $pid (puppet): not reached: a limit ended the job"
	mkdir dumps
	run dump $first $pid --max-memory-size 1M -o dumps -f ndjson
	check_status 3
	[ "$(record summary bytes_read)" -le 1048576 ] || fail "dumps: read too much"
	head -c 1M /dev/zero >one
	cp one two
	run search ./one ./two -t needle --max-memory-size 1M -f ndjson
	check_status 3
	[ "$(record summary bytes_read)" -le 1048576 ] || fail "files: read too much"
}

test_timeout() {
	puppet huge
	run search $pid -t puppet-huge --timeout 1ms -f ndjson
	[ $status = 0 ] || [ $status = 3 ] || fail "status $status"
	truncate -s 20G large
	LIMIT=60 run search ./large -t needle --timeout 300ms -f ndjson
	check_status 3
	check_is "$(record summary status)" partial
	check grep -q '"reason":"deadline"' out
}

test_threads_give_the_same() {
	puppet plain huge
	run search $pid -t needle --align 64 -f ndjson --threads 1
	record hit address >one
	run search $pid -t needle --align 64 -f ndjson --threads 4
	record hit address >four
	check cmp -s one four
	check [ "$(wc -l <one)" -gt 1000 ]
	check_is "$(sort -u one | wc -l)" "$(wc -l <one)"
}

# Threads come and go while it is searched, the program ends or becomes another one.
test_target_ends_midway() {
	puppet huge
	(
		sleep 0.2
		kill -9 $pid
	) &
	for ((i = 0; i < 200; i++)); do
		run search $pid -t puppet-huge --align 1024 -f ndjson
		[ $status = 0 ] || break
	done
	[ $status = 3 ] || [ $status = 4 ] || fail "status $status"
	if [ $status = 3 ]; then
		record coverage status >state
	else
		check [ -s err -o -s out ]
	fi
}

test_target_is_gone_before() {
	puppet plain
	end_puppet
	run search $pid -t puppet-plain
	check_status 4
	check_err "no process matches \"$pid\""
}

test_exec_midway() {
	puppet huge
	tell exec
	for i in 1 2 3 4 5; do
		run search $pid -t puppet-plain-needle
		case $status in 0 | 3 | 4) ;; *) fail "status $status" ;; esac
	done
}

run_tests

#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# snapshot: cores and files of hashes, what they are called, and what may not be asked for.
. "$(dirname "$0")/lib.sh"

test_default_names() {
	puppet plain
	umask 0
	run snapshot $pid
	check_status 0
	file=$(head -1 out)
	[[ $file =~ ^puppet\.$pid\.[0-9]{8}T[0-9]{6}Z\.core$ ]] || fail "the name $file"
	check_is "$(stat -c %a "$file")" 600
	need_feature xxhash
	run snapshot $pid --hash-only
	check_status 0
	hashes=$(head -1 out)
	[[ $hashes =~ ^puppet\.$pid\.[0-9]{8}T[0-9]{6}Z\.hashes$ ]] || fail "the name $hashes"
	check_is "$(stat -c %a "$hashes")" 600
	check_folder . "$file" "$hashes" err input.1 out output.1
	[ $(($(stat -c %s "$hashes") * 20)) -lt "$(stat -c %s "$file")" ] || fail "hashes are large"
}

# A debugger opens it, and memsift finds in it what it finds in the process.
test_is_a_core() {
	puppet plain
	run snapshot $pid -o s.core --pause freeze
	check_status 0
	! command -v readelf >/dev/null || check_is "$(readelf -hln s.core 2>&1 >/dev/null)" ""
	run search s.core -t puppet-plain-needle --address "$at_plain-$(printf '0x%x' $((at_plain + 65536)))"
	check_status 0
	live=$(hits)
	run search $pid -t puppet-plain-needle --address "$at_plain-$(printf '0x%x' $((at_plain + 65536)))"
	check_is "$(hits)" "$live"
	[ "$live" -gt 3000 ] || fail "$live hits"
	if command -v gdb >/dev/null; then
		timeout 120 gdb -nx -batch -iex 'set debuginfod enabled off' -ex "x/s $at_plain" \
			"$PUPPET" s.core >gdb 2>&1 </dev/null
		grep -q 'puppet-plain-needle' gdb || fail "$(cat gdb)"
	fi
}

# Memory that a fork leaves out is marked in the file, and the file opens all the same.
test_hashes_of_a_twin() {
	case $features in
	*xxhash*) ;;
	*) skip "this build has no hashes" ;;
	esac
	puppet plain unforked
	run snapshot $pid --pause fork --hash-only -o s.hashes
	check_status 0
	# Not the rest: the kernel notes in a thread's memory which CPU it runs on (rseq).
	run diff ./s.hashes $pid --address "$at_plain-$(printf '0x%x' $((at_plain + 65536)))" \
		--address "$at_unforked-$(printf '0x%x' $((at_unforked + 8192)))"
	check_status 0
	check_out "nothing changed in what was read"
}

# What a filter leaves out is part of the map, but has no bytes.
test_filter() {
	puppet plain
	run snapshot $pid -o all.core
	check_status 0
	run snapshot $pid --path puppet -o part.core
	check_status 0
	[ $(($(stat -c %s part.core) * 4)) -lt "$(stat -c %s all.core)" ] || fail "part.core is large"
	run regions part.core -f ndjson
	record region start,end >part
	run regions $pid -f ndjson
	check_is "$(record region start,end)" "$(cat part)"
	run search part.core -t puppet-plain-needle --address "$at_plain-$(printf '0x%x' $((at_plain + 65536)))" -f ndjson
	check_status 0
	check_out '"reason":"left-out"'
}

test_hashes_have_no_bytes() {
	need_feature xxhash
	puppet plain
	run snapshot $pid --hash-only -o h
	check_status 0
	run search h -t puppet-plain-needle
	check_status 3
	check_is "$(hits)" 0
	run regions h -f ndjson
	check_status 0
	record region start,end,perm,path >of_hashes
	run regions $pid -f ndjson
	check_is "$(record region start,end,perm,path)" "$(cat of_hashes)"
	run ps h -f ndjson
	check_is "$(record process pid)" $pid
}

test_refusals() {
	puppet plain
	run snapshot $pid --hash-only --compress zstd
	check_status 2
	check_err "exclude each other"
	run snapshot $pid --as raw
	check_status 2
	run snapshot
	check_status 2
	touch there
	run snapshot $pid -o there
	check_status 5
	[ ! -s there ] || fail "it was written over"
	run snapshot $pid -o there --force
	check_status 0
	[ -s there ] || fail "it was not written over"
	run snapshot 4194304999
	check_status 4
}

test_several() {
	puppet plain
	first=$pid
	puppet plain
	run snapshot $first $pid -o folder -f ndjson
	check_status 0
	check_is "$(record dump path | wc -l)" 2
	check_is "$(ls folder | wc -l)" 2
	need_feature zstd
	run snapshot $pid --compress zstd -o s.zst
	check_status 0
	run diff ./s.zst ./s.zst
	check_status 0
}

# --max-process-size cuts it short, and that is said.
test_limits() {
	puppet plain
	for kind in "" --hash-only; do
		[ -z "$kind" ] || need_feature xxhash
		# shellcheck disable=SC2086
		run snapshot $pid $kind --max-process-size 64K -o "./cut$kind" -f ndjson
		check_status 3
		check_is "$(record coverage read)" 65536
		run diff "./cut$kind" "./cut$kind" -f ndjson
		check_is "$(record coverage read)" 65536
		check_is "$(record change address)" ""
	done
}

run_tests

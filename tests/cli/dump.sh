#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# dump: cores that readelf, gdb and lldb open, raw files, compression, and dumps of dumps.
. "$(dirname "$0")/lib.sh"

# gdb_core FILE COMMAND...: what gdb says to the commands, in `gdb`.
gdb_core() {
	local core=$1 arguments=() command
	shift

	for command; do
		arguments+=(-ex "$command")
	done
	timeout 120 gdb -nx -batch -iex 'set debuginfod enabled off' "${arguments[@]}" "$PUPPET" \
		"$core" >gdb 2>&1 </dev/null
	grep -q 'is not a core dump' gdb && depth=1 fail "gdb: $(cat gdb)"
	return 0
}

check_gdb() {
	grep -qE -- "$1" gdb || depth=1 fail "gdb does not say \"$1\": $(cat gdb)"
}

# What readelf warns of.
readelf_warnings() {
	readelf -hlWn "$1" 2>&1 >/dev/null
	readelf -hlWn "$1" 2>/dev/null | grep -iE 'warning|error|corrupt'
}

at() {
	local base=at_$1

	printf '0x%x\n' $((${!base} + $2))
}

test_default_name() {
	puppet plain
	umask 0
	run dump $pid
	check_status 0
	check_silent
	file=$(head -1 out)
	[[ $file =~ ^puppet\.$pid\.[0-9]{8}T[0-9]{6}Z\.core$ ]] || fail "the name $file"
	check_is "$(stat -c %a "$file")" 600
	check_folder . "$file" err input.1 out output.1
	mkdir folder
	run dump $pid -o folder -f ndjson
	check_status 0
	file=$(record dump path)
	[[ $file =~ ^folder/puppet\.$pid\.[0-9]{8}T[0-9]{6}Z\.core$ ]] || fail "the name $file"
	check_is "$(record dump size)" "$(stat -c %s "$file")"
}

test_readelf() {
	need readelf
	puppet plain guard holes untouched threads file newline
	for pause in none fork freeze; do
		run dump $pid --pause $pause -o core.$pause
		check_status 0
		check_is "$(readelf_warnings core.$pause)" ""
		readelf -hW core.$pause >header
		check grep -q 'Type: *CORE' header
		readelf -lW core.$pause >segments
		check grep -q '^  NOTE' segments
		check grep -qE "^  LOAD +0x[0-9a-f]+ 0x0*${at_plain#0x} " segments
		readelf -nW core.$pause >notes 2>&1
		check grep -q NT_PRPSINFO notes
		check grep -q NT_AUXV notes
		check grep -q NT_FILE notes
		[ $pause = none ] && continue
		check_is "$(grep -c NT_PRSTATUS notes)" \
			"$(($(ls /proc/$pid/task | wc -l) + $(extra_notes)))"
	done
}

# readelf gives memsift's own notes the names of others with the same number.
extra_notes() {
	awk '$1 == "MEMSIFT" && /NT_PRSTATUS/' notes | wc -l
}

# A fork leaves some memory out: that is read of the target itself, as it is by then.
test_memory_that_is_not_forked() {
	puppet plain unforked
	run dump $pid --pause fork -o core
	check_status 0
	run search ./core -t "puppet-unforked-needle puppet-unf" --max-hits 1000 -f ndjson --context 0
	check grep -q "\"address\":\"$at_unforked\"" out
	check grep -q "\"address\":\"$at_wiped\"" out
	check_is "$(record coverage unreadable)" 0
	[ -d /proc/$pid ] || fail "the target is gone"
}

test_gdb_reads_planted_memory() {
	need gdb
	puppet plain guard holes untouched adjacent
	run dump $pid -o core
	check_status 0
	gdb_core core "x/s $at_plain" "x/s $(at adjacent 4086)" "x/4xb $at_untouched"
	check_gdb 'puppet-plain-needle'
	check_gdb 'puppet-border-needle'
	check_gdb "$at_untouched:(\\s0x00){4}"
}

# A twin never runs, but its core has the registers that the target's threads had.
test_gdb_shows_the_threads_of_a_twin() {
	need gdb
	puppet plain threads spin
	for pause in fork freeze; do
		run dump $pid --pause $pause -o core.$pause
		check_status 0
		gdb_core core.$pause "thread apply all bt" "info threads"
		check_gdb 'sleep_thread'
		check_gdb 'spin_thread'
		check_gdb ' main '
		# But for the one that runs all the time: what it has come to.
		sed -n '/^Thread /,$p' gdb | sed '/spin_thread/s/ (.*//; /spin_thread/s/0x[0-9a-f]* in //' >gdb.$pause
		run regions core.$pause -f ndjson
		record region start,end,kind >regions.$pause
	done
	check_is "$(grep -c '^Thread ' gdb.fork)" 3
	diff gdb.freeze gdb.fork >differences || fail "$(cat differences)"
	check_is "$(cat regions.fork)" "$(cat regions.freeze)"
}

# What could not be read is absent, not zero.
test_gdb_cannot_access_what_was_not_read() {
	need gdb
	puppet plain holes guard
	run dump $pid -o core
	check_status 0
	gdb_core core "x/4xb $(at holes 4096)"
	check_gdb "Cannot access memory at address $(at holes 4096)"
	gdb_core core "x/s $(at holes 8192)"
	check_gdb 'needle'
	[ $at_guard != 0x0 ] || return 0
	gdb_core core "x/4xb $(at guard 8192)"
	check_gdb "Cannot access memory at address $(at guard 8192)"
	run dump $pid --max-memory-size 8K -o limited
	check_status 3
	run regions ./limited
	check_status 0
	gdb_core limited 'x/4xb $sp' "x/4xb $(at guard 0)"
	check_gdb "Cannot access memory at address $(at guard 0)"
}

test_gdb_shows_threads() {
	need gdb
	puppet threads plain
	run dump $pid --pause freeze -o core
	check_status 0
	gdb_core core 'info threads' 'thread apply all bt' "x/s $at_threads"
	check_is "$(grep -cE '^\*? +[0-9]+ +(Thread|LWP)' gdb)" "$(ls /proc/$pid/task | wc -l)"
	check_gdb '^#[0-9]+ .*sleep_thread'
	check_gdb '^#[0-9]+ .*main'
	check_gdb 'puppet-stack-needle'
	check_gdb "LWP $pid"
	# It goes on, and was left as it was.
	check grep -qE '^State:\s+S' /proc/$pid/status
	check grep -qE '^TracerPid:\s+0' /proc/$pid/status
}

test_lldb() {
	need lldb
	puppet threads plain
	run dump $pid --pause freeze -o core
	check_status 0
	timeout 120 lldb -x -b -o "memory read -s1 -fx -c 8 $at_plain" -o 'thread list' \
		-c core "$PUPPET" >lldb 2>&1 </dev/null
	grep -q '0x70 0x75 0x70 0x70 0x65 0x74 0x2d 0x70' lldb || fail "lldb: $(cat lldb)"
	check_is "$(grep -cE '^\*? +thread #' lldb)" "$(ls /proc/$pid/task | wc -l)"
}

test_freeze_of_a_thread_that_runs() {
	need gdb
	puppet spin
	run dump $pid --pause freeze -o core
	check_status 0
	gdb_core core 'thread apply all bt'
	check_gdb 'spin_thread'
}

# A core is as long as the memory it describes, and takes up what was read of it.
test_sparse_on_disk() {
	puppet untouched
	run dump $pid -o core
	check_status 0
	[ "$(du -k core | cut -f1)" -lt 16384 ] || fail "it takes $(du -k core | cut -f1) kB"
}

test_raw() {
	puppet plain guard
	run dump $pid --as raw -o folder --memory-regions heap
	check_status 0
	name=puppet.$pid.$at_plain-$(at plain 65536).bin
	check_is "$(stat -c %s "folder/$name")" 65536
	check_is "$(stat -c %a "folder/$name")" 600
	check_is "$(head -c 19 "folder/$name")" puppet-plain-needle
	for file in folder/*; do
		[[ $file =~ ^folder/puppet\.$pid\.0x[0-9a-f]+-0x[0-9a-f]+\.bin$ ]] || fail "the name $file"
	done
	[ $at_guard = 0x0 ] || check [ -e "folder/puppet.$pid.$at_guard-$(at guard 8192).bin" ]
	run dump $pid --as raw
	check_status 0
	check_is "$(find . -maxdepth 1 -type d -name "puppet.$pid.*Z" | wc -l)" 1
}

test_region() {
	puppet plain
	run dump $pid --region $at_plain:100 --region "$(at plain 8192)":4K
	check_status 0
	check_is "$(cat puppet.$pid.$at_plain-"$(at plain 100)".bin)" \
		"$(head -c 100 /dev/zero | tr '\0' x | sed 's/x\{20\}/puppet-plain-needle /g')"
	check_is "$(stat -c %s puppet.$pid."$(at plain 8192)-$(at plain 12288)".bin)" 4096
	run dump $pid --region $at_plain:100
	check_status 5
	check_err --force
	run dump $pid --region $at_plain:100 --force
	check_status 0
	run dump $pid --region 0x1000:4096 -o nothing
	[ $status = 3 ] || [ $status = 4 ] || fail "status $status for what is not mapped"
}

test_compress() {
	need_feature zstd
	need zstd readelf
	puppet plain guard untouched threads
	run dump $pid -o plain.core
	check_status 0
	run dump $pid --compress zstd
	check_status 0
	file=$(head -1 out)
	[[ $file =~ \.core\.zst$ ]] || fail "the name $file"
	zstd -qd "$file" -o core || fail "zstd"
	check_is "$(readelf_warnings core)" ""
	run search ./core -t puppet-stack-needle
	check_status 0
	check_is "$(hits)" 1
	run regions ./core -f csv
	check_status 0
	sed 1,3d out >regions.compressed
	run regions ./plain.core -f csv
	sed 1,3d out >regions.plain
	check cmp -s <(grep ^region regions.compressed) <(grep ^region regions.plain)
	[ "$(stat -c %s "$file")" -lt "$(stat -c %s plain.core)" ] || fail "not smaller"
}

# A streamed core has its program headers at its end, and their number in a section header.
test_compressed_core_in_gdb() {
	need_feature zstd
	need zstd gdb
	puppet plain threads
	run dump $pid --pause freeze --compress zstd -o core.zst
	check_status 0
	zstd -qd core.zst -o core || fail "zstd"
	gdb_core core "x/s $at_plain" 'thread apply all bt'
	check_gdb 'puppet-plain-needle'
	check_gdb 'sleep_thread'
}

test_compression_that_is_not_there() {
	case $features in *zstd*) skip "this build has zstd" ;; esac
	puppet plain
	run dump $pid --compress zstd -o core
	check_status 2
	check_err zstd
	[ ! -e core ] || fail "a core all the same"
}

# What memsift says of a core: the regions' start, end, permissions, kind, path, offset.
facts() {
	run regions "$@" -f ndjson
	check_status 0
	record region start,end,perm,kind,path,offset,resident
}

test_dump_of_a_dump() {
	puppet plain guard holes untouched threads file private adjacent
	run dump $pid -o first
	check_status 0
	run dump ./first -o second
	check_status 0
	facts ./first >facts.first
	facts ./second >facts.second
	check cmp -s facts.first facts.second
	# Device memory is not dumped, and a core has no region for it.
	facts $pid --memory-regions heap,stack,mapped >facts.live
	facts ./first --memory-regions heap,stack,mapped >facts.core
	check_is "$(diff facts.live facts.core)" ""
	for file in first second; do
		run search ./$file -t puppet -f ndjson
		check_status 0
		grep '"type":"hit"' out >hits.$file
		record coverage total,absent,read,unreadable,skipped,status,gaps >coverage.$file
	done
	check cmp -s hits.first hits.second
	check cmp -s coverage.first coverage.second
	run modules ./second -f csv
	grep ^module out >modules.second
	run modules $pid -f csv
	grep ^module out >modules.live
	check cmp -s modules.second modules.live
}

test_several_targets() {
	local first

	puppet plain
	first=$pid
	puppet plain
	run dump $first $pid -o folder
	check_status 0
	check_is "$(find folder -name "puppet.$first.*.core" -o -name "puppet.$pid.*.core" | wc -l)" 2
}

# Nor do targets with one name and pid get into each other's way.
test_targets_of_one_name() {
	local as

	puppet plain
	mkdir other
	run dump $pid -o puppet.core
	cp puppet.core other
	for as in "" "--as raw" --hash-only; do
		rm -rf folder
		case $as$features in
		--hash-only*[\ \(]xxhash[\ \)]*) ;;
		--hash-only*) continue ;;
		esac
		# shellcheck disable=SC2086
		run $([ "$as" = --hash-only ] && echo snapshot || echo dump) \
			./puppet.core $pid ./other/puppet.core $as -o folder
		check_status 0
		check_is "$(ls folder | sed "s/$pid/PID/; s/[0-9]*T[0-9]*Z.*//" | sort | tr '\n' ' ')" \
			"puppet.PID-2. puppet.PID-3. puppet.PID. "
	done
	run dump ./puppet.core ./other/puppet.core --region $at_plain:100
	check_status 0
	check cmp -s puppet.$pid.$at_plain-"$(at plain 100)".bin puppet.$pid-2.$at_plain-"$(at plain 100)".bin
}

# The memory in the core is the memory of the process.
test_contents() {
	puppet plain huge
	run dump $pid -o core
	check_status 0
	for base in $at_plain $at_huge; do
		run read --raw ./core $base 64K
		cp out from_core
		run read --raw $pid $base 64K
		check cmp -s out from_core
	done
}

run_tests

#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# collect and verify: evidence folders.
. "$(dirname "$0")/lib.sh"

# manifest FIELD: that field of every file in the manifest of `evidence`.
manifest() {
	cp "${folder:-evidence}/manifest.json" out
	record file "$1" json
}

files_of() {
	(cd "$1" && find . -type f ! -name manifest.json | sed 's#^\./##' | sort)
}

test_layout() {
	puppet plain guard
	umask 0
	run collect $pid -o evidence
	check_status 0
	check_silent
	check_out 'memsift verify evidence'
	files_of evidence | sed "s/$pid/PID/g; s/[0-9]*T[0-9]*Z/TIME/" >files
	golden evidence files
	check_is "$(find evidence -type f ! -perm 600 | wc -l)" 0
	check_is "$(find evidence -type d ! -perm 700 | wc -l)" 0
	check_is "$(manifest path)" "$(files_of evidence)"
	core=$(find evidence -name '*.core')
	run search "$core" -t puppet-plain-needle
	check_status 0
	check grep -q 'finished' evidence/collection.log
	for name in evidence/*/process.json evidence/*/regions.json evidence/*/modules.json; do
		python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$name" || fail "$name"
	done
}

test_manifest() {
	need_feature crypto
	need sha256sum
	puppet plain
	run collect $pid -o evidence
	check_status 0
	manifest path | while read -r path; do
		sha256sum <"evidence/$path" | cut -d' ' -f1
	done >expected
	check_is "$(manifest sha256)" "$(cat expected)"
	manifest path | while read -r path; do
		stat -c %s "evidence/$path"
	done >expected
	check_is "$(manifest size)" "$(cat expected)"
	cp evidence/manifest.json out
	check_is "$(record meta arguments json)" "[\"collect\", \"$pid\", \"-o\", \"evidence\"]"
	check_is "$(record meta user json)" "$(id -un)"
	check_is "$(record meta host json)" "$(uname -n)"
}

test_verify() {
	need_feature verify
	puppet plain
	run collect $pid -o evidence
	check_status 0
	core=$(cd evidence && find . -name '*.core' | sed 's#^\./##')

	run verify evidence
	check_status 0
	check_silent
	check_out '0 changed, 0 missing; 0 not in the manifest'

	# One byte, the size as before.
	cp -a evidence changed
	printf '\252' | dd of="changed/$core" bs=1 seek=70000 conv=notrunc 2>/dev/null
	cmp -s "changed/$core" "evidence/$core" && fail "the byte was the same before"
	run verify changed
	check_status 3
	check grep -qE "^changed .*$core" out
	check_out '1 changed, 0 missing; 0 not in the manifest'

	cp -a evidence missing
	rm "missing/$core"
	run verify missing
	check_status 3
	check grep -qE "^missing .*$core" out
	check_out '0 changed, 1 missing; 0 not in the manifest'

	cp -a evidence extra
	echo more >extra/more
	run verify extra -f ndjson
	check_status 3
	check grep -q '"path":"more".*"status":"extra"' out
	check_is "$(record summary status)" partial

	cp -a evidence truncated
	: >truncated/collection.log
	run verify truncated
	check_status 3
	check grep -qE '^changed .*collection.log' out
}

test_verify_of_what_is_no_evidence() {
	need_feature verify
	mkdir empty bad escape
	run verify nosuch
	check_status 4
	check_err nosuch
	run verify empty
	check_status 4
	check_err empty/manifest.json
	echo '{"records":[' >bad/manifest.json
	run verify bad
	check_status 4
	check_err manifest
	echo '{"records":[]}' >bad/manifest.json
	run verify bad
	check_status 4
	check_err 'does not begin with a record "meta"'
	echo '{"records":[{"type":"meta","schema":"memsift/2"},{"type":"summary"}]}' >bad/manifest.json
	run verify bad
	check_status 4
	check_err 'schema memsift/2, but this memsift knows memsift/1 only'
	# A manifest leads nobody out of its folder.
	cat >escape/manifest.json <<-'END'
		{"records":[
		{"type":"meta","schema":"memsift/1"},
		{"type":"file","path":"../secret","size":1,"sha256":"SHA"}
		]}
	END
	sed -i "s/SHA/$(printf '%064d' 0)/" escape/manifest.json
	run verify escape
	[ $status = 3 ] || [ $status = 4 ] || fail "status $status"
	check grep -q 'secret' out err
}

test_verify_in_a_build_without() {
	case $features in *verify*) skip "this build can verify" ;; esac
	puppet plain
	run collect $pid -o evidence
	check_status 0
	run verify evidence
	check_status 2
	check_err "build"
}

# The form with options and no command.
test_options_only() {
	puppet plain huge
	run --dump-process-memory --pid $pid --memory-search '70 75 70 70 65 74 2D 70' \
		--dump-memory-region $pid:$at_plain:100 --max-memory-size 64 -o evidence
	check_status 0
	check_is "$(find evidence -name '*.core' | wc -l)" 1
	check_is "$(grep -c "\"type\":\"hit\".*\"address\":\"$at_plain\"" evidence/*/hits.json)" 1
	check_is "$(stat -c %s evidence/*/puppet.$pid.$at_plain-*.bin)" 100
	[ "${features#*verify}" = "$features" ] || {
		run verify evidence
		check_status 0
	}
	run --dump-memory-region $pid:0x1000
	check_status 2
	check_err "PID:ADDRESS:SIZE"
	# A part of memory names its process.
	run --dump-memory-region $pid:$at_plain:100 -o part
	check_status 0
	check_is "$(find part -name '*.core' | wc -l)" 0
	check_is "$(find part -name '*.bin' | wc -l)" 1
	# The limit is in megabytes when nothing else is said.
	run --dump-process-memory --pid $pid --max-memory-size 1 -o limited
	check_status 3
	run --dump-process-memory --pid $pid --max-memory-size 64K -o small
	check_status 3
	[ "$(du -k small | tail -1 | cut -f1)" -lt 1024 ] || fail "more than the limit"
}

test_options_only_by_name() {
	cp "$PUPPET" ms-named
	PUPPET_PATH=$PWD/ms-named puppet plain
	run --dump-process-memory --process ms-named --memory-regions heap -o evidence
	check_status 0
	check_is "$(find evidence -name "ms-named.$pid.*.core" | wc -l)" 1
}

test_collect_several() {
	local first

	puppet plain
	first=$pid
	puppet plain huge
	run collect $first $pid --memory-search '70 75 70 70 65 74' -o evidence
	check_status 0
	check [ -d evidence/puppet.$first ]
	check [ -d evidence/puppet.$pid ]
	check_is "$(manifest path)" "$(files_of evidence)"
	run collect $first 999999999 -o partial
	check_status 3
	check_err 'no process matches "999999999"'
}

test_collect_compressed() {
	need_feature zstd
	need zstd
	puppet plain
	run collect $pid --compress zstd --pause freeze -o evidence
	check_status 0
	zstd -qt evidence/*/*.core.zst || fail "zstd"
	case $features in *verify*)
		run verify evidence
		check_status 0
		;;
	esac
}

# Without a dump, it is the search that tells what was read: on stdout, in the summary and the log.
test_search_that_is_partial() {
	puppet plain
	run collect $pid --memory-search '70 75 70 70 65 74' --max-process-size 4K -o text
	check_status 3
	check grep -qE 'skipped .*limit.*partial' out
	check grep -qE ' hits in 4096 bytes read: partial$' text/collection.log
	run collect $pid --memory-search '70 75 70 70 65 74' --max-process-size 4K -o records -f ndjson
	check_status 3
	check_is "$(record coverage read,status)" "$(printf '4096\tpartial')"
	cp records/summary.json summary
	check_is "$(grep -c '"type":"coverage".*"status":"partial"' summary)" 1
	# Where both are complete, once is enough.
	run collect $pid --memory-search '70 75 70 70 65 74' --dump-process-memory -o both -f ndjson
	check_status 0
	check_is "$(record coverage status)" complete
}

# Zero hits of what was not searched would read like a result.
test_hits_without_a_search() {
	puppet plain
	run collect $pid -o dumped
	check_status 0
	check_is "$(grep -h '"type":"summary"' dumped/*.json | grep -c '"hits":null')" 2
	run collect $pid --memory-search '01 23 45 67 89 AB CD EF 10 32 54 76' -o searched
	check_status 0
	check_is "$(grep -h '"type":"summary"' searched/*.json | grep -c '"hits":0')" 2
}

# A pause holds for all of it: what was found is what is in the dump, though the target counts on.
test_pause_is_for_all() {
	local how end

	puppet pair
	tell count
	end=$(printf 0x%x $((at_pair + 8)))
	for how in freeze fork; do
		run collect $pid --pause $how --memory-search '?? ?? ?? ?? 01 01 01 01' \
			--dump-process-memory --address $at_pair-$end -o $how
		check_status 0
		found=$(grep "\"address\":\"$at_pair\"" $how/*/hits.json |
			sed 's/.*"bytes":"\([^"]*\)".*/\1/')
		run read $how/*/*.core $at_pair 8 -f ndjson
		check_status 0
		check_is "$(record data bytes)" "$found"
	done
	check grep -qE '^State:\s+[SR]' /proc/$pid/status
}

# The log is read on terminals: no name of a process moves the cursor there.
test_log_of_hostile_names() {
	local name

	name=$(printf 'ms\033[1m\302\2331m\177\nx')
	cp "$PUPPET" "$name"
	PUPPET_PATH=$PWD/$name puppet plain
	run collect $pid -o evidence
	check_status 0
	check_is "$(tr -d '\n -~' <evidence/collection.log | od -An -tx1)" ""
	check_is "$(grep -vcE '^20[0-9T:-]*Z ' evidence/collection.log)" 0
}

test_existing_folder_is_kept() {
	puppet plain
	mkdir -p evidence
	echo precious >evidence/file
	run collect $pid -o evidence
	check_status 5
	check_err "never mixed"
	check_folder evidence file
	# Nor does --force mix what is there with what is collected.
	run collect $pid -o evidence --force
	check_status 5
	check_err "never mixed"
	check_folder evidence file
	check_is "$(cat evidence/file)" precious
	# An empty one will do.
	mkdir empty
	run collect $pid -o empty --force
	check_status 0
	cp -a empty before
	run collect $pid -o empty --force
	check_status 5
	check diff -r before empty
}

test_collect_without_a_folder_name() {
	puppet plain
	run collect $pid
	check_status 0
	check_is "$(find . -maxdepth 1 -type d -name "memsift-$(uname -n)-*Z" | wc -l)" 1
}

# Whoever reads what collect prints may be stopped by it for a while: it must not wait for that
# process then, as nobody would let it go on. The others' gaps make more to print than a pipe takes.
test_pause_of_the_reader() {
	cat >target.py <<-'END'
		import ctypes, os, sys
		libc = ctypes.CDLL(None, use_errno=True)
		libc.mmap.restype, page, guards = ctypes.c_void_p, 4096, int(sys.argv[1])
		libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
		libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
		size = guards * 2 * page
		memory = libc.mmap(None, size, 3, 0x22, -1, 0)
		ctypes.memset(memory, 1, size)
		for at in range(0, size, 2 * page):
		    if libc.madvise(memory + at, page, 102) != 0:  # MADV_GUARD_INSTALL, Linux 6.13
		        sys.exit(77)
		large = bytearray(os.urandom(1 << 20)) * int(sys.argv[2])
		print("ready", file=open(sys.argv[3], "w"))
		while sys.stdin.read(1000):
		    pass
		__import__("signal").pause()
	END
	need python3
	local all= ended=()
	mkfifo pipe
	for i in 1 2 3; do
		python3 target.py 3000 1 ready$i </dev/null &
		ended+=($!)
		all="$all,$!"
	done
	python3 target.py 1 400 ready4 <pipe &
	ended+=($!)
	all="$!$all"
	for i in $(seq 600); do
		[ -e ready1 ] && [ -e ready2 ] && [ -e ready3 ] && break
		kill -0 ${ended[0]} 2>/dev/null || break
		sleep 0.1
	done
	if [ ! -e ready1 ]; then
		: >pipe
		kill "${ended[@]}" 2>/dev/null
		skip "this kernel has no guard pages"
	fi
	exec 7>pipe
	while [ ! -e ready4 ]; do sleep 0.1; done
	timeout -s KILL $((60 * ${SLOWNESS:-1})) "$MEMSIFT" collect -p $all --pause freeze --threads 4 \
		-f ndjson -o evidence >&7 2>err
	status=$?
	exec 7>&-
	kill "${ended[@]}" 2>/dev/null
	[ $status = 0 ] || [ $status = 3 ] || fail "status $status"
	check_is "$(grep -c '"type":"coverage"' evidence/summary.json)" 4
}

# A target that cannot be stopped is searched as it runs, but not dumped.
test_pause_that_fails() {
	need strace
	puppet plain
	strace -qq -o trace -p $pid &
	local tracer=$!
	for _ in $(seq 100); do
		grep -q 'TracerPid:.*[1-9]' /proc/$pid/status && break
		sleep 0.1
	done
	grep -q 'TracerPid:.*[1-9]' /proc/$pid/status || skip "strace cannot trace here"
	run collect $pid --pause freeze --memory-search '70 75 70 70 65 74 2D 70 6C 61 69 6E' \
		--dump-process-memory -f ndjson -o evidence
	kill $tracer
	check_status 3
	check grep -q '"what":"pause"' out
	check [ "$(grep -c '"type":"hit"' evidence/puppet.$pid/hits.json)" -gt 0 ]
	check_is "$(find evidence -name '*.core')" ""
}

# Who was named and not found is part of what went wrong.
test_missing_target_is_in_the_evidence() {
	puppet plain
	run collect $pid ./nofile -o evidence
	check_status 3
	check grep -q 'Z ./nofile: cannot open ./nofile' evidence/collection.log
	check grep -q '"type":"error","pid":null,"what":"./nofile"' evidence/summary.json
}

test_collect_a_core() {
	puppet plain
	run dump $pid -o core
	run collect ./core -o evidence
	check_status 0
	check_is "$(find evidence -name '*.core' | wc -l)" 1
}

run_tests

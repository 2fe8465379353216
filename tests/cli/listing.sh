#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# ps, regions and modules, and how targets are chosen.
. "$(dirname "$0")/lib.sh"

test_ps() {
	local self=$BASHPID

	puppet plain
	run ps $pid
	check_status 0
	check_silent
	check grep -qE "^ *$pid +$self +[^ ]+ .* puppet .* $PUPPET plain" out
	run ps $pid -f ndjson
	check_status 0
	check_is "$(record process pid,ppid,name,exe,cmdline,user,arch,system)" "$(printf '%s\t' \
		$pid $self puppet "$PUPPET" "$PUPPET plain" "$(id -un)" "$(uname -m)")false"
	# The kernel counts lazily: its own two figures differ by some pages per core.
	rss=$(awk '/VmRSS/ { print $2 * 1024 }' /proc/$pid/status)
	difference=$(($(record process rss) - rss))
	check [ ${difference#-} -lt 1048576 ]
}

# Without a target, everything that /proc has; memsift itself is left out.
test_ps_lists_all() {
	puppet plain
	run ps -f ndjson
	check_status 0
	record process pid >pids
	check grep -qx 1 pids
	check grep -qx $pid pids
	check_is "$(record process cmdline | grep -c "^$MEMSIFT ps")" 0
	check_is "$(sort -n pids | uniq)" "$(cat pids)"
}

test_all_leaves_out_system_processes() {
	puppet plain
	run ps --all -f ndjson
	check grep -q "\"pid\":$pid," out
	check_is "$(record process system | grep -c true)" 0
	run ps --all --include-system-processes -f ndjson
	check grep -q "\"pid\":$pid," out
	check_is "$(record process pid | grep -cx 1)" 1
}

test_selection() {
	# Names that no other run of the tests has at the same time.
	local self=$BASHPID first one=ms1-$BASHPID two=ms2-$BASHPID

	cp "$PUPPET" "$one"
	cp "$PUPPET" "$two"
	PUPPET_PATH=$PWD/$one puppet plain
	first=$pid
	PUPPET_PATH=$PWD/$two puppet plain

	both=$(printf '%s\n' $first $pid | sort -n)
	chosen() {
		run ps -f ndjson "$@"
		check_status 0
		record process pid
	}
	check_is "$(chosen $one)" $first
	check_is "$(chosen -n $two)" $pid
	check_is "$(chosen -n $one,$two)" "$both"
	check_is "$(chosen -p $pid,$first)" "$both"
	check_is "$(chosen re:^ms[12]-$self)" "$both"
	check_is "$(chosen re:^ms[12]-$self --exclude $one)" $pid
	check_is "$(chosen re:^ms[12]-$self --exclude $pid)" $first
	check_is "$(chosen $pid $pid)" $pid
	check_is "$(chosen $self --tree | grep -xc -e $pid -e $first)" 2
	check_is "$(chosen --user "$(id -un)" --include-system-processes | grep -cx $pid)" 1
	check_is "$(chosen --user "$(id -u)" --include-system-processes | grep -cx $first)" 1
	run ps ${one%?}
	check_status 4
	check_err "no process matches \"${one%?}\""
}

# Options take lists, but a word is one name, and an expression may have commas.
test_names_with_commas() {
	local self=$BASHPID

	cp "$PUPPET" "ms,$self"
	PUPPET_PATH="$PWD/ms,$self" puppet plain
	for word in "ms,$self" "re:^ms,{1,2}$self\$"; do
		run ps "$word" -f ndjson
		check_status 0
		check_is "$(record process pid)" $pid
		run ps -n "${word//,/\\,}" -f ndjson
		check_status 0
		check_is "$(record process pid)" $pid
	done
	run ps "ms,nosuch$self"
	check_status 4
	check_err "no process matches \"ms,nosuch$self\""
}

# What ends a name must not be taken for what makes the next comma its own.
test_name_that_ends_in_a_backslash() {
	local self=$BASHPID first

	cp "$PUPPET" "ms$self\\"
	cp "$PUPPET" "mt$self"
	PUPPET_PATH="$PWD/ms$self\\" puppet plain
	first=$pid
	PUPPET_PATH="$PWD/mt$self" puppet plain
	run ps "ms$self\\" "mt$self" -f ndjson
	check_status 0
	check_is "$(record process pid | sort -n)" "$(printf '%s\n' $first $pid | sort -n)"
}

# What is there is done; what is not makes it partial.
test_one_target_of_two_is_missing() {
	puppet plain
	run ps $pid nosuchprogram
	check_status 3
	check_out puppet
	check_err 'no process matches "nosuchprogram"'
}

test_no_such_target() {
	run regions 999999999
	check_status 4
	check_err 'no process matches "999999999"'
	check_err 'memsift ps'
	run regions nosuchprogram
	check_status 4
	check_err 'no process matches "nosuchprogram"'
	run regions ./nosuchfile
	check_status 4
	check_err 'cannot open ./nosuchfile: No such file or directory'
	run ps --user nosuchuser
	[ $status = 2 ] || [ $status = 4 ] || fail "status $status"
	check_err nosuchuser
}

test_regions() {
	puppet plain guard adjacent holes threads untouched file named

	run regions $pid
	check_status 0
	check_silent
	check_out "$pid puppet"
	run regions $pid -f ndjson
	check_status 0
	cp out all
	check_is "$(record region start | wc -l)" "$(wc -l </proc/$pid/maps)"
	check_is "$(record region start)" "$(sed 's/-.*//; s/^0*/0x/' /proc/$pid/maps)"
	region $at_plain '"size":65536,"perm":"rw-p","kind":"heap"'
	region $at_plain '"resident":65536'
	region $at_untouched '"resident":0'
	region $at_file "\"path\":\"$PWD/puppet-file\""
	region $at_file '"kind":"mapped"'
	region "$(printf 0x%x $((at_adjacent + 8192)))" '"perm":"rwxp","kind":"code"'
	[ $at_named = 0x0 ] || region $at_named 'anon:puppet'
	check grep -q '"kind":"heap","path":"\[heap\]"' all
	check grep -q '"kind":"stack","path":"\[stack\]"' all
	check grep -q '"kind":"code","path":"[^"]*libc' all
}

# Many processes are looked into at a time, but no more than there are descriptors for.
test_regions_with_few_descriptors() {
	local several=
	for _ in $(seq 40); do
		puppet plain
		several="$several $pid"
	done
	ulimit -S -n 24
	run regions $several -f ndjson
	check_status 0
	check_silent
	check_is "$(record region pid | uniq | tr '\n' ' ')" "$(printf '%s\n' $several | sort -n | tr '\n' ' ')"
	ulimit -S -n 8
	run ps
	check_status 0
	check_silent
	ulimit -S -n 4
	run ps
	check_status 5
	check_err 'Too many open files'
}

# region START TEXT: the region's line in `all` has the text.
region() {
	grep "\"start\":\"$1\"" all | grep -qF "$2" || fail "region $1 has no $2"
}

# The stack of a thread is one, and the address of its local variable lies in it.
test_stack_of_a_thread() {
	puppet threads
	run regions $pid --memory-regions stack -f csv
	check_status 0
	record region start csv >starts
	record region end csv >ends
	paste starts ends | while read -r start end; do
		((at_threads >= start && at_threads < end)) && echo found
	done >found
	check_is "$(cat found)" found
}

test_filters() {
	puppet plain adjacent file

	listed() {
		run regions $pid -f ndjson "$@"
		check_status 0
		record region start
	}
	check_is "$(listed --address $at_plain-"$(printf %x $((at_plain + 1)))")" $at_plain
	check_is "$(listed --perm rwx)" "$(printf 0x%x $((at_adjacent + 8192)))"
	check_is "$(listed --path puppet-file)" $at_file
	check_is "$(listed --path "$PWD/*")" $at_file
	check_is "$(listed --path 'no*such')" ""
	check_is "$(listed --min-size 64K --max-size 64K | grep -cx $at_plain)" 1
	check_is "$(listed --max-size 63K | grep -cx $at_plain)" 0
	check_is "$(listed --memory-regions heap | grep -cx -e $at_plain -e $at_file)" 1
	check_is "$(listed --perm '?-?' | grep -cx -e $at_plain -e $at_file)" 1
}

test_modules() {
	puppet plain
	run modules $pid
	check_status 0
	check_out "$PUPPET"
	run modules $pid -f ndjson
	check_status 0
	record module path >paths
	check grep -qxF "$PUPPET" paths
	check grep -q '/libc' paths
	check grep -qx '\[vdso\]' paths
	base=$(awk -v p="$PUPPET" '$6 == p { sub("-.*", "", $1); print "0x" $1; exit }' /proc/$pid/maps)
	check_is "$(grep -F "\"path\":\"$PUPPET\"" out | sed 's/.*"base":"\([^"]*\)".*/\1/')" "$base"
	need readelf
	id=$(readelf -n "$PUPPET" 2>/dev/null | sed -n 's/.*Build ID: //p')
	check_is "$(grep -F "\"path\":\"$PUPPET\"" out | sed 's/.*"build_id":"\([^"]*\)".*/\1/')" "$id"
}

# A program whose file was removed still has its modules, read from its memory.
test_modules_of_a_removed_program() {
	cp "$PUPPET" ms-removed
	PUPPET_PATH=$PWD/ms-removed puppet plain
	rm ms-removed
	run modules $pid -f ndjson
	check_status 0
	check grep -q 'ms-removed' out
	run ps $pid -f ndjson
	check_is "$(record process exe_deleted)" true
}

# A process chooses its own name: what could move the cursor or fake a line never gets out raw.
test_hostile_names() {
	name=$(printf 'ms\033[31m\rx\nmemsift')
	cp "$PUPPET" "$name"
	PUPPET_PATH=$PWD/$name puppet plain
	for command in ps regions modules "search -t puppet-plain" dump; do
		# shellcheck disable=SC2086
		run $command $pid
		check_status 0
		! grep -q "$(printf '[\033\r]')" out err || fail "$command: raw control characters"
		! grep -q '^memsift: *$' out || fail "$command: a line of its own"
		! grep -qE '^memsift([: ]|$)' out || fail "$command: a line of its own"
	done
	check_is "$(find . -name '*.core' | grep -c "$(printf '[\033\r]')")" 0
	for format in json ndjson csv; do
		run ps $pid -f $format
		check_status 0
		record process pid $format >pid
		check_is "$(cat pid)" $pid
	done
	# A message has the name, too: as a target that is not there, and as one that fails.
	run ps "$(printf 'no\033[31m\nmemsift: all is well')"
	check_status 4
	! grep -q "$(printf '\033')" err || fail "raw escape on stderr"
	check_is "$(grep -c '^memsift: all is well' err)" 0
}

test_paths_with_newlines() {
	puppet newline suffix deleted
	run regions $pid
	check_status 0
	check_is "$(grep -c '^newline' out)" 0
	run regions $pid -f ndjson
	check_status 0
	grep -F '"path":"'"$PWD"'/puppet\nnewline"' out | grep -q '"deleted":false' ||
		fail "newline"
	grep -F '"path":"'"$PWD"'/puppet\\012backslash"' out | grep -q '"deleted":false' ||
		fail "backslash"
	grep -F "$PWD/puppet (deleted)" out | grep -q '"deleted":false' || fail "suffix"
	grep -F "$PWD/puppet-deleted" out | grep -q '"deleted":true' || fail "deleted"
	rm -f puppet*newline puppet*backslash 'puppet (deleted)'
}

run_tests

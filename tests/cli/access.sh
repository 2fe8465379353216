#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Whose memory may be read: other users, containers, processes that are gone or not there yet.
. "$(dirname "$0")/lib.sh"

# Runs memsift as nobody.
run_as_nobody() {
	timeout -k 5 120 setpriv --reuid 65534 --regid 65534 --clear-groups \
		./memsift "$@" >out 2>err
	status=$?
}

as_nobody() {
	need_root
	need setpriv
	cp "$MEMSIFT" "$PUPPET" .
	chmod 755 . memsift puppet
	setpriv --reuid 65534 --regid 65534 --clear-groups true 2>/dev/null ||
		skip "setpriv is not permitted here"
	run_as_nobody --version
	[ $status = 0 ] || skip "nobody cannot run programs here"
}

test_no_permission() {
	as_nobody
	puppet plain
	for command in "search -t puppet" regions modules dump; do
		# shellcheck disable=SC2086
		run_as_nobody $command $pid
		check_status 4
		check grep -qE "pid $pid( |:)" err
		check grep -qiE 'permi|another user|belongs' err
		check grep -qE 'root|CAP_SYS_PTRACE' err
	done
	run_as_nobody read $pid $at_plain 16
	check_status 4
	run_as_nobody ps $pid
	check_status 0
}

test_permission_for_some() {
	as_nobody
	local foreign

	puppet plain
	foreign=$pid
	PUPPET_AS="setpriv --reuid 65534 --regid 65534 --clear-groups" PUPPET_PATH=$PWD/puppet puppet plain
	run_as_nobody search $pid -t puppet-plain-needle
	[ $status != 4 ] || skip "nobody may not examine even processes of its own"
	check_status 0
	run_as_nobody search $pid $foreign -t puppet-plain-needle -f ndjson
	check_status 3
	check_is "$(record error pid)" $foreign
	check_is "$(record coverage pid)" $pid
	mkdir -m 777 dumps
	cd dumps || exit
	ln ../memsift .
	run_as_nobody dump $pid
	check_status 0
	run_as_nobody doctor
	check_status 0
	check_out "CAP_SYS_PTRACE"
}

# A program file with capabilities, as `doctor` recommends, can do all that root's can.
test_file_capabilities() {
	local watched

	as_nobody
	need setcap
	setcap cap_sys_ptrace=ep memsift 2>/dev/null || skip "files cannot have capabilities here"
	PUPPET_AS="setpriv --reuid 65534 --regid 65534 --clear-groups" PUPPET_PATH=$PWD/puppet puppet plain
	run_as_nobody search $pid -t puppet-plain-needle
	[ $status != 126 ] || skip "nobody may not run a program with capabilities here"
	check_status 0
	run watch $pid --rounds 1 --interval 10ms
	watched=$(cat out err | grep -oE 'by [a-z-]+ ?(tracking|bits)?')
	run_as_nobody watch $pid --rounds 1 --interval 10ms
	check_is "$(cat out err | grep -oE 'by [a-z-]+ ?(tracking|bits)?')" "$watched"
}

# Where Yama lets nobody read a process that is not its descendant, its map can still be listed.
# In a virtual machine of their own the tests may set that themselves.
test_yama() {
	local scope=/proc/sys/kernel/yama/ptrace_scope before

	as_nobody
	[ -f $scope ] || skip "this kernel has no Yama"
	before=$(cat $scope)
	[ ! "${OWN_MACHINE:-}" ] || echo 1 >$scope
	[ "$(cat $scope)" = 1 ] || skip "Yama forbids nothing here"
	PUPPET_AS="setpriv --reuid 65534 --regid 65534 --clear-groups" PUPPET_PATH=$PWD/puppet puppet plain
	run_as_nobody search $pid -t puppet-plain-needle
	check_status 4
	check_err "kernel.yama.ptrace_scope is 1"
	run_as_nobody regions $pid -f ndjson
	check_status 0
	check_is "$(record region start)" "$(sed 's/-.*//; s/^0*/0x/' /proc/$pid/maps)"
	[ ! "${OWN_MACHINE:-}" ] || echo "$before" >$scope
}

# Memory that was never read by name: untouched pages of files need no more than what nobody has.
test_unprivileged_reads_files() {
	as_nobody
	PUPPET_AS="setpriv --reuid 65534 --regid 65534 --clear-groups" PUPPET_PATH=$PWD/puppet
	mkdir -m 777 there
	cd there || exit
	ln ../memsift .
	puppet file private
	run_as_nobody search $pid -t puppet-file-needle -f ndjson
	[ $status != 4 ] || skip "nobody may not examine even processes of its own"
	[ $status = 0 ] || [ $status = 3 ] || fail "status $status"
	check grep -q '"type":"coverage"' out
}

test_output_folder_without_permission() {
	as_nobody
	mkdir -m 755 closed
	PUPPET_AS="setpriv --reuid 65534 --regid 65534 --clear-groups" PUPPET_PATH=$PWD/puppet puppet plain
	run_as_nobody search $pid -t puppet-plain
	[ $status != 4 ] || skip "nobody may not examine even processes of its own"
	run_as_nobody search $pid -t puppet-plain -o closed/file
	check_status 5
	check_err closed
	run_as_nobody dump $pid -o closed/file
	check_status 5
	check_err closed
}

# What may not be read does not match, but is not said to be changed without a word.
test_verify_without_permission() {
	need_feature verify
	as_nobody
	puppet plain
	run collect $pid -o evidence
	check_status 0
	chmod -R a+rX evidence
	chmod 600 evidence/collection.log
	run_as_nobody verify evidence
	check_status 3
	check_err "cannot open collection.log to verify it: permission denied"
	check_is "$(wc -l <err)" 1
	run_as_nobody verify evidence -f ndjson
	check_is "$(record error what)" collection.log
}

# A process in a mount and pid namespace of its own, whose program is nowhere outside of it.
test_container() {
	need_root
	need unshare
	unshare -mpf true 2>/dev/null || skip "unshare is not permitted here"
	mkdir inside outside
	cp "$PUPPET" inside/ms-boxed
	cat >enter <<-'END'
		#!/bin/sh
		mount --bind inside outside && exec outside/ms-boxed "$@"
	END
	chmod +x enter
	PUPPET_AS="unshare -mpf --kill-child --mount-proc" PUPPET_PATH=./enter puppet plain threads file
	[ ! -e outside/ms-boxed ] || fail "the mount is seen outside"
	boxed=$(child_of $pid)
	[ "$boxed" ] || fail "there is no child"
	run search $boxed -t puppet-stack-needle -f ndjson
	check_status 0
	check_is "$(record hit address)" $at_threads
	run modules $boxed -f ndjson
	check_status 0
	check_is "$(record module name | grep -c ms-boxed)" 1
	run search $boxed -t puppet-file-needle -f ndjson --path puppet-file
	check_status 0
	[ "$(record hit address | wc -l)" -gt 1000 ] || fail "the untouched file was not read"
	run dump $boxed --pause freeze -o core
	check_status 0
	run search ./core -t puppet-stack-needle
	check_is "$(hits)" 1
	run ps ms-boxed
	check_status 0
}

test_inside_a_container() {
	need_root
	need unshare
	unshare -mpf --mount-proc true 2>/dev/null || skip "unshare is not permitted here"
	cat >inside <<-END
		#!/bin/bash
		"$PUPPET" plain <>input >output &
		until grep -q ready output; do sleep 0.05; done
		"$MEMSIFT" ps -f ndjson >ps
		"$MEMSIFT" search \$! -t puppet-plain-needle -f ndjson >out
		echo \$? >status
		"$MEMSIFT" doctor >doctor
	END
	mkfifo input
	unshare -mpf --kill-child --mount-proc bash ./inside 2>err
	check_is "$(cat status)" 0
	[ "$(record hit address | wc -l)" -gt 3000 ] || fail "not found"
	cp ps out
	[ "$(record process pid | sort -n | tail -1)" -lt 100 ] || fail "pids from outside"
	check grep -qE '^namespaces +limited' doctor
}

# With the /proc of a pid namespace further out, a number there is somebody else's here: who has it
# is not stopped, let alone made to work for memsift.
test_proc_of_another_namespace() {
	need_root
	need unshare
	unshare -mpf --mount-proc true 2>/dev/null || skip "unshare is not permitted here"
	# A sanitizer that looks for leaks needs its own /proc.
	export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
	cat >outer <<-END
		#!/bin/bash
		"$PUPPET" plain <>input >output &
		export target=\$!
		until grep -q ready output; do sleep 0.05; done
		unshare -pf --kill-child bash ./inner
	END
	cat >inner <<-END
		#!/bin/bash
		for i in {1..9}; do sleep 1000 & done
		# Here it is one of those that has the number.
		kill -0 \$target || exit
		for how in freeze fork; do
			"$MEMSIFT" dump \$target --pause \$how -o core.\$how 2>>err.dump
			echo \$? >>statuses
		done
		"$MEMSIFT" watch \$target --rounds 1 --interval 10ms 2>err.watch
		echo \$? >>statuses
		"$MEMSIFT" dump \$target -o core
		"$MEMSIFT" search \$target -t puppet-plain-needle -f ndjson >out
		echo \$? >>statuses
	END
	mkfifo input
	unshare -mpf --kill-child --mount-proc bash ./outer >log 2>&1
	[ -s statuses ] || skip "no process inside has the number"
	cp out found
	cp err.dump err
	check_is "$(cat statuses | tr '\n' ' ')" "2 2 0 0 "
	check_is "$(grep -c 'cannot be stopped: /proc is that of another pid namespace' err)" 2
	run doctor
	! grep -q '^change tracking *ok' out || check grep -q 'another pid namespace' err.watch
	[ ! -e core.freeze ] && [ ! -e core.fork ] || fail "a core of who knows whom"
	cp found out
	[ "$(record hit address | wc -l)" -gt 3000 ] || fail "not found"
	run search ./core -t puppet-plain-needle
	check_status 0
	[ "$(hits)" -gt 3000 ] || fail "not in the core"
}

# A process whose first thread has ended goes on, and so does what is read of it.
test_leader_ended() {
	puppet leader plain
	# Until it has ended, things are still mapped and unmapped.
	wait_for "the first thread ends" grep -q ') Z' /proc/$pid/stat
	run search $pid -t puppet-plain-needle
	[ $status = 0 ] || [ $status = 4 ] || fail "status $status"
	if [ $status = 0 ]; then
		[ "$(hits)" -gt 3000 ] || fail "$(hits) hits"
	else
		check [ -s err ]
	fi
}

test_kernel_thread() {
	kernel=$(awk '$1 == "PPid:" && $2 == 2 { print FILENAME; exit }' /proc/[0-9]*/status |
		cut -d/ -f3)
	[ "$kernel" ] || skip "no kernel thread is to be seen here"
	run regions "$kernel"
	[ $status = 2 ] || [ $status = 4 ] || fail "status $status"
	check_err "is a kernel thread: it has no memory of its own"
	check_is "$(wc -l <err)" 1
	[ "$(cat /proc/2/comm)" = kthreadd ] || return 0
	# Its children were not named.
	for command in regions modules "search -t needle"; do
		run $command 2 --tree
		[ $status = 2 ] || [ $status = 4 ] || fail "status $status"
		check grep -qE '^memsift: [0-9]+ kernel threads? left out: ' err
		check_err "pid 2 (kthreadd) is a kernel thread: it has no memory of its own"
		check_is "$(wc -l <err)" 2
	done
	run ps 2 --tree -f csv
	check_status 0
	[ "$(wc -l <out)" -gt 2 ] || fail "ps lists them"
	check_silent
}

test_zombie() {
	bash -c 'sleep 0.1 & exec sleep 1000' &
	parent=$!
	pids="${pids:-} $parent"
	disown $parent
	zombie_is_there() {
		zombie=$(child_of $parent) && grep -q '^State:.*Z' /proc/"$zombie"/status
	}
	wait_for "a zombie" zombie_is_there
	zombie=$(child_of $parent)
	for command in "search -t x" regions dump; do
		# shellcheck disable=SC2086
		run $command $zombie
		check_status 4
		check_err "pid $zombie"
		check_is "$(wc -l <err)" 1
	done
}

run_tests

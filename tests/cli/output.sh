#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Where output goes, and what is left when it cannot go there or the job is interrupted.
. "$(dirname "$0")/lib.sh"

test_output_file() {
	puppet plain
	umask 0
	run search $pid -t puppet-plain -f json -o result.json
	check_status 0
	check_is "$(cat out)" ""
	check_is "$(stat -c %a result.json)" 600
	cp result.json out
	record hit address json >hits
	check [ -s hits ]
}

# A file without a name gets one by way of /proc; where there is none, it had one all the time.
test_output_without_proc() {
	need_root
	need unshare
	can_do_without_proc
	echo needle >image
	for force in "" --force; do
		echo "umount -l /proc && exec \"$MEMSIFT\" search ./image -t needle -o result $force" >without
		unshare -m bash ./without >out 2>err
		check_is $? 0
		check grep -q needle result
		check_is "$(stat -c %a result)" 600
	done
	check_folder . err image out result without
}

test_existing_file_is_kept() {
	puppet plain
	echo precious >file
	for command in "search -t puppet-plain" regions dump; do
		# shellcheck disable=SC2086
		run $command $pid -o file
		check_status 5
		check_err "file"
		check_err "--force"
		check_is "$(cat file)" precious
	done
	run regions $pid -o file --force
	check_status 0
	check grep -q puppet file
}

test_symbolic_links_are_not_followed() {
	puppet plain
	echo precious >victim
	ln -s victim link
	ln -s nowhere dangling
	mkdir folder
	ln -s folder path
	for command in "search -t puppet-plain" dump; do
		# shellcheck disable=SC2086
		run $command $pid -o link
		check_status 5
		# shellcheck disable=SC2086
		run $command $pid -o dangling
		check_status 5
		[ ! -e nowhere ] || fail "written through a dangling link"
		# shellcheck disable=SC2086
		run $command $pid -o link --force
		check_is "$(cat victim)" precious
		rm -f link
		ln -s victim link
	done
}

# Neither is what -o says a link that is followed, nor are slashes behind it a way round.
test_links_to_folders_are_not_followed() {
	puppet plain
	mkdir folder
	ln -s folder link
	ln -s . way
	for output in link link/ link//; do
		for command in collect dump "dump --as raw" "dump --region $at_plain:100" snapshot \
			"dump $PPID" "collect --force" "dump --force"; do
			# shellcheck disable=SC2086
			run $command $pid -o $output
			check_status 5
			check_err "link is a symbolic link, which is not followed"
			check_is "$(ls -A folder)" ""
			check [ -L link ]
		done
	done
	run dump $pid -o way/folder/
	check_status 0
	check_is "$(find folder -name "puppet.$pid.*.core" | wc -l)" 1
}

test_folder_is_missing() {
	puppet plain
	run search $pid -t puppet-plain -o nosuch/file
	check_status 5
	check_err "nosuch"
	run dump $pid -o nosuch/file
	check_status 5
	check_err "nosuch"
}

# Makes `disk`, a file system with room for one megabyte.
small_disk() {
	need_root
	mkdir disk
	mount -t tmpfs -o size=1m tmpfs disk 2>/dev/null || skip "mount is not permitted here"
	mounted=$PWD/disk
}

test_full_disk() {
	small_disk
	puppet plain huge
	for command in "dump" "dump --as raw" "search -t puppet" "search -t puppet -f ndjson"; do
		# shellcheck disable=SC2086
		run $command $pid -o disk/file
		check_status 5
		check grep -qi "no space left" err
		case $command in
		"dump --as raw") rm -rf disk/file ;;
		*) check_is "$(ls -A disk)" "" ;;
		esac
	done
	run collect $pid -o disk/evidence
	check_status 5
	check grep -qi "no space left" err
	check_is "$(find disk -name '*.tmp*' -o -name '.*' | wc -l)" 0
}

# A folder into which nothing went goes, too, if it was not there before.
test_no_empty_folder_is_left() {
	puppet plain
	mkdir before
	for command in "dump --as raw" "dump --as raw $PPID" "dump $PPID" "snapshot $PPID"; do
		for folder in new before; do
			# shellcheck disable=SC2086
			(ulimit -f 1; run $command $pid --min-size 64K -o $folder; echo $status >status)
			check_is "$(cat status)" 5
			check_is "$(find . -mindepth 1 -type d)" ./before
			check_is "$(ls -A before)" ""
		done
	done
	run dump $pid --as raw --min-size 1T -o nothing
	check_status 0
	check_is "$(ls -A nothing)" ""
}

test_full_stdout() {
	[ -c /dev/full ] || skip "no /dev/full"
	puppet plain
	"$MEMSIFT" search $pid -t puppet-plain >/dev/full 2>err
	status=$?
	check_status 5
	check grep -qi "no space left" err
	check_is "$(wc -l <err)" 1
}

# Help is output like any other: a completion that was not written is no success.
test_help_that_cannot_be_written() {
	[ -c /dev/full ] || skip "no /dev/full"
	for arguments in help "help search" "search --help" "help --as bash" --version; do
		# shellcheck disable=SC2086
		"$MEMSIFT" $arguments >/dev/full 2>err
		status=$?
		check_status 5
		check grep -qi "cannot write to stdout: no space left" err
		# shellcheck disable=SC2086
		"$MEMSIFT" $arguments >&- 2>err
		status=$?
		check_status 5
	done
	"$MEMSIFT" help --as man 2>err | true
	check_is "${PIPESTATUS[0]}" 0
	check_silent
}

# `| head -1` ends it quietly.
test_closed_pipe() {
	puppet huge
	for format in text json ndjson csv; do
		"$MEMSIFT" search $pid -t puppet-huge -f $format 2>err | head -1 >first
		status=${PIPESTATUS[0]}
		check_status 0
		check_silent
		check_is "$(wc -l <first)" 1
	done
	"$MEMSIFT" read --raw $pid $at_huge 4M 2>err | head -c 1 >first
	check_is "${PIPESTATUS[0]}" 0
	check_silent
}

test_closed_stdout() {
	puppet plain
	"$MEMSIFT" search $pid -t puppet-plain >&- 2>err
	status=$?
	check_status 5
}

# ---- Interrupts ----

catches_signals() {
	[ $((0x$(awk '/SigCgt/ { print $2 }' /proc/"$1"/status) & 2)) != 0 ]
}

has_child() {
	[ "$(child_of "$1")" ]
}

# interrupt SIGNAL ARGUMENTS...: starts it, sends the signal once it runs, and waits for it.
interrupt() {
	local signal=$1 job
	shift

	timeout -k 5 60 "$MEMSIFT" "$@" >out 2>err &
	job=$!
	wait_for "memsift runs" has_child $job
	job=$(child_of $job)
	wait_for "memsift catches signals" catches_signals "$job"
	sleep 0.4
	kill -"$signal" "$job" || fail "it had ended: $(cat err)"
	wait %%
	status=$?
}

make_large() {
	printf needle >large
	truncate -s 500G large 2>/dev/null || skip "no sparse files here"
}

test_interrupted_search() {
	make_large
	for format in json ndjson csv; do
		interrupt INT search ./large -t needle -f $format
		check_status 130
		record hit address $format >hits
		check_is "$(cat hits)" 0x0
		record summary status $format >state
		check_is "$(cat state)" interrupted
	done
	interrupt TERM search ./large -t needle -f json -o found.json
	check_status 130
	cp found.json out
	check_is "$(record hit address json)" 0x0
	check_folder . err found.json hits large out state
}

test_interrupted_dump() {
	make_large
	mkdir dumps
	cd dumps || exit
	interrupt INT dump ../large -o core
	check_status 130
	check_folder . core err out
	whole_core core
	need_feature zstd
	need zstd
	interrupt INT dump ../large --compress zstd -o core.zst
	check_status 130
	check_folder . core core.zst err out
	timeout 60 zstd -qt core.zst || fail "the compressed core is not whole, or endless"
}

# What was dumped before an interrupt is a whole core, which says what is not in it.
whole_core() {
	run search ./"$1" -t needle -f ndjson
	check_status 3
	check_is "$(record hit address)" 0x0
	check_is "$(record coverage status)" partial
	check grep -q '"reason":"deadline"' out
}

test_interrupted_collect() {
	need_feature verify
	make_large
	interrupt INT collect ./large --memory-search '6e 65 65' -o evidence
	check_status 130
	check_is "$(find evidence -name '.*' | wc -l)" 0
	run verify evidence
	check_status 0
}

# Whoever says nohup means it.
test_ignored_hangup_stays_ignored() {
	local job

	truncate -s 1G large
	trap '' HUP
	"$MEMSIFT" search ./large -t needle >out 2>err &
	job=$!
	wait_for "memsift catches signals" catches_signals $job
	kill -HUP $job
	wait $job
	status=$?
	check_status 0
}

test_quiet() {
	puppet plain
	run search $pid -t puppet-plain --max-hits 1 -q
	check_status 3
	check_silent
}

# On a terminal, a job that takes long shows how far it is; elsewhere nobody sees that.
test_progress() {
	need script
	truncate -s 500G large 2>/dev/null || skip "no sparse files here"
	run search ./large -t needle --timeout 1500ms
	check_status 3
	! grep -q '%' err || fail "progress, though stderr is no terminal"
	script -qec "$MEMSIFT search ./large -t needle --timeout 2s" /dev/null </dev/null >out
	check grep -q '% ' out
	# A dump finds nothing, however many pieces it is made of.
	script -qec "$MEMSIFT dump ./large -o core --timeout 2s" /dev/null </dev/null >out
	check grep -q '% ' out
	! grep -q ' hits' out || fail "a dump with hits"
	ln -s large other
	script -qec "$MEMSIFT collect ./large ./other -o evidence --timeout 2s" /dev/null </dev/null >out
	check grep -q '% .*process 1 of 2' out
	script -qec "$MEMSIFT search ./large -t needle --timeout 1500ms -q" /dev/null </dev/null >out
	! grep -q '[0-9]% ' out || fail "progress, though quiet"
}

run_tests

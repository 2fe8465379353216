#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# scan: values that a program of ours changes as it is told. SCAN_TARGET names that program.
. "$(dirname "$0")/lib.sh"

: "${SCAN_TARGET:?names the program with the values}"
SCAN_TARGET=$(realpath "$SCAN_TARGET")

# target: starts it. A line said to it has had its effect when this is back.
target() {
	PUPPET_PATH=$SCAN_TARGET puppet
	answers=0
}

change() {
	tell "$1"
	answers=$((answers + 1))
	wait_for "the target has done as told" answered
}

answered() {
	[ "$(grep -c '^done$' output.$puppets)" = $answers ]
}

# The addresses listed in the text on stdout.
addresses() {
	sed -n 's/^\(0x[0-9a-f]*\) .*/\1/p' out
}

test_from_value_to_address() {
	target
	change "health 777123"
	run scan $pid --value 777123
	check_status 0
	check_silent
	check_out "read"
	check_is "$(stat -c %a memsift-$pid.scan)" 600
	change "health 777120"
	run scan $pid --next decreased
	check_status 0
	check_out "2 matches"
	change "health 777110"
	run scan $pid --next '- 10' --list
	check_status 0
	check_is "$(addresses)" "$(printf '%s\n' "$at_health" "$at_copy")"
	run scan $pid --next 'unchanged'
	check_out "2 matches"
	run scan $pid --next '> 777110'
	check_status 0
	check_out "0 matches in what was read"
	run scan $pid --undo --list
	check_status 0
	check_out "2 matches"
	check_out 777110
	run scan $pid --undo
	check_status 2
	check_err "nothing to undo"
	check_folder . input.1 output.1 out err memsift-$pid.scan
}

test_unknown_value() {
	target
	change "speed 1.25"
	run scan $pid --type f32 --unknown --compress zstd
	case $features in
	*zstd*) check_status 0 ;;
	*) check_status 2 && return ;;
	esac
	change "speed 2.5"
	run scan $pid --next '+ 1.25'
	check_status 0
	run scan $pid --next '2.4..2.6' --list -f ndjson
	check_status 0
	check_is "$(record value address)" "$at_speed"
	check_is "$(record value value)" 2.5
}

test_records() {
	target
	change "health 5550123"
	for format in json ndjson csv; do
		run scan $pid --value 5550123 --list -f $format --session s
		check_status 0
		change "health 5550124"
		run scan $pid --next '= 5550124' --list -f $format --session s
		check_status 0
		check_is "$(record value address $format | tr '\n' ' ')" "$at_health $at_copy "
		check_is "$(record value previous $format | tr '\n' ' ')" "5550124 5550124 "
		check_is "$(record matches count $format)" 2
		check_is "$(record coverage status $format)" complete
		change "health 5550123"
	done
	run scan $pid --list --max-hits 1 --session s
	check_status 3
	check_err "1 of 2 matches are listed"
	check_is "$(addresses)" "$at_health"
	run scan $pid --count --session s
	check_status 0
	check_out "2 matches"
}

test_bytes_and_unaligned() {
	target
	# Not the line it was told by, which may still be in its heap.
	local page
	page=$(printf '0x%x-0x%x' $at_health $((at_health + 4096)))
	change "name qzjxkvwy"
	# "zjx", that is: not aligned to anything, and taken as it is.
	run scan $pid --type bytes --value '7a 6a 78' --address $page --list
	check_status 0
	check_is "$(addresses)" "$(printf '0x%x' $((at_name + 1)))"
	change "name qXjxkvwy"
	run scan $pid --next changed --list
	check_is "$(addresses)" "$(printf '0x%x' $((at_name + 1)))"
	run scan $pid --type u16 --unaligned --value 0x786a --address $page --list
	check_is "$(addresses)" "$(printf '0x%x' $((at_name + 2)))"
}

test_memory_taken_away() {
	target
	change "health 9998877"
	run scan $pid --value 9998877 --memory-regions heap
	check_out "2 matches"
	change drop
	run scan $pid --next unchanged --list
	check_status 0
	check_out "1 match; 1 lost"
	check_is "$(addresses)" "$at_health"
}

test_another_process() {
	target
	run scan $pid --value 1 --session s
	check_status 0
	first=$pid
	target
	run scan $pid --next changed --session s
	check_status 2
	check_err "the scan is of the process with the pid $first, not of $pid"
	end_puppet
	run scan $pid --list --session s
	check_status 4
}

test_limits() {
	target
	change "health 9998877"
	run scan $pid --value 9998877 --session s
	check_status 0
	run scan $pid --next unchanged --session s --max-memory-size 1b
	check_status 2
	check_err "more than the limit"
	run scan $pid --count --session s
	check_no_out "0 matches"
	run scan $pid --value 9998877 --session s --max-memory-size 64K
	check_status 3
}

test_full_disk() {
	need_root
	mkdir disk
	mount -t tmpfs -o size=256k tmpfs disk 2>/dev/null || skip "mount is not permitted here"
	mounted=$PWD/disk
	target
	change "health 9998877"
	run scan $pid --value 9998877 --session disk/s
	check_status 0
	cp disk/s before
	run scan $pid --unknown --session disk/s
	check_status 5
	check grep -qi "no space left" err
	check cmp -s disk/s before
	check_is "$(ls -A disk)" s
	run scan $pid --next unchanged --session disk/s
	check_status 0
}

test_wrong_use() {
	target
	run scan $pid
	check_status 2
	check_err "say what to do"
	run scan $pid --next changed
	check_status 2
	check_err "there is no session memsift-$pid.scan"
	run scan $pid --value 1 --unknown
	check_status 2
	run scan $pid --value 300 --type u8
	check_status 2
	check_err "does not fit in the type u8"
	run scan $pid --value 1 --type i7
	check_status 2
	check_err "none of the types"
	run scan $pid --value 1 --tolerance 1x --type f32
	check_status 2
	run scan $pid --value 1 --session s
	run scan $pid --next bigger --session s
	check_status 2
	check_err "at character 1"
	run scan $pid --list --type u8 --session s
	check_status 2
	run scan $pid $$ --count --session s
	check_status 2
	echo precious >mine
	run scan $pid --value 1 --session mine
	check_status 5
	check_is "$(cat mine)" precious
	run scan $pid --value 1 --session nosuch/folder
	check_status 5
	run scan $pid --list --session mine
	check_status 4
	check_err "not a session"
}

# prompt LINE...: types lines at a terminal and keeps what is shown in out.
prompt() {
	printf '%s\n' "$@" >lines
	MEMSIFT=$MEMSIFT timeout 60 python3 - "${prompt_args[@]}" >out 2>err <<'END'
import os, pty, select, sys

pid, terminal = pty.fork()
if pid == 0:
    os.environ["TERM"] = "dumb"
    os.execv(os.environ["MEMSIFT"], ["memsift"] + sys.argv[1:])

def until_prompt(shown=b""):
    while not shown.endswith(b"> "):
        ready = select.select([terminal], [], [], 20)[0]
        try:
            more = os.read(terminal, 4096) if ready else b""
        except OSError:
            more = b""
        if not more:
            break
        shown += more
    sys.stdout.write(shown.decode(errors="replace").replace("\r", ""))
    sys.stdout.flush()

until_prompt()
for line in open("lines"):
    if line.startswith("!"):
        os.system(line[1:])
        continue
    os.write(terminal, line.encode())
    until_prompt()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
	status=$?
}

test_prompt() {
	need python3
	target
	change "health 6543210"
	prompt_args=(scan $pid --session s)
	prompt help "= 6543210" "!echo health 6543217 >input.1; sleep 0.3" "+ 7" "list 1" count \
		"nonsense" undo "save copy" quit
	check_status 0
	check_out "what happened to it"
	check_out "2 matches"
	check_out "2> "
	check_out "$at_health"
	check_out "1 of 2 matches are listed"
	check_out "this is none of changed"
	run scan $pid --count --session copy
	check_no_out "0 matches"
	# The session can be taken up again.
	prompt "= 6543217" quit
	check_status 0
	check_out "2> "
}

run_tests

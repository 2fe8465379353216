#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# watch: what is told, by either method, and how it all ends.
. "$(dirname "$0")/lib.sh"

# Starts a target whose values can be set, and memsift watching it in the background.
watched() {
	rm -f out err
	PUPPET_PATH=$SCAN_TARGET puppet
	"$MEMSIFT" watch $pid --interval 50ms --only "$at_health-$(printf '0x%x' $((at_health + 4096)))" \
		"$@" >out 2>err &
	watcher=$!
	wait_for "it watches" grep -q 'watching' err
}

finish() {
	wait $watcher
	status=$?
}

test_methods() {
	need python3
	for method in auto compare; do
		rm -f input.1 output.1
		puppets=0
		watched --method $method -f ndjson
		echo "health 1000" >input.1
		wait_for "the change is told" grep -q '"change":"write"' out
		kill -INT $watcher
		finish
		check_status 130
		check_is "$(record change address,size,old,new,change | tr '\t' ' ' | head -1)" \
			"$at_health 2 0000 e803 write"
		check_is "$(record summary hits,status | tr '\t' ' ')" "1 interrupted"
		check_is "$(record meta command)" watch
	done
}

test_rounds_and_text() {
	watched --rounds 40 --color never
	echo "name abcdefg" >input.1
	finish
	check_status 0
	golden watch
}

test_formats() {
	need python3
	for format in json csv; do
		rm -f input.1 output.1
		puppets=0
		watched --rounds 40 -f $format
		echo "health 7" >input.1
		finish
		check_status 0
		check_is "$(record change size,old,new $format | tr '\t' ' ' | tail -1)" "1 00 07"
	done
}

test_stats() {
	need python3
	watched --stats -f ndjson
	for value in 1 2 3 4 5 6; do
		echo "health $value" >input.1
		wait_for "the change is told" grep -q "\"new\":\"0$value\"" out
	done
	kill -TERM $watcher
	finish
	check_status 130
	check_is "$(record change_stat scope,size,count,pattern | tr '\t' ' ')" "page 4096 6 null
value 4 6 counter"
}

test_target_ends() {
	watched -f ndjson
	kill $pid
	finish
	check_status 3
	check grep -q '"type":"summary"' out
	check grep -q '"status":"partial"' out
}

test_closed_pipe() {
	PUPPET_PATH=$SCAN_TARGET puppet
	# The target never changes: that nobody reads any more must show by itself.
	timeout -k 5 60 "$MEMSIFT" watch $pid --only "$at_health-$(printf '0x%x' $((at_health + 16)))" \
		--interval 50ms -f ndjson -q 2>err | head -1 >out
	check_is "${PIPESTATUS[0]}" 0
	check grep -q '"type":"meta"' out
}

test_limits() {
	watched --timeout 300ms
	finish
	check_status 0
	run watch $pid --rounds 2 --interval 20ms --max-memory-size 256K
	check_status 0
	check_err "leaves no room"
}

test_on_change() {
	watched --on-change 'echo "$MEMSIFT_PID $MEMSIFT_CHANGES $MEMSIFT_ADDRESS" >>said'
	echo "health 5" >input.1
	wait_for "the command has run" test -s said
	kill -INT $watcher
	finish
	check_status 130
	check_is "$(cat said)" "$pid 1 $at_health"
}

test_dump_on_exec() {
	PUPPET_PATH=$SCAN_TARGET puppet
	"$MEMSIFT" watch $pid --interval 50ms --dump-on exec -f ndjson >out 2>err &
	watcher=$!
	wait_for "it watches" grep -q 'watching' err
	echo "exec" >input.1
	wait_for "the region is dumped" grep -q 'was dumped' err
	kill -INT $watcher
	finish
	check_status 130
	check grep -q '"change":"protect"' out
	set -- *.bin
	check_is "$(stat -c %s "$1")" 4096
	check_is "$1" "scan-target.$pid.$at_code-$(printf '0x%x' $((at_code + 4096))).bin"
}

test_wrong_use() {
	run watch
	check_status 2
	run watch $$ --method sideways
	check_status 2
	check_err "none of auto, dirty, compare"
	run watch $$ --dump-on write
	check_status 2
	run watch $$ --only 12
	check_status 2
	run watch 999999999
	check_status 4
}

# What is no live process cannot be tracked, and is compared.
test_falls_back() {
	head -c 8192 /dev/zero >image.raw
	run watch ./image.raw --rounds 1 --interval 10ms
	check_status 0
	check_err "by comparing: writes are told only of live processes"
	run watch ./image.raw --rounds 1 --method dirty
	check_status 2
}

test_screen() {
	need_feature screen
	need tmux
	PUPPET_PATH=$SCAN_TARGET puppet
	tmux -L memsift-$$ -f /dev/null new-session -d -x 100 -y 30 \
		"$MEMSIFT watch $pid --interval 50ms 2>err; echo status \$? >ended"
	wait_for "the screen is there" eval "tmux -L memsift-$$ capture-pane -p | grep -q 'LATEST CHANGES'"
	echo "name hello" >input.1
	wait_for "the change is shown" eval "tmux -L memsift-$$ capture-pane -p | grep -q '68656c6c6f'"
	tmux -L memsift-$$ capture-pane -p >out
	check_out "memsift watch  scan-target ($pid)"
	check_out "REGIONS"
	tmux -L memsift-$$ send-keys q
	wait_for "it ends" test -s ended
	check_is "$(cat ended)" "status 0"
	tmux -L memsift-$$ kill-server 2>/dev/null || true
}

run_tests

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
	# How much is read is up to the way in which the kernel tells of writes.
	sed -i 's/: [0-9.]*K of 1 process/: SIZE of 1 process/' out
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

# However memsift ends, the kernel lifts the protection of the target's memory.
test_killed() {
	PUPPET_PATH=$SCAN_TARGET puppet
	"$MEMSIFT" watch $pid --interval 50ms >out 2>err &
	watcher=$!
	wait_for "it watches" grep -q 'watching' err
	grep -q 'by dirty tracking' err || skip "this kernel does not track writes"
	check grep -q '^VmFlags:.* uw' /proc/$pid/smaps
	kill -9 $watcher
	wait_for "the protection is gone" eval "! grep -q '^VmFlags:.* uw' /proc/$pid/smaps"
	check grep -q '^TracerPid:.0$' /proc/$pid/status
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
	check_status 3
	run watch $pid --rounds 2 --interval 20ms --max-memory-size 256K -f ndjson
	check_status 3
	check grep -q '"status":"partial"' out
	check_err "leaves no room"
	run watch $pid --rounds 1 --interval 20ms --only 0-1
	check_err "watching 0 KiB"
	run watch $pid --rounds 2 --interval 20ms --max-process-size 256K
	check_status 3
	check_err "leaves no room"
	run watch $pid --rounds 2 --interval 20ms --max-process-size 256K --max-memory-size 1G
	check_status 3
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
	echo "noexec" >input.1
	wait_for "it is writable again" grep -q '"change":"protect".*"perm":"rw-' out
	echo "exec" >input.1
	wait_for "it is dumped again" grep -q 'round[0-9]*\.0x.*was dumped' err
	kill -INT $watcher
	finish
	check_status 130
	rm "scan-target.$pid.round"*.bin
	check grep -q '"change":"protect"' out
	set -- *.bin
	check_is "$(stat -c %s "$1")" 4096
	check_is "$1" "scan-target.$pid.$at_code-$(printf '0x%x' $((at_code + 4096))).bin"
}

# Whatever watches and forks it, a busy program goes on and stays right.
harass() {
	for _ in 1 2 3; do
		run watch $pid --rounds 3 --interval 50ms -f ndjson -q
		check_status 0
		tail -n 1 out | grep -q '"status":"complete"' || fail "$(tail -n 1 out)"
		run dump $pid --pause fork --force -o core
		[ $status = 0 ] || [ $status = 3 ] || fail "status $status"
	done
	check grep -q '^TracerPid:.0$' /proc/$pid/status
	check_is "$(cat /proc/$pid/task/*/children)" ""
	before=$(wc -l <said)
	wait_for "it goes on" eval "[ \$(wc -l <said) -gt $before ]"
	! grep -qv '^right$' said || fail "it said: $(grep -v '^right$' said | head -3)"
}

test_python() {
	need python3
	cat >busy.py <<'END'
import hashlib, threading
def work():
    while True:
        data = b"x" * 100000
        for i in range(20):
            data = hashlib.sha256(data + bytes(range(200))).digest() * 3
        sums.append(data)
sums = []
threading.Thread(target=work, daemon=True).start()
while True:
    while len(sums) < 2:
        sum(i * i for i in range(1000))
    print("right" if sums.pop() == sums.pop() else "wrong", flush=True)
END
	python3 -I busy.py >said 2>&1 &
	pid=$!
	pids="${pids:-} $pid"
	wait_for "it runs" test -s said
	harass
}

test_java() {
	need python3 java javac
	mkdir classes
	cat >Busy.java <<'END'
import java.util.*;
public class Busy {
    static long work(int seed) {
        Map<Integer, byte[]> map = new HashMap<>();
        long sum = 0;
        for (int i = 0; i < 20000; i++) {
            map.put((i * 31 + seed) % 997, new byte[i % 2048]);
            sum = sum * 31 + map.get((i * 31 + seed) % 997).length;
        }
        return sum;
    }
    public static void main(String[] args) throws Exception {
        long want = work(7);
        for (int t = 0; t < 3; t++)
            new Thread(() -> { while (true) if (work(7) != want) System.out.println("wrong"); }).start();
        while (true) {
            Thread.sleep(10);
            System.out.println(work(7) == want ? "right" : "wrong");
        }
    }
}
END
	javac -d classes Busy.java || skip "javac does not work"
	java -Xmx32m -XX:+UseSerialGC -cp classes Busy >said 2>&1 &
	pid=$!
	pids="${pids:-} $pid"
	wait_for "it runs" test -s said
	harass
}

# A program of 32 bits is left alone, and compared.
test_narrow_program() {
	need cc
	printf '.globl _start\n_start: movl $29, %%eax\nint $0x80\njmp _start\n' >narrow.S
	cc -m32 -nostdlib -static -o narrow narrow.S 2>/dev/null ||
		skip "the compiler makes no 32-bit programs"
	./narrow >said 2>&1 &
	pid=$!
	pids="${pids:-} $pid"
	sleep 0.3
	[ "$(readlink /proc/$pid/exe)" = "$PWD/narrow" ] || skip "this kernel runs no 32-bit programs"
	run watch $pid --rounds 2 --interval 20ms
	kill -9 $pid
	check_status 0
	check grep -Eq 'by (comparing|soft-dirty bits): ' err
}

# By soft-dirty bits alone, where the kernel has them: nothing is made in the target.
test_soft_dirty() {
	need python3
	PUPPET_PATH=$SCAN_TARGET puppet
	run watch $pid --method soft-dirty --rounds 1 --interval 10ms
	if [ $status != 0 ]; then
		check_err "soft-dirty bits"
		skip "this kernel has no soft-dirty bits"
	fi
	puppets=0
	rm -f input.1 output.1
	watched --method soft-dirty -f ndjson
	check_err "by soft-dirty bits"
	# A second one would clear them, too, and is refused.
	"$MEMSIFT" watch $pid --method soft-dirty --rounds 1 --interval 10ms >second 2>&1
	check_is $? 2
	check grep -q "uses its soft-dirty bits already" second
	echo "health 1000" >input.1
	wait_for "the change is told" grep -q '"change":"write"' out
	kill -INT $watcher
	finish
	check_status 130
}

test_wrong_use() {
	run watch
	check_status 2
	run watch $$ --method sideways
	check_status 2
	check_err "none of auto, dirty, soft-dirty, compare"
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

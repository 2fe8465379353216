#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# yara: what rules find, in text as yara shows it and in records, and what is said of bad rules.
. "$(dirname "$0")/lib.sh"

rule() {
	printf 'rule %s { strings: $a = "%s" condition: $a }\n' "$1" "$2"
}

# range NAME SIZE: the addresses of what a puppet told.
range() {
	local at=at_$1
	printf '%s-%x' "${!at}" $((${!at} + $2))
}

test_text() {
	need_feature yara
	printf 'some needle here\0N\0e\0e\0d\0l\0e\0' >file
	cat >rules <<-'END'
		rule first : tag1 tag2 {
			meta:
				author = "a \"b\""
				level = 3
				delta = -2
				sure = true
			strings:
				$plain = "needle"
				$wide = "needle" wide nocase
				$hex = { 6E 65 [1-3] 6C }
				$absent = "nowhere"
			condition:
				2 of them
		}
		rule empty { condition: true }
		private rule hidden { condition: true }
		rule no { condition: not hidden }
	END
	run yara "$PWD/file" -r rules -s -m -g
	check_status 0
	check_silent
	golden yara
	run yara "$PWD/file" -r rules
	check_is "$(head -n 2 out | tr '\n' ' ')" "first 1 empty 1 "
	run yara "$PWD/file" -r rules -e -t tag2
	check_is "$(head -n 1 out)" "default:first 1"
	check_is "$(hits)" 3
	run yara "$PWD/file" -r rules -i empty --fail-on-hit
	check_status 1
	check_is "$(head -n 1 out)" "empty 1"
}

test_records() {
	need_feature yara
	printf '..............needle..' >file
	printf 'rule r : t { meta: n = -1 s = "x" b = false strings: $a = "needle" xor(0) $b = { 6e [2-3] 6c 65 } condition: all of them } rule e { condition: true }' >rules
	for format in ndjson json csv; do
		run yara "$PWD/file" -f $format -r rules --context 3
		check_status 0
		check_is "$(record hit rule $format | tr '\n' ' ')" "r r e "
		check_is "$(record hit string $format | head -n 2 | tr '\n' ' ')" '$a $b '
	done
	run yara "$PWD/file" -f ndjson -r rules --context 3
	check_is "$(record hit address,size,bytes | head -n 2 | tr '\t\n' '  ')" \
		"0xe 6 6e6565646c65 0xe 6 6e6565646c65 "
	check_is "$(record hit context,context_before | head -n 1)" "2e2e2e6e6565646c652e2e	3"
	check_is "$(record hit xor_key | head -n 1)" 0
	check_is "$(record hit namespace | sort -u)" default
	check_out '"tags":["t"],"meta":[{"name":"n","value":-1},{"name":"s","value":"x"},{"name":"b","value":false}]'
}

# Bytes and context are those of the file, near other matches and far from them, and at both ends.
test_context() {
	need_feature yara
	python3 - <<-'END'
		import random
		r = random.Random(7)
		parts = [b"ab"]
		for i in range(3000):
		    gap = r.choice([0, 1, 5, 40, 40, 300, 350, 4000, 4200, 9000])
		    parts += [bytes(r.choices(b"xyz", k=gap)), r.choice([b"ab", b"cd", b"abcd"])]
		open("file", "wb").write(b"".join(parts) + b"ab")
	END
	echo 'rule r { strings: $a = "ab" $b = { 61 62 [250-400] 63 64 } condition: any of them }' >rules
	for context in 0 16 4096; do
		run yara "$PWD/file" -f ndjson -r rules --context $context
		check_status 0
		python3 - $context <<-'END' || fail "wrong bytes or context"
			import json, sys
			data, around = open("file", "rb").read(), int(sys.argv[1])
			seen = {"$a": 0, "$b": 0}
			for line in open("out"):
			    hit = json.loads(line)
			    if hit["type"] != "hit": continue
			    at, size = int(hit["address"], 16), hit["size"]
			    seen[hit["string"]] += 1
			    assert hit["bytes"] == data[at:at + min(size, 64)].hex()
			    if around == 0: continue
			    first = max(at - around, 0)
			    assert hit["context_before"] == at - first
			    assert hit["context"] == data[first:at + size + around].hex()
			assert seen["$a"] == data.count(b"ab") and seen["$b"] > 100, seen
		END
	done
}

# What lies across two mappings, and beside a page that cannot be read: `yara PID` loses both.
test_live() {
	need_feature yara
	puppet adjacent guard
	rule border puppet-border-needle >border
	run yara $pid -s -r border --address "$(range adjacent 12288)"
	check_status 0
	check_is "$(grep -c '^0x' out)" 2
	check_is "$(head -n 1 out)" "border $pid"
	check_is "$(sed -n '2s/:.*//p' out)" "$(printf '0x%x' $((at_adjacent + 4096 - 10)))"
	[ "$at_guard" != 0x0 ] || return 0 # before Linux 6.13
	rule guarded puppet-guard-needle >guarded
	run yara $pid -f ndjson -r guarded --address "$(range guard 20480)"
	check_status 0
	[ "$(record hit address | wc -l)" -gt 700 ] || fail "too few matches beside the guard page"
	check_out '"reason":"guard"'
	printf 'rule u { condition: uint32(%s) == 0x70707570 and uint8(%s) == 0x2d }' \
		$at_guard $(printf '0x%x' $((at_guard + 6))) >reads
	run yara $pid -r reads
	check_is "$(head -n 1 out)" "u $pid"
}

# All that yara finds in a process is found here, too.
test_like_yara() {
	need_feature yara
	need yara
	puppet plain adjacent
	cat >rules <<-'END'
		rule words { strings: $a = "puppet-plain-needle" $b = "puppet" fullword
			$c = /pl[a-z]+-n/ $d = { 70 75 [2-4] 65 74 } condition: #a > 100 and all of them }
		rule counts { strings: $a = "plain" nocase condition: #a > 500 and @a[1] > 0x1000 }
		rule broad { strings: $a = "puppet-plain" wide xor condition: $a }
	END
	yara -s -w rules $pid | cut -d: -f1,2 | sort >expected
	[ "$(wc -l <expected)" -gt 1000 ] || fail "yara finds nothing"
	for more in "" --no-prefilter; do
		# shellcheck disable=SC2086
		run yara $pid -q -s -r rules $more
		check_status 0
		cut -d: -f1,2 out | sort >actual
		[ -z "$(comm -23 expected actual)" ] || fail "$(comm -23 expected actual | head -n 3)"
	done
}

test_many_processes() {
	need_feature yara
	puppet plain
	first=$pid
	puppet adjacent
	rule plain puppet-plain-needle >rules
	rule border puppet-border-needle >>rules
	run yara -p $first,$pid --threads 3 -r rules -s
	check_status 0
	check_is "$(grep -v '^0x' out | grep -c "^plain $first\$")" 1
	check_is "$(grep -v '^0x' out | grep -c "^border $pid\$")" 1
	run yara -p $first,$pid --threads 1 -r rules -s -f csv
	record hit pid,rule,address csv >one
	run yara -p $first,$pid --threads 4 -r rules -s -f csv
	record hit pid,rule,address csv >four
	check cmp one four
}

# Pages that a fork left shared are searched once; each process gets the hits of its own.
test_shared_pages() {
	need_feature yara
	python3 -I - >pids <<-'END' &
		import ctypes, os, random, signal, time
		kept = bytearray(random.Random(3).randbytes(1 << 20) * 6)
		for i in range(0, len(kept), 30011):
		    kept[i:i + 8] = b"NeedleXY"
		pids, (ready, done) = [], os.pipe()
		for i in range(4):
		    pid = os.fork()
		    if pid == 0:
		        ctypes.CDLL(None).prctl(1, 9)
		        kept[700000 * i + 5:700000 * i + 13] = b"NeedleXY"
		        os.write(done, b".")
		        time.sleep(600)
		        os._exit(0)
		    pids.append(pid)
		ctypes.CDLL(None).prctl(1, 9)
		for pid in pids:
		    os.read(ready, 1)
		print(*pids, flush=True)
		time.sleep(600)
	END
	family=$!
	trap 'kill $family 2>/dev/null' EXIT
	for ((i = 0; i < 200; i++)); do
		[ ! -s pids ] || break
		sleep 0.05
	done
	echo 'rule r { strings: $a = "NeedleXY" $b = /Nee[a-z]+X/ condition: #a > 100 and #b > 100 }' >rules
	run yara -p "$(tr ' ' , <pids)" -q -r rules -f csv
	check_status 0
	record hit pid,string,address csv >together
	[ "$(wc -l <together)" -gt 1600 ] || fail "too few hits"
	for pid in $(cat pids); do
		run yara $pid -q -r rules -f csv
		record hit pid,string,address csv
	done >alone
	check cmp together alone
	kill $family
}

test_files_and_folders() {
	need_feature yara
	need yarac
	printf 'one two three four' >file
	mkdir -p rules/deep rules/inc
	rule one one >rules/a.yar
	{ echo 'include "../inc/shared.inc"'; rule two two; } >rules/deep/b.yara
	echo 'include "more.inc"' >rules/inc/shared.inc
	rule three three >rules/inc/more.inc
	echo 'not a rule' >rules/readme.txt
	rule four four >four
	yarac four four.yarc
	run yara "$PWD/file" -r rules -r four.yarc --rule "$(rule five ' t')" -e
	check_status 0
	check_is "$(grep -c '^[^ ]* 1$' out)" 5
	check_out "rules/a.yar:one 1"
	check_out "rules/deep/b.yara:three 1"
	check_out "default:five 1"
	run yara "$PWD/file" -r space:rules/a.yar -e
	check_out "space:one 1"
	rm rules/inc/more.inc
	run yara "$PWD/file" -r rules
	check_status 2
	check_err "rules/deep/../inc/more.inc"
	run yara "$PWD/file" -r rules --keep-going
	check_status 3
	check_err "left out"
	check_out "one 1"
	# Right by itself, but its name is taken; all are wrong.
	rule one one >again
	cp again once
	run yara "$PWD/file" -r again -r once -r four --keep-going
	check_status 3
	check_err "left out: once:1: duplicated identifier"
	check_is "$(head -n 2 out | tr '\n' ' ')" "one 1 four 1 "
	run yara "$PWD/file" --rule 'rule x {' --keep-going
	check_status 2
	check_err "none of the rules can be used: rule (at its end): rule x: syntax error"
	mkdir none
	run yara "$PWD/file" -r none
	check_status 2
	check_err "has no rules"
}

# Compiled files are evaluated one after the other; trouble with one is not the next one's.
test_trouble_with_one_set() {
	need_feature yara
	need yarac
	{ head -c 1200000 /dev/zero; printf needle; } >file
	echo 'rule many { strings: $a = { 00 } condition: $a }' >many
	yarac many many.yarc 2>yarac.err
	rule other needle >other
	yarac other other.yarc
	run yara "$PWD/file" -r many.yarc -r other.yarc -r many.yarc
	check_status 3
	check_is "$(grep -o 'rule many: string $a matches too often' err | wc -l)" 2
	check_is "$(head -n 3 out | tr '\n' ' ')" "many 1 other 1 many 1 "
}

test_variables() {
	need_feature yara
	need yarac
	echo x >file
	echo 'rule r { condition: n == 3 and t == "x=y" and b and f > 0.4 }' >rules
	run yara "$PWD/file" -r rules -d n=3 -d t=x=y -d b=true -d f=0.5
	check_status 0
	check_out "r 1"
	run yara "$PWD/file" -r rules -d n=3
	check_status 2
	check_err "rules:1:"
	check_err '"t"'
	run yara "$PWD/file" -r rules -d 3
	check_status 2
	check_err "NAME=VALUE"
	yarac -d n=0 -d t=a -d b=false -d f=1.0 rules compiled
	run yara "$PWD/file" -r compiled -d n=3 -d t=x=y -d b=true -d f=0.5
	check_out "r 1"
	run yara "$PWD/file" -r compiled -d other=1
	check_status 2
	check_err "no variable other"
}

# A number beyond 32 bits is held as a place is, and must not be taken for one that was lost.
test_compiled_numbers() {
	need_feature yara
	need yarac
	echo xneeedle >file
	for part in 0 1 2 3 4 5 6 7 8 9 10; do
		for offset in 1 5 8; do
			number=$((offset << 32 | part))
			echo "rule r { strings: \$a = /ne+dle/ condition: \$a and (filesize == $number or true) }" >rules
			yarac rules compiled
			run yara "$PWD/file" -r compiled
			check_status 0
			check_out "r 1"
		done
	done
}

test_refused() {
	need_feature yara
	need yarac
	echo x >file
	run yara "$PWD/file"
	check_status 2
	check_err "say which rules"
	# What is not there would look like rules that match nothing.
	echo 'rule r : tagged { condition: true } rule s { condition: true }' >some
	run yara "$PWD/file" -r some -i other
	check_status 2
	check_err "no rule has the name other"
	run yara "$PWD/file" -r some -t other
	check_status 2
	check_err "no rule has the tag other"
	run yara "$PWD/file" -r some -i s -t tagged
	check_status 2
	check_err "no rule has the name s and the tag tagged"
	echo '// nothing' >none
	run yara "$PWD/file" -r none
	check_status 2
	check_err "there are no rules"
	yarac some compiled
	run yara "$PWD/file" -r none -r compiled -i r
	check_status 0
	run yara "$PWD/file" -r absent.yar
	check_status 2
	check_err "absent.yar"
	{ rule good x; echo 'rule bad { condition: $undefined }'; } >rules
	run yara "$PWD/file" -r rules
	check_status 2
	check_err "rules:2: "
	check_err "undefined"
	run yara "$PWD/file" --rule 'rule bad {'
	check_status 2
	check_err "rule bad: syntax error"
	rule good x >rules
	run yara "$PWD/file" -r rules --rule 'rule other { strings: $a = /a(/ condition: $a }' --keep-going
	check_status 3
	check_out "good 1"
	yarac rules compiled
	for cut in 3 40 200 1000; do
		head -c $cut compiled >cut
		run yara "$PWD/file" -r cut
		check_status 2
		check_err "cut:"
	done
	{ printf 'YARA\177'; tail -c +6 compiled; } >version
	run yara "$PWD/file" -r version
	check_status 2
	check_err "compiled for another version of YARA"
	printf 'rule r\0' >binary
	run yara "$PWD/file" -r binary
	check_status 2
	check_err "neither the source"
	run yara "$PWD/file" -r rules --dump-on-hit all
	check_status 2
}

# Rules that match everywhere, endless expressions and loops: bounded, and said to be.
test_limits() {
	need_feature yara
	head -c 3000000 /dev/zero | tr '\0' a >file
	run yara "$PWD/file" --rule 'rule r { strings: $a = "a" condition: $a }' --max-hits 10 -f ndjson
	check_status 3
	check_is "$(record hit address | wc -l)" 10
	run yara "$PWD/file" --rule 'rule r { strings: $a = "a" condition: $a }'
	check_status 3
	check_err "matches too often"
	check_out "r 1"
	LIMIT=30
	run yara "$PWD/file" -a 1s --rule 'rule r { condition: for all i in (1..1000000000000) : (i > 0) }'
	check_status 3
	check_err "not evaluated to the end"
	run yara "$PWD/file" --timeout 1s --rule 'rule r { strings: $a = /(a|aa|aaa)+b/ condition: $a }'
	check_status 3
	for i in {1..60}; do
		echo "rule e$i { strings: \$a = /.*/ \$b = { 61 } condition: any of them }"
	done >rules
	run yara "$PWD/file" -q --timeout 1s -r rules
	check_status 3
	check_err "not evaluated to the end"
	for module in pe elf math hash dotnet; do
		echo "import \"$module\" rule r { condition: true }" >rules
		run yara "$PWD/file" -r rules
		[ $status != 2 ] || continue
		check_status 0
		check_out "r 1"
	done
}

# What all evaluations keep of matches has one limit.
test_memory() {
	need_feature yara
	! grep -q -e __asan_init -e __tsan_init "$MEMSIFT" || skip "sanitizers need more memory"
	for i in {1..6}; do
		head -c 700000 /dev/zero | tr '\0' a >file$i
	done
	for i in {1..30}; do
		echo "rule e$i { strings: \$a = { 61 } private condition: \$a }"
	done >rules
	peak=$(python3 -I -c 'import resource, subprocess, sys
status = subprocess.run(sys.argv[1:], stdout=open("out", "w"), stderr=open("err", "w")).returncode
print(status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)' \
		"$MEMSIFT" yara "$PWD"/file? -r rules --threads 3)
	check_is "${peak% *}" 3
	check_is "$(grep -c '^e30 1$' out)" 6
	check_err "matches too often"
	[ "${peak#* }" -lt $((128 * 1024)) ] || fail "it needed ${peak#* } KiB"
}

test_interrupted() {
	need_feature yara
	head -c 3000 /dev/zero >file
	"$MEMSIFT" yara "$PWD/file" --rule 'rule r { condition: for all i in (1..1000000000000) : (i > 0) }' >out 2>err &
	child=$!
	sleep 1
	kill -INT $child
	for ((i = 0; i < 100; i++)); do
		[ -d /proc/$child ] || break
		sleep 0.1
	done
	[ ! -d /proc/$child ] || { kill -9 $child; fail "it does not end"; }
	wait $child
	check_is $? 130
}

has_child() {
	[ -n "$(child_of $1)" ]
}

# Each of these files is evaluated for a second before it is taken.
test_interrupted_trial() {
	need_feature yara
	need yarac
	local child copy
	echo x >file
	mkdir rules
	echo 'rule r { condition: for all i in (1..1000000000000) : (i > 0) }' >rule
	yarac rule rules/r0.yarc
	for i in {1..60}; do
		cp rules/r0.yarc rules/r$i.yarc
	done
	for command in "yara file -r rules" "collect file -o evidence --memory-yara rules"; do
		# shellcheck disable=SC2086
		"$MEMSIFT" $command >out 2>err &
		child=$!
		wait_for "a trial is under way" has_child $child
		copy=$(child_of $child)
		kill -INT $child
		wait $child
		check_is $? 130
		check_err "interrupted while these compiled rules were tried out"
		[ ! -d "/proc/${copy:-self}" ] || fail "the trial goes on"
		[ ! -e evidence ] || fail "a folder is left behind"
	done
}

test_no_memory_left_out() {
	need_feature yara
	# Larger than a chunk, with a match over its border.
	head -c 524280 /dev/zero >file
	printf 'over-the-border' >>file
	head -c 600000 /dev/zero >>file
	rule r over-the-border >rules
	for more in "--threads 1" "--threads 3" --no-prefilter; do
		# shellcheck disable=SC2086
		run yara "$PWD/file" -r rules -f ndjson $more
		check_is "$(record hit address)" 0x7fff8
	done
	run yara "$PWD/file" -r rules --max-memory-size 64K -f ndjson
	check_status 3
	check_is "$(record hit address)" ""
	check_out '"reason":"limit"'
}

test_dump_on_hit() {
	need_feature yara
	puppet adjacent
	rule r puppet-border-needle >rules
	run yara $pid -q -r rules --address "$(range adjacent 12288)" --dump-on-hit region
	check_status 0
	check_is "$(ls ./*.bin | wc -l)" 2
	check grep -q puppet-bo -- *.bin
	run yara $pid -q -r rules --dump-on-hit process
	run search "$(realpath ./*.core)" -t puppet-border-needle
	check_is "$(hits)" 3
	run yara "$(realpath ./*.core)" -r rules -s
	check_out "r "
}

# A limit holds for what is searched and what is dumped together.
test_dump_on_hit_limits() {
	need_feature yara
	puppet adjacent
	rule r puppet-border-needle >rules
	run yara $pid -r rules --address "$(range adjacent 12288)" --dump-on-hit region \
		--max-memory-size 14K -f ndjson
	check_status 3
	[ "$(record summary bytes_read)" -le 14336 ] || fail "it read $(record summary bytes_read)"
	[ "$(cat ./*.bin | wc -c)" -lt 8192 ] || fail "nothing was left out of the dumps"
	rm -f ./*.bin
	run yara $pid -r rules --address "$(range adjacent 12288)" --dump-on-hit region \
		--max-memory-size 12K
	check_status 3
	check_err "the dumps that follow are left out"
	check_is "$(ls ./*.bin 2>/dev/null)" ""
}

test_collect() {
	need_feature yara
	puppet adjacent
	rule r puppet-border-needle >rules.yar
	run collect $pid -o evidence --memory-yara rules.yar -f ndjson
	check_status 0
	check_is "$(record summary hits)" 3
	[ "$(ls evidence/puppet.*/yara.json)" ] || fail "no hits"
	check grep -q '"rule":"r"' evidence/puppet.*/yara.json
	check cmp rules.yar evidence/rules/0001-rules.yar
	case $features in
	*crypto*) check grep -q "$(sha256sum <rules.yar | cut -d' ' -f1)" evidence/manifest.json ;;
	esac
	run collect $pid -o inline --memory-yara "$(cat rules.yar)"
	check_status 0
	run collect $pid -o bad --memory-yara absent.yar
	check_status 2
}

test_profile() {
	need_feature yara
	# One of the places has the atom of "needle" only.
	printf 'needle needle needed noodle' >file
	{ rule a needle; rule b noodle; rule c absent; echo 'rule d { condition: true }'; } >rules
	run yara "$PWD/file" -r rules --profile -f ndjson
	check_status 0
	check_is "$(record cost rule,verified,matches,targets | tr '\t\n' '  ')" "a 3 2 1 b 1 1 1 d 0 0 1 "
	cp file same
	run yara "$PWD/file" "$PWD/same" -r rules --profile -f ndjson --no-prefilter
	check_status 0
	check_out '"rule":"a","namespace":"default","verified":null,"matches":4,"targets":2,'
	run yara "$PWD/file" -r rules --profile
	check_is "$(sed -n 's/^ *3 *2 *1 .* default:a$/found/p' out)" found
	run yara "$PWD/file" --rule "$(rule c absent)" --profile
	check_status 0
	check_err "no rule cost anything"
}

test_missing() {
	case $features in *yara*) skip "this build has YARA rules" ;; esac
	run yara "$MEMSIFT" --rule 'rule r { condition: true }'
	check_status 2
	check_err "this build has no YARA rules: it was made without libyara"
}

run_tests

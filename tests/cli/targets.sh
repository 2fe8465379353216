#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Files as targets: cores, raw images, and what is neither.
. "$(dirname "$0")/lib.sh"

make_core() {
	puppet plain threads
	run dump $pid -o core
	check_status 0
	run search ./core -t puppet-stack-needle -f ndjson
	check_is "$(record hit address)" $at_threads
}

test_core_as_target() {
	make_core
	run search ./core -t puppet-stack-needle
	check_status 0
	check_is "$(hits)" 1
	run search --from core -t puppet-stack-needle
	check_status 0
	check_is "$(hits)" 1
	run search --from core $pid -t puppet-stack-needle
	check_status 0
	check_is "$(hits)" 1
	run search --from core puppet -t puppet-stack-needle
	check_status 0
	run search --from core nosuch -t puppet-stack-needle
	check_status 4
	run ps ./core
	check_status 0
	check_out puppet
	run modules ./core
	check_status 0
	check_out "$PUPPET"
	run read ./core $at_plain 70
	check_status 0
	sed "s/\\b${at_plain#0x}/ADDRESS/" out >dump
	check grep -q 'puppet-plain' dump
	run read ./core 0x1000 16
	check_status 4
}

# A file needs no processes, nor a /proc to list them by; and it is a file that was read.
test_files_without_proc() {
	make_core
	run search ./core -t puppet-stack-needle -f ndjson
	check_is "$(record meta backend)" file
	run search core -t puppet-stack-needle -f ndjson
	check_is "$(record meta backend)" file
	run ps $$ -f ndjson
	check_is "$(record meta backend)" native
	need_root
	need unshare
	can_do_without_proc
	echo "umount -l /proc && exec \"$MEMSIFT\" search ./core -t puppet-stack-needle" >without
	unshare -m bash ./without >out 2>err
	check_is $? 0
	check_is "$(hits)" 1
}

# Told apart by content, never by extension.
test_names_mean_nothing() {
	make_core
	mv core picture.png
	run search ./picture.png -t puppet-stack-needle
	check_status 0
	check_is "$(hits)" 1
	# A file whose name no process has needs no slash.
	run search picture.png -t puppet-stack-needle
	check_is "$(hits)" 1
	echo "some needle here" >x.core
	run search ./x.core -t needle -f ndjson
	check_status 0
	check_is "$(record hit address)" 0x5
}

test_raw_image() {
	head -c 100000 /dev/zero >image
	printf needle | dd of=image bs=1 seek=65530 conv=notrunc 2>/dev/null
	run search ./image -t needle -f ndjson
	check_status 0
	check_is "$(record hit address)" 0xfffa
	check_is "$(record coverage total)" 100000
	check_is "$(record coverage read)" 100000
	run read ./image fffa 6 --raw
	check_is "$(cat out)" needle
}

# One that is not there is told on stderr, and in the document; where none is, it is whole, too.
test_no_target_is_a_document() {
	local format command

	echo needle >image
	echo precious >kept
	for format in json ndjson csv; do
		for command in "search 999999999 nosuch,x ./nofile -t x" "ps re:^no.such 999999999" \
			"diff ./nofile ./image" "dump 999999999" "collect nosuch -o evidence" \
			"scan 999999999 --value 3" "watch 999999999" "read 999999999 0 1" \
			"regions --from ./nofile" "modules --all --exclude re:."; do
			# shellcheck disable=SC2086
			run $command -f $format
			check_status 4
			check_is "$(record meta command $format)" "${command%% *}"
			check_is "$(record summary targets,status $format)" "$(printf '0\tpartial')"
			check_is "$(record error why $format)" "$(sed 's/^memsift: //' err)"
		done
		run search 999999999 nosuch,x ./nofile -t x -f $format
		check_is "$(record error what $format | tr '\n' ' ')" "nosuch,x 999999999 ./nofile "
		run search ./image ./nofile -t needle -f $format
		check_status 3
		check_is "$(record error what $format)" ./nofile
		check_is "$(record hit pattern $format)" needle
	done
	run search 999999999 -t x -f json -o result
	check_status 4
	check_is "$(cat out)" ""
	cp result out
	check_is "$(record error what json)" 999999999
	run search 999999999 -t x -f json -o kept
	check_status 5
	check_is "$(cat kept)" precious
	run search 999999999 -t x -o none
	check_status 4
	check_is "$(cat out)" ""
	for command in "strings --plain 999999999" "read 999999999 0 1 --raw -f json" \
		"search -t x -f json"; do
		# shellcheck disable=SC2086
		run $command
		check_is "$(cat out)" ""
	done
	check_folder . err image kept out result
}

test_empty_file() {
	: >empty
	run search ./empty -t needle
	[ "$status" -le 4 ] || fail "status $status"
	run regions ./empty
	[ "$status" -le 4 ] || fail "status $status"
}

test_not_a_file() {
	mkdir folder
	mkfifo pipe
	for what in ./folder ./pipe /dev/null /dev/zero; do
		for command in "search -t x" regions dump modules ps; do
			# shellcheck disable=SC2086
			LIMIT=20 run $command $what
			[ $status = 2 ] || [ $status = 4 ] || fail "status $status for $command $what"
			check_err "$what is a"
		done
	done
	check_err "not a regular file; copy it to a file first"
	run search ./folder -t x
	check_err "./folder is a folder, not a file"
}

test_unreadable_file() {
	echo needle >secret
	chmod 0 secret
	[ ! -r secret ] || skip "root may read anything"
	run search ./secret -t needle
	check_status 4
	check_err "./secret"
}

# A compressed core is as good as one that is not, and leaves nothing behind.
test_compressed_core() {
	need_feature zstd
	need zstd
	puppet plain holes
	run dump $pid --compress zstd -o core.zst
	check_status 0
	mkdir temporary
	export TMPDIR=$PWD/temporary
	check zstd -dq core.zst -o core
	for file in core core.zst; do
		run search ./$file -t puppet-plain -f ndjson
		check_status 0
		record hit address,region_start >hits.$file
		run regions ./$file -f ndjson
		record region start,end,kind >regions.$file
	done
	[ "$(wc -l <hits.core)" -gt 3000 ] || fail "$(wc -l <hits.core) hits"
	check cmp hits.core hits.core.zst
	check cmp regions.core regions.core.zst
	run diff ./core.zst ./core
	check_status 0
	check_out "nothing changed in what was read"
	# Of one frame, of several, with what is to be skipped before and behind, and of anything else.
	zstd -q -19 core -o one.zst
	printf '\x50\x2a\x4d\x18\x04\0\0\0skip' >skip
	cat skip one.zst skip >skipping.zst
	run diff ./skipping.zst ./core.zst
	check_status 0
	printf 'a needle in no core' | zstd -q >text.zst
	run search ./text.zst -t needle
	check_is "$(hits)" 1
	check_is "$(ls -A temporary)" ""
}

# Wherever it is cut off and whatever stands behind it, a compressed file is refused with a reason.
test_damaged_compressed_core() {
	need_feature zstd
	need zstd
	make_core
	zstd -q core -o core.zst
	size=$(stat -c %s core.zst)
	for part in 4 5 10 100 $((size / 2)) $((size - 1)); do
		head -c $part core.zst >cut
		run search ./cut -t puppet-plain
		check_status 4
		check_err "cannot be unpacked: it is cut off"
	done
	(cat core.zst && echo garbage) >more
	run search ./more -t puppet-plain
	check_status 4
	check_err "cannot be unpacked"
	for at in 20 $((size / 3)) $((size / 2)); do
		cp core.zst damaged
		printf 'XXXXXXXXXXXXXXXX' | dd of=damaged bs=1 seek=$at conv=notrunc 2>dd
		run search ./damaged -t puppet-plain
		check_status 4
		check_err "cannot be unpacked"
	done
	TMPDIR=$PWD/nowhere run search ./core.zst -t needle
	check_status 4
	check_err "temporary file in $PWD/nowhere"
}

# A dump that memsift compressed is known to be whole: bytes that do not compress are, too.
test_damaged_compressed_dump() {
	need_feature zstd
	need python3
	puppet plain
	run dump $pid --compress zstd -o core.zst
	check_status 0
	python3 -I - <<'END'
data = open("core.zst", "rb").read()
for number in range(8):
    damaged = bytearray(data)
    # The header's frame, the first, has none.
    damaged[6000 + (len(data) - 6100) * number // 8] ^= 4
    open(f"damaged.{number}", "wb").write(damaged)
END
	for file in damaged.*; do
		run search ./$file -t puppet-plain
		check_status 4
		check_err "cannot be unpacked"
	done
}

# The first interrupt ends the unpacking of 25 GiB, and what was unpacked is gone.
test_interrupt_while_unpacking() {
	need_feature zstd
	need zstd
	head -c 128M /dev/zero | zstd -q >frame
	for ((i = 0; i < 200; i++)); do cat frame; done >zeros.zst
	mkdir temporary
	for given in ./zeros.zst "--from ./zeros.zst 0"; do
		TMPDIR=$PWD/temporary "$MEMSIFT" search $given -t needle -f ndjson >out 2>err &
		pids="${pids:-} $!"
		unpacker=$!
		wait_for "unpacking" eval "ls -l /proc/$unpacker/fd | grep -q temporary/"
		kill -INT $unpacker
		wait $unpacker
		status=$?
		check_status 130
		check_err "./zeros.zst: interrupted while it was unpacked"
		check_is "$(cat out)" ""
	done
	check_is "$(ls -A temporary)" ""
}

# A disk that is full is said to be, and is not filled to the last byte.
test_unpacking_without_room() {
	need_root
	need_feature zstd
	need zstd
	mkdir small
	mount -t tmpfs -o size=16m none small 2>/dev/null || skip "no file system can be mounted here"
	mounted=$PWD/small
	head -c 40M /dev/urandom | zstd -q >random.zst
	TMPDIR=$PWD/small run search ./random.zst -t needle
	check_status 4
	check_err "there is no room for what is in it; name a folder that has by TMPDIR"
	check_is "$(df --output=used small | tail -1 | tr -d ' ')" 0
}

# Wherever a core is cut off: no crash, no hang, and what is missing is told.
test_truncated_core() {
	make_core
	size=$(stat -c %s core)
	for part in 1 10 63 64 100 2000 8192 $((size / 2)) $((size - 5000)) $((size - 1)); do
		head -c $part core >cut
		LIMIT=30 run search ./cut -t puppet-plain -f ndjson
		case $status in 0 | 3 | 4) ;; *) fail "status $status when cut at $part" ;; esac
		[ $status = 4 ] || record coverage status >state
		LIMIT=30 run modules ./cut
		case $status in 0 | 3 | 4) ;; *) fail "modules: status $status at $part" ;; esac
	done
	head -c $((size / 2)) core >cut
	run search ./cut -t puppet-plain -f ndjson
	[ $status != 0 ] || check_is "$(record coverage status)" partial
	[ $status = 3 ] || [ $status = 4 ] || fail "half a core, and status $status"
}

# The same for bytes that changed, in the headers and notes above all.
test_corrupt_core() {
	make_core
	run dump ./core --max-size 64K -o small
	cat >corrupt.py <<-'END'
		import random, sys
		data = bytearray(open("small", "rb").read())
		chance = random.Random(int(sys.argv[1]))
		for _ in range(chance.choice((1, 3, 20))):
		    at = chance.randrange(chance.choice((64, 4096, len(data))))
		    data[at] = chance.choice((0, 1, 0x7f, 0x80, 0xff, chance.randrange(256)))
		open("bad", "wb").write(data)
	END
	for ((i = 0; i < 60; i++)); do
		python3 corrupt.py $i
		for command in "search -t puppet -f ndjson" modules; do
			# shellcheck disable=SC2086
			LIMIT=30 run $command ./bad
			case $status in 0 | 3 | 4) ;; *) fail "seed $i: status $status of $command" ;; esac
		done
	done
}

test_minidump_is_not_taken_for_a_core() {
	printf 'MDMP\223\247\0\0needle' >mini
	run search ./mini -t needle
	case $status in 0 | 2 | 4) ;; *) fail "status $status" ;; esac
}

test_processes_of_files_are_excluded() {
	make_core plain
	cp "$PUPPET" other
	PUPPET_PATH=$PWD/other puppet plain
	run dump $pid -o other.core
	check_status 0
	run ps ./core ./other.core --exclude puppet -f ndjson
	check_status 0
	check_silent
	check_is "$(record process name)" other
	run search ./core ./other.core --exclude "$pid" -t puppet-plain -f ndjson
	check_status 0
	check_is "$(record summary targets)" 1
	run regions ./core --exclude nothing-like-it
	check_status 0
	run search ./core --exclude re:pup -t x
	check_status 4
	check_err "no process matches the selection"
	check_is "$(wc -l <err)" 1
	run ps ./core --exclude 're:('
	check_status 2
}

test_several_files() {
	echo "one needle" >one
	echo "two needle" >two
	run search ./one ./two -t needle
	check_status 0
	check_is "$(grep -c '"needle"' out)" 2
	run search ./one ./nosuch -t needle
	check_status 3
	check_err "cannot open ./nosuch"
}

run_tests

#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# strings: the same text as strings(1), whatever the length, and what the formats show of it.
. "$(dirname "$0")/lib.sh"

# same MIN FILE: --plain prints what strings(1) prints.
same() {
	strings -a -n "$1" "$2" >expected
	run strings "$(realpath "$2")" --plain --min "$1"
	check_status 0
	check_silent
	cmp -s out expected || depth=1 fail "not as strings -n $1 $2: $(cmp out expected 2>&1)"
}

test_real_binaries() {
	need strings
	libc=$(ldd "$(command -v bash)" | sed -n 's/.*=> \(.*libc\.so[^ ]*\).*/\1/p')
	for file in "$(command -v bash)" $libc "$MEMSIFT"; do
		for min in 1 2 4 9 33 100; do
			same $min "$file"
		done
	done
}

test_no_vector_kernels() {
	need strings
	for kernel in scalar sse2 avx2; do
		export MEMSIFT_FIND=$kernel
		same 4 "$(command -v bash)"
	done
}

# Strings of around the sizes at which they are cut, and one of 10 MiB.
test_long_strings() {
	need strings python3
	python3 - <<-'END'
		import random
		random.seed(1)
		sizes = [1, 100, 32767, 32768, 32769, 65535, 65536, 65537, 98304, 1000000]
		with open("file", "wb") as out:
		    for i in range(80):
		        out.write(random.choice([b"a", b"~", b"\t", b" "]) * random.choice(sizes))
		        out.write(random.choice([b"\0", b"\x80", b"\x7f", b"\n"]) * random.choice([1, 7, 40000]))
		    out.write(b"X" * (10 << 20))
	END
	for min in 1 4 4096; do
		same $min file
	done
	run strings "$PWD/file" --plain --threads 1
	strings -a file | cmp - out || fail "not the same with one thread"
}

test_encodings() {
	printf 'abcd\377e\0f\0g\0h\0\1na\303\257ve!\n\0i\0j\0k\0l\377' >file
	all() {
		run strings "$PWD/file" --plain --encoding "$@"
		check_status 0
		tr '\n' , <out
	}
	check_is "$(all ascii)" "abcd,"
	check_is "$(all utf8)" "abcd,naïve!,"
	check_is "$(all utf16le)" "efgh,"
	check_is "$(all utf16be)" "ijkl,"
	check_is "$(all utf16be,ascii,utf16le,utf8)" "abcd,efgh,naïve!,ijkl,"
	check_is "$(all ascii --min 5)" ""
}

test_text_output() {
	{ head -c 70000 /dev/zero | tr '\0' a; printf '\0C:\\dir\ttab\0'; } >file
	run strings "$PWD/file" --memory-regions all
	check_status 0
	check_is "$(grep -c . out)" 4
	check_is "$(sed -n 1p out | sed 's/aaa*$/A/')" "1 file  0x0  r--p mapped $PWD/file  ascii  A"
	check_is "$(sed -n 1p out | awk '{ print length($NF) }')" 70000
	check_is "$(sed -n 2p out)" "1 file  0x11171  r--p mapped $PWD/file  ascii  C:\\dir	tab"
	check_is "$(hits)" 4
}

test_records() {
	{ head -c 70000 /dev/zero | tr '\0' a; printf '\0b\0c\0d\0e\0'; } >file
	run strings "$PWD/file" -f ndjson --encoding ascii,utf16be
	check_status 0
	check_is "$(record hit address | tr '\n' ' ')" "0x0 0x8000 0x10000 0x11170 "
	check_is "$(record hit size | tr '\n' ' ')" "32768 32768 4464 8 "
	check_is "$(record hit encoding | tr '\n' ' ')" "ascii ascii ascii utf16be "
	check_is "$(record hit text | tail -1)" "bcde"
	check_is "$(record hit continued | tr '\n' ' ')" "false true true false "
	check_is "$(grep -c '"bytes":"0062006300640065"' out)" 1
}

test_grep() {
	printf 'http://a.b/c\0nothttp://\0HTTP://x\0https://d\0' >file
	run strings "$PWD/file" --plain --grep '^https?:'
	check_status 0
	check_is "$(tr '\n' , <out)" "http://a.b/c,https://d,"
	run strings "$PWD/file" --plain --grep 'a('
	check_status 2
	check_err "grep: "
}

test_live() {
	puppet plain
	run strings $pid --plain --address $at_plain-"$(printf %x $((at_plain + 64)))"
	check_status 0
	check_out needle
}

test_usage() {
	run strings "$MEMSIFT" --encoding latin1
	check_status 2
	check_err "encoding: this is none of ascii, utf8, utf16le, utf16be"
	run strings "$MEMSIFT" --min 0
	check_status 2
	run strings "$MEMSIFT" --plain -f json
	check_status 2
	run strings
	check_status 2
	run strings "$MEMSIFT" --plain --max-hits 3
	check_status 3
	check_is "$(grep -c . out)" 3
	# There is no coverage on stdout to tell it.
	run strings "$MEMSIFT" --plain --max-memory-size 8K
	check_status 3
	check_err "not all memory that was wanted was read"
	run strings "$MEMSIFT" --plain --max-memory-size 8K -q
	check_status 3
	check_silent
	run strings "$MEMSIFT" --plain --fail-on-hit
	check_status 1
}

run_tests

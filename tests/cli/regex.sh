#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# search -e: what is found with regular expressions, and what is said of bad ones.
. "$(dirname "$0")/lib.sh"

# count EXPRESSION [OPTION...]: how many hits in the file.
count() {
	run search "$PWD/file" --context 0 -e "$@"
	check_status 0
	hits
}

test_hits() {
	need_feature regex
	printf 'cat concat Cat c\0t caaat\n' >file
	check_is "$(count 'c.t')" 3
	check_is "$(count 'c[a-z]+t')" 3
	check_is "$(count '\bcat\b')" 1
	check_is "$(count 'cat' -i)" 3
	check_is "$(count 'c\x00t')" 1
	check_is "$(count 'a' -e 't')" 11
	check_is "$(count 'a' --align 4)" 3
	check_is "$(count 'dog')" 0
}

test_records() {
	need_feature regex
	printf 'key=abc123;' >file
	run search "$PWD/file" -f ndjson -e '[a-z]+=' -e '[0-9]{2,}'
	check_status 0
	check_is "$(record hit address | tr '\n' ' ')" "0x0 0x7 "
	check_is "$(record hit size | tr '\n' ' ')" "4 3 "
	check_is "$(record hit pattern | tr '\n' ' ')" "[a-z]+= [0-9]{2,} "
	check_is "$(record hit bytes | tr '\n' ' ')" "6b65793d 313233 "
}

# The same places as grep finds, with as many threads as one likes.
test_like_grep() {
	need_feature regex
	file=$(command -v bash)
	LC_ALL=C grep -oba '[a-z]\{3,9\}_[a-z]\{1,5\}[^a-z]' "$file" | sed 's/:.*//' >expected
	[ -s expected ] || fail "nothing to compare"
	for threads in 1 4; do
		run search "$(realpath "$file")" -f ndjson --threads $threads -e '\b[a-z]{3,9}_[a-z]{1,5}[^a-z\n]'
		check_status 0
		record hit address | while read -r address; do echo $((address)); done >actual
		[ "$(wc -l <actual)" -gt 100 ] || fail "too few hits"
		[ -z "$(comm -23 <(sort actual) <(sort expected))" ] || fail "not where grep finds it"
	done
}

# An expression of which libhs cannot tell starts, and one without a greatest width.
test_kinds() {
	need_feature regex
	{ printf 'MZ'; head -c 100 /dev/zero; printf 'PE'; head -c 9000 /dev/zero; printf 'PE'; } >file
	check_is "$(count '(?s)MZ.{50,300}PE\x00\x00')" 1
	check_is "$(count '(?s)MZ.*PE')" 1
	check_is "$(count 'P[^a-z]+E')" 1
	check_is "$(count '\x00+')" 2
}

test_live() {
	need_feature regex
	puppet plain
	run search $pid -f ndjson --address $at_plain-"$(printf %x $((at_plain + 64)))" -e 'puppet-[a-z]+-needle'
	check_status 0
	check_is "$(record hit pattern | sort | uniq -c | tr -s ' ')" ' 3 puppet-[a-z]+-needle'
}

test_refused() {
	need_feature regex
	run search "$MEMSIFT" -e 'a(b'
	check_status 2
	check_err "Missing close parenthesis"
	check_err "at character 2"
	run search "$MEMSIFT" -e 'a*'
	check_status 2
	check_err "matches the empty string"
	run search "$MEMSIFT" -e '(a)\1'
	check_status 2
	check_err "Back-references are unsupported"
	run search "$MEMSIFT" -e a -t b
	check_status 2
	check_err "-e cannot be combined with -t or -x"
	run search "$MEMSIFT" -e a --utf16
	check_status 2
	check_err "no argument \"utf16\""
	run search "$MEMSIFT" -i
	check_status 2
	check_err "-e REGEX"
}

test_missing() {
	case $features in *regex*) skip "this build has regular expressions" ;; esac
	run search "$MEMSIFT" -e a
	check_status 2
	check_err "this build has no regular expressions: it was made without libhs"
}

run_tests

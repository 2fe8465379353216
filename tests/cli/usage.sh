#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-2-Clause
# Wrong use, help, the man page and the completions.
. "$(dirname "$0")/lib.sh"

# Adds a command line that must end with status 2 to `errors`, with what it says.
wrong() {
	run "$@"
	[ $status = 2 ] || fail "status $status, not 2: memsift $*"
	[ ! -s out ] || fail "something on stdout: memsift $*"
	{
		echo "\$ memsift $*"
		cat err
	} >>errors
}

# Each sentence names what is wrong; where a text was parsed, a caret stands under the character.
test_wrong_use() {
	wrong nocommand
	wrong search
	wrong search 999999999
	wrong search 999999999 -t
	wrong search 999999999 --nope
	wrong search 999999999 -Z
	wrong search -t needle
	wrong search 999999999 -x ''
	wrong search 999999999 -x '4'
	wrong search 999999999 -x '41 4G'
	wrong search 999999999 -x '41 ['
	wrong search 999999999 -x '41 [8-4] 42'
	wrong search 999999999 -x '41 (42|43'
	wrong search 999999999 -x '[4-8]'
	wrong search 999999999 -t ''
	wrong search 999999999 -t a --align 0
	wrong search 999999999 -t a --align x
	wrong search 999999999 -t a --context 1x
	wrong search 999999999 -t a --context 99999
	wrong search 999999999 -t a --max-hits -1
	wrong search 999999999 -t a --threads 1000
	wrong search 999999999 -t a --threads 0
	wrong search 999999999 -t a --timeout 10y
	wrong search 999999999 -t a --max-memory-size 0
	wrong search 999999999 -t a --max-memory-size 10Q
	wrong search 999999999 -t a --max-memory-size 99999999999G
	wrong search 999999999 -t a --max-process-size ''
	wrong watch 999999999 --rounds 0
	wrong watch 999999999 --interval 0
	wrong diff 999999999 999999999 --bytes 0
	wrong scan 999999999 --next changed --perm rw-
	wrong scan 999999999 --list --address 1-2
	wrong search 999999999 -t a --format xml
	wrong search 999999999 -t a --color sometimes
	wrong search 999999999 -t a --perm rwq
	wrong search 999999999 -t a --perm rw
	wrong search 999999999 -t a --address 0x10-0xg
	wrong search 999999999 -t a --address 0x20-0x10
	wrong search 999999999 -t a --memory-regions heap,foo
	wrong search 999999999 -t a --min-size 4KK
	wrong search 're:(' -t a
	wrong search -p 1,x -t a
	wrong read 999999999
	wrong read 999999999 0xzz 16
	wrong read 999999999 0x1000 16Z
	wrong read 999999999 0x1000 0
	wrong read 999999999 0xfffffffffffffff0 32
	wrong read 999999999 0x1000 16 --raw -f json
	wrong doctor 999999999
	wrong dump 999999999 --as elf
	wrong dump 999999999 --compress gzip
	wrong dump 999999999 --pause maybe
	wrong dump 999999999 --region 0x1000
	wrong dump 999999999 --region 0x1000:1Q
	wrong dump 999999999 --region 0x10zz:10
	wrong collect
	wrong --pid 999999999 --memory-search '4G'
	wrong --dump-memory-region 1:0x1000
	wrong --dump-memory-region x:0x1000:16
	wrong --dump-memory-region 1:0x1000:0
	wrong verify
	wrong verify a b
	wrong help nocommand
	wrong help --as pdf
	golden errors errors
}

test_help() {
	run help
	check_status 0
	for command in ps regions modules read search dump collect verify doctor help; do
		check grep -q "^  $command  " out
	done
	for number in 0 1 2 3 4 5 130; do
		check grep -q "^  $number  " out
	done
	cp out all
	run
	check_status 0
	check cmp -s out all
	run --help
	check_status 0
	check cmp -s out all
	run -h
	check cmp -s out all
}

test_version() {
	run --version
	check_status 0
	check grep -qE '^memsift [0-9]+\.[0-9]+\.[0-9]+ \(.*\)$' out
}

# What `memsift help` lists as commands.
commands() {
	"$MEMSIFT" help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'
}

test_help_of_commands() {
	for command in $(commands); do
		run help "$command"
		check_status 0
		check_silent
		check_out "Usage: memsift $command"
		cp out help
		run "$command" --help
		check_status 0
		check cmp -s out help
		run "$command" -h
		check cmp -s out help
	done
}

# The options of a group in the man page, one a line.
man_options() {
	sed 's/\\-/-/g' "$SOURCE_ROOT/docs/memsift.1" | awk -v group="$1" '
		$1 == ".SS" { inside = $2 == group }
		inside && $1 == ".B" { print }' | grep -o -e '--[a-z0-9-]*'
}

# Every option that the man page gives a command is in the command's help, and works there.
test_help_has_the_options_of_the_man_page() {
	local count=0

	for command in $(commands); do
		groups=$(awk -v c="\"$command" '$1 == ".SS" { inside = $2 == c || $2 == c "\"" }
			inside && /^Options:/' "$SOURCE_ROOT/docs/memsift.1" |
			sed 's/Options: //; s/\\fI//g; s/\\fR//g; s/[,.]//g')
		[ "$groups" ] || fail "the man page gives $command no options"
		run help "$command"
		for group in $groups; do
			for option in $(man_options "$group"); do
				check_out " $option"
				count=$((count + 1))
			done
		done
	done
	[ $count -gt 60 ] || fail "only $count options were compared"
}

# Every option that a command takes is in its help and in the man page: the completions have them.
test_help_has_all_options() {
	local command option
	"$MEMSIFT" help --as man | tr -d '\\' >man
	for command in $(commands); do
		run help "$command"
		for option in $("$MEMSIFT" help --as bash | sed -n "s/^    $command) options='\(.*\)' ;;/\1/p"); do
			[ "$option" != --help ] || continue
			check grep -qE -- "^ +(-[a-zA-Z], )?$option( |$)" out
			check grep -qE -- "^\.B (-[a-zA-Z], )?$option( |$)" man
		done
	done
}

test_man_page_and_completions_are_up_to_date() {
	while read -r form file; do
		run help --as "$form"
		check_status 0
		cmp -s out "$SOURCE_ROOT/docs/$file" ||
			fail "docs/$file is out of date; ninja -C build man makes it anew"
	done <<-END
		man memsift.1
		bash memsift.bash
		zsh _memsift
		fish memsift.fish
	END
}

test_man_page_is_clean() {
	need man
	run help --as man
	man --warnings -l -Tutf8 out >/dev/null 2>err
	check_silent
}

test_completions_parse() {
	"$MEMSIFT" help --as bash >bash
	"$MEMSIFT" help --as zsh >zsh
	"$MEMSIFT" help --as fish >fish
	check bash -n bash
	! command -v zsh >/dev/null || check zsh -n zsh
	! command -v fish >/dev/null || check fish -n fish
	check_is "$(bash -c '. ./bash; COMP_WORDS=(memsift se) COMP_CWORD=1; _memsift
		echo "${COMPREPLY[*]}"')" search
	check_is "$(bash -c '. ./bash; COMP_WORDS=(memsift help sea) COMP_CWORD=2; _memsift
		echo "${COMPREPLY[*]}"')" search
	check_is "$(bash -c '. ./bash; COMP_WORDS=(memsift search --ignore-) COMP_CWORD=2; _memsift
		echo "${COMPREPLY[*]}"')" --ignore-case
}

# Options whose argument is one of a few words, or a list of them, as the help shows them.
test_words_of_options_are_taken() {
	local line option words word count=0

	echo "rule r { condition: true }" >rules

	for line in "ps" "regions" "search -t a" "strings" "scan --value 1" "watch" "yara -r rules" \
		"dump" "snapshot" "collect" "help"; do
		case $line$features in yara*yara* | [!y]*) ;; *) continue ;; esac
		"$MEMSIFT" help ${line%% *} |
			sed -nE 's/^ +(-., )?(--[a-z-]+) ([a-z][a-z0-9|,-]+)(  .*)?$/\2 \3/p' >words
		while read -r option words; do
			for word in ${words//[|,]/ }; do
				# shellcheck disable=SC2086
				run $line 999999999 "$option" "$word"
				! grep -q "none of" err || fail "$line $option $word is not taken"
				count=$((count + 1))
			done
			[ "$option" != --type ] || continue # the target is looked for first
			# shellcheck disable=SC2086
			run $line 999999999 "$option" x
			check_status 2
			check grep -qE "none of|only [a-z]* is known" err
		done <words
	done
	[ $count -gt 100 ] || fail "only $count words were tried"
}

# after_tab WORD...: what bash offers in place of the last word.
after_tab() {
	bash -c '. ./completion; COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)); _memsift
		echo "${COMPREPLY[*]}"' bash "$@"
}

test_completion_of_words() {
	"$MEMSIFT" help --as bash >completion
	check_is "$(after_tab memsift dump --pause f)" "freeze fork"
	check_is "$(after_tab memsift dump --pause = fo)" "fork"
	check_is "$(after_tab memsift dump --pause =)" "none freeze fork"
	check_is "$(after_tab memsift ps -f nd)" ndjson
	check_is "$(after_tab memsift dump --as '')" "core raw"
	check_is "$(after_tab memsift help --as z)" zsh
	check_is "$(after_tab memsift --pause fr)" freeze
	check_is "$(after_tab memsift --memory-regions heap,st)" heap,stack
	check_is "$(after_tab memsift strings --encoding ascii,utf16)" "ascii,utf16le ascii,utf16be"
	touch heap,h heap,code
	check_is "$(after_tab memsift regions --memory-regions '*,h')" '*,heap'
	after_tab memsift regions --memory-regions '$(touch ran),h' >answer
	after_tab memsift regions --memory-regions '`touch ran`,h' >>answer
	[ ! -e ran ] || fail "a word was run as a command"
}

test_completion_of_words_by_fish() {
	need fish
	"$MEMSIFT" help --as fish >completion
	after_tab() {
		HOME=$PWD fish --no-config -c 'source completion; complete -C "$argv"' "$@" |
			cut -f 1 | tr '\n' ' '
	}
	check_is "$(after_tab memsift dump --pause f)" "fork freeze "
	check_is "$(after_tab memsift ps -f nd)" "ndjson "
	check_is "$(after_tab memsift dump --as r)" "raw "
	check_is "$(after_tab memsift help --as z)" "zsh "
	check_is "$(after_tab memsift regions --memory-regions heap,s)" "heap,stack "
	touch fox
	check_is "$(after_tab memsift dump --pause fo)" "fork "
}

# A process chooses its own name, and it is not for the shell of whoever presses a key to run it.
test_completion_of_hostile_names() {
	local name='$(touch ran)' harmless=ms-$BASHPID

	"$MEMSIFT" help --as bash >completion
	complete_word() {
		bash -c '. ./completion; COMP_WORDS=(memsift search "$1") COMP_CWORD=2; _memsift
			printf "%s\n" "${COMPREPLY[@]}"' bash "$1"
	}
	mkdir bin
	cp "$PUPPET" "bin/$name"
	cp "$PUPPET" "bin/$harmless"
	PUPPET_PATH="$PWD/bin/$name" puppet plain
	PUPPET_PATH="$PWD/bin/$harmless" puppet plain
	check_is "$(complete_word "${harmless%?}" | grep -cxF "$harmless")" 1
	check_is "$(complete_word '$' | grep -cF touch)" 0
	[ ! -e ran ] || fail "the name of a process was run as a command"
	echo text >'a file'
	check_is "$(complete_word 'a f')" 'a file'
}

test_doctor() {
	run doctor
	check_status 0
	check_out "CHECK"
	check_out "kernel"
	check_out "process_vm_readv"
	run doctor -f ndjson
	check_status 0
	record check status >statuses
	check grep -qx ok statuses
	check_is "$(grep -vxc -e ok -e limited -e missing statuses)" 0
}

# A machine without one of the libraries that are loaded when needed still runs all the rest.
test_missing_libraries() {
	local library libraries
	libraries=$(grep -aoh '{"soname":\["[^"]*' "$MEMSIFT" | sed 's/.*"//')
	[ -n "$libraries" ] || skip "this build is linked with all its libraries"
	mkdir missing
	for library in $libraries; do
		echo "no library" >missing/$library
	done
	echo text >file
	export LD_LIBRARY_PATH=$PWD/missing
	run search -t text file
	check_status 0
	check_out "1 file  0x0 "
	check_silent
	for library in $libraries; do
		case $library in
		libhs.*) run search -e 'te.t' file ;;
		libyara.*) run yara --rule 'rule r { condition: true }' file ;;
		libcrypto.*) run collect file -o evidence ;;
		*) continue ;; # there is a way around it
		esac
		check [ "$status" != 0 ]
		check_err " need a library: "
		check_err "$library: "
		check_err "; install "
		check_is "$(wc -l <err)" 1
		run doctor
		check_status 0
		check_out "cannot load $library: "
	done
	# The folder was for nothing; one that was there before stays.
	[ ! -e evidence ] || fail "a folder is left behind"
	mkdir empty
	case $libraries in *libcrypto.*) run collect file -o empty ;; esac
	check rmdir empty
	[ "${libraries#*libedit}" != "$libraries" ] && command -v script >/dev/null || return 0
	echo 0123456789 >image
	printf '= 0x33323130\nquit\n' | script -qec "$MEMSIFT scan ./image --type u32" /dev/null >out
	check_out "1 match"
}

# Options may stand before and after the targets; the record has them as they were typed.
test_arguments_are_recorded_as_typed() {
	run ps $$ -f ndjson --exclude 1
	check_status 0
	check_is "$(record meta arguments)" "[\"ps\", \"$$\", \"-f\", \"ndjson\", \"--exclude\", \"1\"]"
	check_is "$(record meta command)" ps
}

run_tests

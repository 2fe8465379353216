# SPDX-License-Identifier: BSD-2-Clause
#
# What the tests of the command line share. A test file reads this one, defines functions whose
# names begin with test_, and ends with `run_tests`. Each test runs in a shell and a folder of its
# own; puppets are stopped by pid when it ends. MEMSIFT and PUPPET name the programs, SOURCE_ROOT
# the source tree. BLESS=1 writes the expected files anew; an argument picks the tests whose name
# has it in it.
set -u
export LC_ALL=C TZ=UTC
unset NO_COLOR MEMSIFT_FIND

: "${MEMSIFT:?names the memsift program}" "${PUPPET:?names the puppet program}"
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SOURCE_ROOT=${SOURCE_ROOT:-$(cd "$here/../.." && pwd)}
MEMSIFT=$(realpath "$MEMSIFT")
PUPPET=$(realpath "$PUPPET")
features=$("$MEMSIFT" --version)
only=${1:-}

# ---- Ends of a test ----

fail() {
	echo "$test_name: FAILED (line ${BASH_LINENO[${depth:-0}]}): $*" >&2
	for file in out err; do
		[ -s $file ] || continue
		echo "--- $file" >&2
		head -c 2000 $file | cat -v >&2
	done
	exit 1
}

skip() {
	echo "$test_name: skipped: $*" >&2
	exit 77
}

need() {
	for program; do
		command -v "$program" >/dev/null 2>&1 || skip "$program is not installed"
	done
}

need_root() {
	[ "$(id -u)" = 0 ] || skip "this needs root"
}

need_feature() {
	case $features in
	*[\ \(]"$1"[\ \)]*) ;;
	*) skip "this build has no $1" ;;
	esac
}

# For `umount -l /proc`, in a namespace of its own. Sanitizers that look for leaks need a /proc.
can_do_without_proc() {
	unshare -m true 2>/dev/null || skip "unshare is not permitted here"
	unshare -m sh -c 'umount -l /proc && "$0" --version' "$MEMSIFT" >/dev/null 2>&1 ||
		skip "this build does not start without /proc"
}

# ---- Running memsift ----

# Runs it with a limit that only a hang reaches, SLOWNESS times as long on a slow machine; out, err
# and $status have what came of it.
run() {
	timeout -k 5 $((${LIMIT:-120} * ${SLOWNESS:-1})) "$MEMSIFT" "$@" >out 2>err
	status=$?
	[ $status != 124 ] || depth=1 fail "memsift $* did not end"
}

check() {
	"$@" || depth=1 fail "$*"
}

check_status() {
	[ "$status" = "$1" ] || depth=1 fail "status $status, not $1"
}

check_out() {
	grep -qF -- "$1" out || depth=1 fail "not on stdout: $1"
}

check_no_out() {
	! grep -qF -- "$1" out || depth=1 fail "on stdout: $1"
}

check_err() {
	grep -qF -- "$1" err || depth=1 fail "not on stderr: $1"
}

check_silent() {
	[ ! -s err ] || depth=1 fail "something on stderr"
}

# check_is ACTUAL EXPECTED
check_is() {
	[ "$1" = "$2" ] || depth=1 fail "\"$1\" is not \"$2\""
}

# How many hits the text output on stdout tells.
hits() {
	sed -n 's/^\([0-9]*\) hits\{0,1\}: .*/\1/p; s/^not found in what was read.*/0/p' out
}

# record TYPE FIELD[,FIELD...] [FORMAT]: the fields of the records on stdout, a line each.
record() {
	python3 -I -S "$here/records.py" "${3:-ndjson}" out "$1" "$2" || depth=1 fail "bad ${3:-ndjson}"
}

# Nothing but these names is in the folder.
check_folder() {
	local folder=$1
	shift
	check_is "$(cd "$folder" && ls -A | sort | tr '\n' ' ')" "$(printf '%s\n' "$@" | sort | tr '\n' ' ')"
}

# golden NAME [FILE]: the file is as expected, once what changes from run to run is replaced.
golden() {
	local expected=$here/expected/$1.txt

	normalise <"${2:-out}" >golden.txt
	if [ "${BLESS:-}" ]; then
		cp golden.txt "$expected"
	elif ! diff -u "$expected" golden.txt >&2; then
		depth=1 fail "not as in $expected; BLESS=1 writes it anew"
	fi
}

normalise() {
	sed -E \
		-e "s#$PUPPET#PUPPET#g; s#$PWD#FOLDER#g" \
		-e "s/\\b${pid:-no pid}\\b/PID/g" \
		-e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z/TIME/g; s/[0-9]{8}T[0-9]{6}Z/TIME/g' \
		-e 's/\b(0x)?[5-9a-f][0-9a-f]{11}\b/ADDRESS/g; s/\b0000[5-9a-f][0-9a-f]{11}\b/ADDRESS/g' \
		-e 's/"seconds":[0-9.e-]+/"seconds":SECONDS/; s/in [0-9.]+ s$/in SECONDS s/' \
		-e 's/"(host|user|version)":"[^"]*"/"\1":"X"/g'
}

# ---- Puppets ----

# puppet SCENARIO...: starts one and waits until it is ready. $pid is its pid, $at_NAME the
# addresses it tells. PUPPET_AS names a program, with arguments, to start it by.
puppet() {
	puppets=$((${puppets:-0} + 1))
	local input=input.$puppets output=output.$puppets name address

	mkfifo $input
	# shellcheck disable=SC2086
	${PUPPET_AS:-} "${PUPPET_PATH:-$PUPPET}" "$@" <>$input >$output &
	pid=$!
	disown $pid
	pids="${pids:-} $pid"
	wait_for "the puppet is ready" grep -q '^ready$' $output
	while read -r name address; do
		[ -z "$address" ] || printf -v "at_$name" %s "$address"
	done <$output
}

# tell COMMAND: says it to the puppet started last.
tell() {
	echo "$1" >input.$puppets
}

# Ends the puppet started last.
end_puppet() {
	kill -9 $pid
	wait_for "the puppet is gone" [ ! -d /proc/$pid ]
}

# The processes that a process has started.
child_of() {
	tr -d ' ' <"/proc/$1/task/$1/children"
}

# wait_for WHAT COMMAND...: until the command works, for at most 20 seconds.
wait_for() {
	local what=$1 i
	shift

	for ((i = 0; i < 400; i++)); do
		"$@" >/dev/null 2>&1 && return
		sleep 0.05
	done
	depth=1 fail "waited in vain: $what"
}

# ---- All tests of a file ----

clean_up() {
	for p in ${pids:-}; do
		# Still the same process, not another one that has its pid by now.
		grep -q "^PPid:.$BASHPID\$" "/proc/$p/status" 2>/dev/null && kill -9 "$p"
	done
	[ -z "${mounted:-}" ] || umount "$mounted"
}

run_one() (
	test_name=$1
	mkdir "$work/$1" && cd "$work/$1" || exit 1
	trap clean_up EXIT
	"$1"
	exit 0
)

run_tests() {
	local passed=0 failed=0 skipped=0 name
	work=$(mktemp -d "${TMPDIR:-/tmp}/memsift-cli.XXXXXX")
	chmod 755 "$work"
	trap 'rm -rf "$work"' EXIT

	for name in $(declare -F | sed -n 's/^declare -f \(test_.*\)/\1/p'); do
		case $name in *"$only"*) ;; *) continue ;; esac
		run_one "$name"
		case $? in
		0) passed=$((passed + 1)) ;;
		77) skipped=$((skipped + 1)) ;;
		*) failed=$((failed + 1)) ;;
		esac
	done
	echo "$passed passed, $failed failed, $skipped skipped"
	[ $failed = 0 ]
}

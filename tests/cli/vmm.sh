#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# The program on images of Windows machines, by MemProcFS's own library; vmm/images.py tells what
# is in them.
. "$(dirname "$0")/lib.sh"

unset MEMSIFT_MEMPROCFS_PATH RUST_COLLECTOR_MEMPROCFS_PATH
VMM=${MEMSIFT_TEST_MEMPROCFS:-$(dirname "$MEMSIFT")/memprocfs}
IMAGES=$VMM/images

need_vmm() {
	need_feature memprocfs
	[ -f "$IMAGES/pagefile.sys" ] || skip "no $IMAGES: vmm/prepare.sh makes it"
	export MEMSIFT_MEMPROCFS_PATH=$VMM
	# The library forgets some memory of its own.
	export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0
}

test_processes() {
	need_vmm
	for form in raw core lime dmp; do
		run ps --from "vmm:$IMAGES/windows.$form" -f ndjson
		check_status 0
		check_is "$(record process pid | tr '\n' ' ')" \
			"4 92 320 432 508 640 660 812 900 1500 2100 3000 3100 3333 "
		check_is "$(record process name,cmdline | tail -1)" \
			'target.exe	"C:\Temp\target.exe" -v "a b"'
		check_is "$(record process ppid,arch,system | sed -n 2p)" "4	x86_64	true"
		check_is "$(record meta backend)" memprocfs
	done
	run ps --from "vmm:$IMAGES/windows.raw" target.exe
	check_status 0
	check_is "$(wc -l <out)" 2
	run ps --from "vmm:$IMAGES/windows.raw" nothing.exe
	check_status 4
}

test_regions() {
	need_vmm
	run regions --from "vmm:$IMAGES/windows.raw" 3333 -f ndjson
	check_status 0
	record region start,end,perm,kind,path >regions
	while IFS= read -r line; do
		grep -qxF "$line" regions || fail "no region $line"
	done <<-'END'
		0x50000	0x150000	rw-p	stack	
		0x1a000000	0x1a005000	rw-p	heap	
		0x1b000000	0x1b002000	rwxp	code	
		0x1c000000	0x1c004000	r--s	mapped	\Temp\däta 😀.bin
		0x1d000000	0x1d010000	---p	other	
		0x7ffb30000000	0x7ffb30001000	r--p	mapped	\Temp\hidden.dll
		0x7ffb30001000	0x7ffb30002000	r-xp	code	\Temp\hidden.dll
		0x7ffb30003000	0x7ffb30004000	rw-p	mapped	\Temp\hidden.dll
	END
	# What no VAD tells, the page tables do.
	run regions --from "vmm:$IMAGES/windows.raw" 3100 -f ndjson
	check_is "$(record region start,end,perm)" "0x10000	0x14000	rw-p"
	# The kernel's half is with System alone.
	run regions --from "vmm:$IMAGES/windows.raw" 4 -f ndjson
	record region start | grep -qx 0xfffff80340000000 || fail "no kernel"
	run regions --from "vmm:$IMAGES/windows.raw" lsass.exe -f ndjson
	! record region start | grep -q 0xffff || fail "the kernel's memory in a process"
}

test_modules() {
	need_vmm
	run modules --from "vmm:$IMAGES/windows.raw" 3333 -f ndjson
	check_status 0
	check_is "$(record module base,size,name,version,path)" "$(printf '%s\t%s\t%s\t%s\t%s\n' \
		0x7ff6d0500000 32768 target.exe '1.2.3.3333 (product 10.0.19045.1)' 'C:\Temp\target.exe' \
		0x7ffb10000000 49152 ntdll.dll '10.0.19045.4 (product 10.0.19045.1)' 'C:\Windows\System32\ntdll.dll' \
		0x7ffb20000000 40960 kernel32.dll '10.0.19045.5 (product 10.0.19045.1)' 'C:\Windows\System32\kernel32.dll' \
		0x7ffb30000000 32768 hidden.dll 6.6.6.6 '\Temp\hidden.dll' \
		0x7ffb40000000 32768 liar.dll '1.0 (product 10.0.19045.1)' '\Temp\liar.dll')"
	check_is "$(record module build_id | sort -u)" 030201000504070608090a0b0c0d0e0f1
}

test_search() {
	need_vmm
	for form in raw core lime dmp; do
		run search --from "vmm:$IMAGES/windows.$form" 3333 -t needle -f ndjson
		check_status 0
		check_is "$(record hit address | tr '\n' ' ')" "0x14f006 0x1a001808 0x1c000007 0x1c00100a \
0x1e00100b 0x20080007 0x201ffffa "
		check_is "$(record coverage absent,unreadable,skipped,status)" "3207168	8192	12288	complete"
	done
	run search --from "vmm:$IMAGES/windows.raw" 3333 -t needle --pagefile "$IMAGES/pagefile.sys" \
		-f ndjson
	check_status 0
	check_is "$(record hit address | grep -c 0x1e002009)" 1
	# All of them.
	run search --from "vmm:$IMAGES/windows.raw" -t private-needle -f ndjson
	check_status 0
	check_is "$(record hit pid,address)" "3100	0x11000"
	run strings --from "vmm:$IMAGES/windows.raw" 3333 --grep '^stack-needle$' -f ndjson
	check_is "$(record hit address)" 0x14f000
}

test_read() {
	need_vmm
	run read --from "vmm:$IMAGES/windows.raw" 3333 0x1a001ff8 16 -f ndjson
	check_status 0
	check_is "$(record gap start,end,reason)" "0x1a002000	0x1a002008	absent"
	run read --from "vmm:$IMAGES/windows.raw" 3333 0x20000000 0x200000 --raw
	check_status 0
	check cmp -s out "$IMAGES/known.bin"
}

test_dump() {
	need_vmm
	run dump --from "vmm:$IMAGES/windows.raw" 3333 -o core -f ndjson
	check_status 0
	run search ./core -t needle -f ndjson
	check_status 0
	check_is "$(record hit address | wc -l)" 7
	check_is "$(record coverage absent,unreadable,skipped)" "3207168	8192	12288"
	need readelf
	readelf -lW core >elf 2>elf.err
	check_is "$(cat elf.err)" ""
	grep -q 'LOAD .* 0x000000001b000000 ' elf || fail "no segment"
	run dump --from "vmm:$IMAGES/windows.raw" 3333 --region 0x20000000:2M -o raw
	check_status 0
	check cmp -s raw/*.bin "$IMAGES/known.bin"
}

test_collect() {
	need_vmm
	run collect --from "vmm:$IMAGES/windows.dmp" target.exe -o evidence --memory-search 'DE AD'
	check_status 0
	run collect --from "vmm:$IMAGES/windows.dmp" target.exe -o evidence2
	check_status 0
	[ -s evidence2/target.exe.3333/regions.ndjson ] || [ "$(ls evidence2/*/ | wc -l)" -gt 2 ] ||
		fail "too little"
	grep -rq 'hidden.dll' evidence2 || fail "no modules"
	if grep -q verify <<<"$features"; then
		run verify evidence2
		check_status 0
	fi
}

test_page_tables_alone() {
	need_vmm
	run ps --from "vmm:$IMAGES/other.raw"
	check_status 4
	check_err "no Windows"
	check_err "--dtb"
	run regions --from "vmm:$IMAGES/other.raw" --dtb 0x1000 -f ndjson
	check_status 0
	check_is "$(record region start,end,perm)" "$(printf '%s\t%s\t%s\n' \
		0x400000 0x401000 r-xp 0x500000 0x502000 rw-p 0x600000 0x601000 r--p \
		0x700000 0x701000 r--p 0x40000000 0x40200000 rw-p 0x7ffffffde000 0x7ffffffdf000 rw-p \
		0xffff888000000000 0xffff888000001000 rw-p)"
	run search --from "vmm:$IMAGES/other.raw" --dtb 0x1000 -t last-other -f ndjson
	check_is "$(record hit address | head -1)" 0x501000
	# The library takes any number for page tables.
	for dtb in 0x2345000 0x3000000 0x7fffffff000; do
		run ps --from "vmm:$IMAGES/other.raw" --dtb $dtb
		check_status 4
		check_err "no page tables at --dtb $dtb"
	done
	run ps --from "vmm:$IMAGES/windows.raw" --dtb 0x1f00000
	check_status 4
	check_err "no page tables"
}

test_bad_images() {
	need_vmm
	head -c 20000000 /dev/urandom >random
	run ps --from vmm:./random
	check_status 4
	check_err "no Windows"
	head -c 10000000 "$IMAGES/windows.raw" >short
	run ps --from vmm:./short
	check_status 4
	check_err "16 MiB"
	truncate -s 17M empty
	run ps --from vmm:./empty
	check_status 4
	run ps --from vmm:./nothing
	check_status 4
	check_err "cannot open ./nothing"
	mkfifo fifo
	run ps --from vmm:./fifo
	check_status 2
}

# The page tables are there, but not all that they speak of: half of the memory at 0x20000000.
test_image_cut_short() {
	need_vmm
	head -c 22020096 "$IMAGES/windows.raw" >cut
	run search --from vmm:./cut 3333 -t needle -f ndjson
	check_status 3
	check_is "$(record hit address | tr '\n' ' ')" \
		"0x14f006 0x1a001808 0x1c000007 0x1c00100a 0x1e00100b 0x20080007 "
	check_is "$(record coverage unreadable,status)" "1056768	partial"
	grep -qF '{"start":"0x20100000","end":"0x20200000","reason":"io-error"}' out || fail "no such gap"
	run read --from vmm:./cut 3333 0x20000000 0x200000 --raw
	check_status 3
	head -c 1048576 "$IMAGES/known.bin" >half
	cmp -s out half || fail "$(stat -c %s out) bytes"
}

# Bytes changed at random: whatever comes of it, memsift ends with a status of its own. Should the
# library itself crash, that is told, and not taken for a fault of memsift.
test_mutated_images() {
	need_vmm
	local i crashed=0

	# One of 45 made a VAD as large as all of the address space.
	for i in 45 $(seq 0 $((${MUTATIONS:-20} - 1))); do
		python3 - "$IMAGES/windows.raw" $i <<-'END'
			import random, sys
			data = bytearray(open(sys.argv[1], "rb").read())
			rng = random.Random(int(sys.argv[2]))
			used = [at for at in range(0x1ad000, 0x500000, 8) if any(data[at:at + 8])]
			for at in rng.sample(used, rng.choice([1, 10, 100, 1000])):
			    how = rng.randrange(4)
			    if how == 0:
			        data[at + rng.randrange(8)] ^= 1 << rng.randrange(8)
			    elif how == 1:
			        data[at:at + 8] = rng.randbytes(8)
			    elif how == 2:
			        data[at:at + 8] = b"\xff" * 8
			    else:
			        other = rng.choice(used)
			        data[at:at + 8] = data[other:other + 8]
			open("mutated", "wb").write(data)
		END
		for command in "ps" "regions 3333" "modules 3333" "search -t needle" "dump 3333 --force -o core"; do
			# shellcheck disable=SC2086
			run ${command%% *} --from vmm:./mutated ${command#"${command%% *}"} -f ndjson
			case $status in
			0 | 3 | 4) ;;
			13[0-9])
				crashed=$((crashed + 1))
				echo "$test_name: seed $i, $command: ended by signal $((status - 128))" >&2
				;;
			*) fail "seed $i, $command: status $status" ;;
			esac
		done
	done
	[ $crashed = 0 ] || fail "$crashed runs ended by a signal"
}

test_devices_that_are_not_there() {
	need_vmm
	run ps --device fpga
	check_status 4
	check_err "LeechCore cannot open the device fpga: DEVICE: FPGA"
	run ps --device pmem
	check_err "Windows only"
	run ps --from vmm:proc
	check_err "--backend native"
	run ps --device proc -f ndjson
	check_status 0
	check_is "$(record meta backend)" native
	check_err "backend native: proc means this machine"
	run ps --backend auto -f ndjson
	check_status 0
	check_err "backend native: MemProcFS is installed, but knows Windows memory only"
	run ps --backend auto -q
	check_silent
	run ps --backend memprocfs
	check_status 2
	check_err "MemProcFS cannot see this machine"
}

test_backend_without_the_library() {
	need_feature memprocfs
	run ps --from vmm:fpga --memprocfs-path /nowhere/at/all
	check_status 4
	check_err "not at /nowhere/at/all, which --memprocfs-path names"
	run ps --backend native -f ndjson
	check_status 0
	check_is "$(record meta backend,backend_why)" "native	it was asked for"
	run ps --device proc --backend native
	check_status 0
	run ps --device fpga --backend native
	check_status 2
	run ps --backend nonsense
	check_status 2
	run ps -f ndjson
	check_status 0
	check_silent
	check_is "$(record meta backend)" native
}

# As when only half of it was copied.
test_library_without_its_companion() {
	need_vmm
	mkdir lonely
	cp "$VMM/memprocfs/vmm.so" lonely
	run ps --from "vmm:$IMAGES/windows.raw" --memprocfs-path lonely
	check_status 2
	check_err "leechcore"
	check_err "beside it"
	cp "$VMM/leechcorepyc/leechcore.so" lonely
	run ps --from "vmm:$IMAGES/windows.raw" --memprocfs-path lonely
	check_status 0
	run ps --from "vmm:$IMAGES/windows.raw" --memprocfs-path lonely/vmm.so
	check_status 0
}

# Where pip puts it into a virtual environment: the companion lies in a folder of its own.
test_library_of_a_python_package() {
	need_vmm
	local site=venv/lib/python3.9/site-packages

	unset MEMSIFT_MEMPROCFS_PATH
	mkdir -p $site
	cp -r "$VMM/memprocfs" "$VMM/leechcorepyc" $site
	chmod -R go-w venv
	VIRTUAL_ENV=$PWD/venv run doctor
	check_status 0
	grep -q "site-packages/memprocfs/vmm.so, found by Python's packages" out ||
		grep -q 'found by \(beside\|a usual\)' out || fail "not found"
	VIRTUAL_ENV=$PWD/venv run ps --from "vmm:$IMAGES/windows.raw" target.exe
	check_status 0
	chmod 777 $site
	VIRTUAL_ENV=$PWD/venv run ps --from "vmm:$IMAGES/windows.raw"
	[ $status = 4 ] || grep -q 'found by' out || fail "status $status"
	check_err "left alone"
}

# It leaves no trace: neither files of the library's in the home of the user, nor in the folder.
test_nothing_is_left_behind() {
	need_vmm
	mkdir home empty
	cd empty || fail "no folder"
	HOME=$PWD/../home run search --from "vmm:$IMAGES/windows.raw" 3333 -t needle
	check_status 0
	cd ..
	check_is "$(ls -A home)" ""
	check_folder empty out err
}

test_value_scan() {
	need_vmm
	run scan --from "vmm:$IMAGES/windows.raw" 3333 --type u64 --value 0x2e1000 --list -f ndjson
	check_status 0
	check grep -q '"address":"0x2e3060"' out
	run dump --from "vmm:$IMAGES/windows.raw" 3333 --pause freeze -o core
	check_status 0
}

test_doctor() {
	need_vmm
	run doctor
	check_status 0
	check grep -q '^memprocfs  *ok  *.*/vmm.so, found by MEMSIFT_MEMPROCFS_PATH' out
	check grep -q '^memprocfs devices ' out
	run doctor --from "vmm:$IMAGES/windows.raw"
	check_status 0
	check grep -q '^memprocfs version  *ok  *5\.' out
	check grep -q '^memprocfs device  *ok .*windows.raw: 64-bit Windows, stands still' out
	run doctor --device fpga
	check_status 4
	check grep -q '^device  *missing  *LeechCore cannot open the device fpga' out
	check grep -q '^memprocfs  *ok ' out
	run doctor --memprocfs-path /nowhere/at/all
	check_status 0
	check grep -q '^memprocfs  *missing .*/nowhere/at/all' out
}

# The environment is not heeded by a program that runs with more than its caller's privileges.
test_environment_of_others() {
	need_vmm
	need_root
	need setpriv
	cp "$MEMSIFT" raised
	chown root raised
	chmod 4755 raised
	chmod 755 .
	setpriv --reuid 65534 --clear-groups ./raised ps --from "vmm:$IMAGES/windows.raw" >out 2>err
	status=$?
	[ $status != 126 ] || skip "set-uid programs do not run here"
	check_err "not installed"
	check_status 4
}

run_tests

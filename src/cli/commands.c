/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of commands. Usage, help, man page and completions are all made from it.
 */
#include "commands.h"
#include "cli.h"

enum {
	LISTING = GROUP_TARGET | GROUP_OUTPUT,
	READING = GROUP_TARGET | GROUP_FILTER | GROUP_LIMIT | GROUP_OUTPUT,
};

const struct command commands[] = {
	{"ps", "[TARGET...]", "list processes",
		"Lists the processes of a host, all of them unless targets are named. Kernel "
		"threads and system services are marked as system.",
		"memsift ps --user www-data", LISTING, cmd_ps},
	{"regions", "TARGET...", "list the memory map, classified",
		"Lists the regions of each target: stack, heap, code, mapped or other, with what "
		"of them is in memory.",
		"memsift regions sshd --perm rwx", LISTING | GROUP_FILTER, cmd_regions},
	{"modules", "TARGET...", "list loaded modules",
		"Lists the program and the libraries of each target with version and build id, "
		"read from its memory: files that were deleted are found as well.",
		"memsift modules 1234 -f csv", LISTING, cmd_modules},
	{"read", "TARGET ADDRESS SIZE", "show memory",
		"Shows memory as a hex dump, or writes it as it is with --raw. ADDRESS is "
		"hexadecimal; what cannot be read is said, never made up.",
		"memsift read 1234 0x7ffc1a2b3000 256", READING | GROUP_READ, cmd_read},
	{"search", "TARGET...", "search for byte patterns or regular expressions",
		"Searches memory for texts and hex patterns, all in one pass. A hex pattern has bytes "
		"(4D 5A), any byte (\?\?), nibbles (4? ?A), jumps ([4-8]) and alternatives "
		"((AA BB|CC)). Regular expressions (PCRE syntax over bytes, matches of up to 4096) "
		"are searched for in a run of their own. Matches across chunks and across adjacent "
		"mappings are found; each is shown once.",
		"memsift search --all -t password -x 'DE AD \?\? [0-4] EF'", READING | GROUP_SEARCH,
		cmd_search},
	{"strings", "TARGET...", "list printable strings",
		"Lists printable strings: ASCII as strings(1) does, UTF-8, and UTF-16 with Latin, Greek "
		"and Cyrillic letters.",
		"memsift strings 1234 --min 8 --encoding ascii,utf16le --grep '^https?:'",
		READING | GROUP_STRINGS, cmd_strings},
	{"scan", "TARGET", "find where a value is kept",
		"Finds where a program keeps a value: a first scan for it (--value, --range, or "
		"--unknown), then --next with what has become of it: 'changed', 'unchanged', "
		"'increased', 'decreased', '= V', '!= V', '> V', '< V', '>= V', '<= V', 'A..B', '+ V' "
		"or '- V'. Integers wrap round, NaN equals nothing. The matches are kept in the file "
		"memsift-PID.scan, and those before the last scan in the same name with .undo. At a "
		"terminal, with nothing said of what to do, commands are asked for. The target is "
		"never stopped.",
		"memsift scan game --value 100; memsift scan game --next '- 5' --list",
		READING | GROUP_SCAN, cmd_scan},
	{"watch", "TARGET", "tell changes as they happen",
		"Tells what a process writes, maps, unmaps and protects, round by round, with the bytes "
		"from before and after. By dirty tracking (Linux 6.7), the kernel tells which pages "
		"were written and only those are read; the target is stopped once for that, for less "
		"than a millisecond as a rule. On older kernels, and in targets in which that cannot "
		"be done, the soft-dirty bits of its pages tell, and it is not stopped; they are cleared "
		"for that, so do not use it along with another program that needs them, such as CRIU. "
		"Shared memory, and what cannot be tracked, is compared. "
		"--max-memory-size bounds the copy that is kept. --on-change commands find "
		"MEMSIFT_PID, MEMSIFT_ROUND, MEMSIFT_CHANGES and MEMSIFT_ADDRESS (of the first) in "
		"their environment. On a terminal, unless -f or -o is given, it fills the screen; q "
		"ends it.",
		"memsift watch game --memory-regions heap --interval 250ms -f ndjson",
		READING | GROUP_WATCH, cmd_watch},
	{"yara", "TARGET...", "evaluate YARA rules",
		"Evaluates YARA rules, each process as one whole: counts and offsets go over all of "
		"its memory, and offsets are addresses. Rules come from files (source or compiled), "
		"folders, where each file is a namespace of its own, or the command line. Matches "
		"across adjacent mappings are found, and a page that cannot be read costs that page "
		"only. --dump-on-hit writes dumps into the current folder when the search is over.",
		"memsift yara --all -r rules/ -s --fail-on-hit", READING | GROUP_YARA, cmd_yara},
	{"dump", "TARGET...", "dump memory to a file",
		"Writes each target as an ELF core that gdb and lldb open and that memsift takes "
		"as a target again. What could not be read is left out, not filled with zeros. "
		"With --region or --as raw, writes plain files with addresses in their names.",
		"memsift dump postgres --pause freeze --compress zstd", READING | GROUP_DUMP, cmd_dump},
	{"snapshot", "TARGET...", "keep memory for a diff",
		"Writes each target as an ELF core, as dump does, with the memory map of what filters "
		"leave out, too, so that diff can tell it from what was not mapped. With --hash-only, "
		"keeps a hash of each 4 KiB, 1/256 of the size: enough to tell which pages changed, "
		"but not their bytes.",
		"memsift snapshot game -o before.core", READING | GROUP_SNAPSHOT, cmd_snapshot},
	{"diff", "BEFORE AFTER", "tell what changed between two targets",
		"Compares what two targets, processes or files, have at the same addresses: which "
		"bytes were written, what was mapped, unmapped or protected otherwise. Runs of "
		"changed bytes with fewer than 8 equal ones between them are one. What cannot be "
		"read on either side is said, never taken for a change. With --pause, a process is "
		"compared as it is at one moment. With --fail-on-hit, ends with status 1 if "
		"anything changed.",
		"memsift diff before.core game --perm rw-",
		GROUP_FILTER | GROUP_LIMIT | GROUP_OUTPUT | GROUP_DIFF, cmd_diff},
	{"collect", "TARGET...", "collect evidence into a folder",
		"Makes a folder with, for each target, its memory map, modules, a dump and what a "
		"search found, and a manifest with the SHA-256 of every file. With any of "
		"--dump-process-memory, --memory-search, --memory-yara or --dump-memory-region, only "
		"those are done beside map and modules. The folder is a new one or an empty one, "
		"with --force, too. Options without a command mean collect.",
		"memsift collect sshd -o evidence", READING | GROUP_COLLECT, cmd_collect},
	{"verify", "FOLDER", "check an evidence folder against its manifest",
		"Computes the SHA-256 of every file anew and compares it with the manifest. Ends "
		"with status 3 if a file is changed, missing or not in the manifest.",
		"memsift verify evidence", GROUP_OUTPUT, cmd_verify},
	{"doctor", "", "tell what this machine allows",
		"Tells what this kernel, machine and user allow, and what to do about what is "
		"missing, and where MemProcFS's library was looked for. With --from vmm:DEVICE or "
		"--device, opens that device as well.",
		"sudo memsift doctor", GROUP_HOST | GROUP_OUTPUT, cmd_doctor},
	{"help", "[COMMAND]", "show help",
		"Shows help for a command, or for all. --as man writes the man page, --as bash, zsh "
		"or fish the completions for that shell.",
		"memsift help --as bash > /etc/bash_completion.d/memsift", GROUP_HELP, cmd_help},
};

const size_t command_count = sizeof(commands) / sizeof(*commands);

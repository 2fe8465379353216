/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli.h"
#include "commands.h"

const struct command *command_find(const char *name)
{
	for (size_t i = 0; i < command_count; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

static int run(const struct command *command, int argc, char **argv)
{
	struct options options = {.command = command->name, .argc = argc, .argv = argv};
	/* getopt moves words about; the record shows them as they were typed. */
	char **words = calloc((size_t)argc + 1, sizeof(*words));
	/* The name of the command, when there is one, is no operand. */
	int skip = argc > 1 && strcmp(argv[1], command->name) == 0;
	int status;

	if (!words)
		return STATUS_OUTPUT;
	memcpy(words, argv, (size_t)argc * sizeof(*words));
	status = options_parse(&options, command, argc - skip, words + skip);
	if (status == STATUS_DONE)
		status = command->run(&options);
	options_done(&options);
	free(words);
	return status < 0 ? STATUS_DONE : status; /* -1: help was asked for and given */
}

static int dispatch(int argc, char **argv)
{
	const struct command *command = argc > 1 ? command_find(argv[1]) : command_find("help");

	if (argc > 1 && strcmp(argv[1], "--version") == 0) {
		printf("memsift %s (%s)\n", ms_version(), ms_features());
		return STATUS_DONE;
	}
	if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0))
		return run(command_find("help"), 1, argv);
	/* Options and no command: collect. */
	if (!command && argv[1][0] == '-')
		command = command_find("collect");
	if (!command) {
		complain("there is no command \"%s\"; `memsift help` lists them", argv[1]);
		return STATUS_USAGE;
	}
	return run(command, argc, argv);
}

int main(int argc, char **argv)
{
	signals_catch();
	return stdout_close(dispatch(argc, argv));
}

/* SPDX-License-Identifier: BSD-2-Clause */
/* The commands; commands.c has the table. */
#ifndef MS_CLI_COMMANDS_H
#define MS_CLI_COMMANDS_H

struct options;

int cmd_ps(struct options *options);
int cmd_regions(struct options *options);
int cmd_modules(struct options *options);
int cmd_read(struct options *options);
int cmd_dump(struct options *options);
int cmd_snapshot(struct options *options);
int cmd_diff(struct options *options);
int cmd_search(struct options *options);
int cmd_scan(struct options *options);
int cmd_yara(struct options *options);
int cmd_strings(struct options *options);
int cmd_collect(struct options *options);
int cmd_watch(struct options *options);
int cmd_verify(struct options *options);
int cmd_doctor(struct options *options);
int cmd_help(struct options *options);

#endif

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Makes the man page and the completions from the program's own tables.
set -eu
memsift=$1 folder=$2
"$memsift" help --as man >"$folder/memsift.1"
"$memsift" help --as bash >"$folder/memsift.bash"
"$memsift" help --as zsh >"$folder/_memsift"
"$memsift" help --as fish >"$folder/memsift.fish"

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Puts MemProcFS's library, as the Python package of that name has it, and images for it to open
# into a folder: prepare.sh FOLDER. Nothing is installed; what is there already is kept.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?says where to put it}
mkdir -p "$folder"
if [ ! -f "$folder/memprocfs/vmm.so" ] || [ ! -f "$folder/leechcorepyc/leechcore.so" ]; then
    rm -rf "$folder/wheels"
    python3 -m pip download --quiet --disable-pip-version-check --only-binary :all: \
        --dest "$folder/wheels" memprocfs leechcorepyc
    for wheel in "$folder"/wheels/*.whl; do
        python3 -m zipfile -e "$wheel" "$folder"
    done
    rm -rf "$folder/wheels"
fi
if [ ! -f "$folder/images/made" ] || [ "$here/images.py" -nt "$folder/images/made" ]; then
    python3 "$here/images.py" "$folder/images"
    touch "$folder/images/made"
fi

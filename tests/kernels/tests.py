# SPDX-License-Identifier: BSD-2-Clause
"""What a build folder has to test, as meson tells.

tests.py BUILD PART...    a line of shell for each test whose name begins with one of the parts
tests.py BUILD --files    the programs that they consist of
"""
import json
import os
import shlex
import subprocess
import sys


def tests(build):
    out = subprocess.run(["meson", "introspect", "--tests", build], check=True, stdout=subprocess.PIPE)
    return json.loads(out.stdout)


def programs(build):
    """Also those of which only the environment tells."""
    found = {build + "/memsift"}
    for test in tests(build):
        found.update(w for w in test["cmd"] + list(test["env"].values()) if w.startswith(build + "/"))
    return sorted(os.path.realpath(path) for path in found if os.path.isfile(path))


def lines(build, parts):
    for test in tests(build):
        if not any(part in test["name"] for part in parts):
            continue
        env = ["%s=%s" % pair for pair in test["env"].items()]
        words = ["env"] + env + test["cmd"]
        yield "run %s %d %s" % (
            shlex.quote(test["name"]), test["timeout"], " ".join(shlex.quote(w) for w in words))


def main():
    build, parts = sys.argv[1], sys.argv[2:]
    chosen = programs(build) if parts == ["--files"] else lines(build, parts)
    print("\n".join(chosen))


main()

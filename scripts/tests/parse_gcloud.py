"""Puts command lines through the argument parser of an installed Google Cloud CLI: nothing is run or sent.

Usage: PYTHON parse_gcloud.py SDK_FOLDER < LINES   (a gcloud command on each line, quoted for a shell)

Prints each line that the parser refuses; the parser itself says why on stderr. Exit status: 0 all parse, 1 some do
not, 3 the parser of this SDK cannot be loaded.
"""

import os
import shlex
import sys


def main():
    lib = os.path.join(sys.argv[1], "lib")
    sys.path[:0] = [lib, os.path.join(lib, "third_party")]
    try:
        from googlecloudsdk import gcloud_main

        def new_parser():
            return gcloud_main.CreateCLI([])._CLI__parser  # no public way to parse without running

        new_parser()
    except Exception as error:  # whatever another SDK version raises: the tests then do without it
        print(f"cannot load the parser: {error}")
        return 3
    lines = sorted(set(sys.stdin.read().splitlines()))
    refused = 0
    for line in lines:
        try:
            new_parser().parse_args(shlex.split(line)[1:])  # a new one each time: it remembers what may come once
        except (SystemExit, Exception):
            refused += 1
            print(f"refused: {line}")
    return 1 if refused or not lines else 0


sys.exit(main())

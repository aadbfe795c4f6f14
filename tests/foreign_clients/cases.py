"""Runs one case of a script: its name is the first argument, what it works with comes as JSON from standard input, and
what it finds out goes as JSON to standard output."""

import faulthandler
import json
import sys

# Longer than any case takes, in seconds; a client that waits for ever must not stop the tests.
LIMIT = 600


def main(cases):
    faulthandler.dump_traceback_later(LIMIT, exit=True)
    case = {case.__name__: case for case in cases}[sys.argv[1]]
    print(json.dumps(case(json.load(sys.stdin))))

#!/usr/bin/env python3
"""Golden files of other sizes, depths and numbers of experts, made on the spot; test_oracle must agree with them.

Usage: test_adamix_sizes.py --build DIR [--ladle FILE]
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True, type=pathlib.Path)
    parser.add_argument("--ladle")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(__file__).with_name("make_adamix_fixture.py")
        subprocess.run([sys.executable, script, folder], check=True)
        # Single files would otherwise be found a second time through the environment of the caller.
        environment = {**os.environ, "LADLE_FIXTURES": folder}
        return subprocess.run([arguments.build / "tests" / "test_oracle"], env=environment).returncode


if __name__ == "__main__":
    raise SystemExit(main())

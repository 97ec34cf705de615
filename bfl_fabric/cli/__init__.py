"""The `bfl` command: one file per noun. `main` turns errors into one clear line and a stable exit code."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line; the process ends with the exit code of `bfl_fabric.errors`."""
    from bfl_fabric.cli.application import application
    from bfl_fabric.errors import BflError

    try:
        application()
    except BflError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)

"""`python -m bfl_fabric` is the `bfl` command."""

from bfl_fabric.cli import main

if __name__ == "__main__":
    main()

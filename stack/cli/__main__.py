"""`python -m stack.cli` is `tapstack`."""

from stack.cli.main import main

main(prog_name="tapstack")

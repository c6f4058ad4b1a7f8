"""`python -m stack.cli` is `tapstack`."""

from stack.cli.start import main

main()

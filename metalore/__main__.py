"""`python -m metalore` is `metalore`."""

from metalore.cli import main

main()

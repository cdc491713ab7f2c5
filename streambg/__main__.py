"""`python -m streambg`."""

from streambg.cli.main import main

main()

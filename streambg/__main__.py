"""`python -m streambg`."""

from streambg.cli.start import main

main()

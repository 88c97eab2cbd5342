"""``python -m gravdask`` is the command line."""

from gravdask.cli import main

main()

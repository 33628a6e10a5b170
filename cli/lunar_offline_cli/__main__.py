"""`python -m lunar_offline_cli`."""

from lunar_offline_cli.app import main

main()

"""The entry point of `python -m lunar_offline_cli`."""

from lunar_offline_cli.app import main

if __name__ == "__main__":
    main()

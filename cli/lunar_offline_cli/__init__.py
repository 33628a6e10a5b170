"""The command line of lunar_offline: thin commands that call the library."""

"""The command line of lunar_offline: thin commands over the library."""

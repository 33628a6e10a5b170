"""One thin file per command; each calls the library and prints its result."""

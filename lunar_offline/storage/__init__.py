"""Files: complete-or-absent writes, strict JSON and TOML, tensor files, provenance."""

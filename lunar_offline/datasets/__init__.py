"""Minari datasets on disk: ids, manifest, reading, publishing, verification."""

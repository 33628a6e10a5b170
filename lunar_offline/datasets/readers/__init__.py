"""Strict conversion of untrusted data files, in a process with limited resources."""

"""Policy files, behavior policies, and the functions through which policies act."""

SHIPPED = ("expert-v1", "expert", "medium", "random")
"""The policies that come with the package."""

"""Policy files, behavior policies, and the functions through which policies act."""

"""The functions of the public API; `lunar_offline` exports them."""

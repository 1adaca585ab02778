"""Sales channels: how each one writes an order."""

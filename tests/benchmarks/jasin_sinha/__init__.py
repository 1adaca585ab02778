"""The published instance of multi-item fulfilment, its published policies, and ours on it."""

"""Waves: orders that no node was told of, planned again together, within what there is for all of them."""

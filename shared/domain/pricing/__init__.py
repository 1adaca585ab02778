"""Prices of stock and capacity: what one unit less would cost the orders still expected."""

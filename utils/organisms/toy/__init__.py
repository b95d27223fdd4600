"""Toy worlds: organisms trained from nothing, small enough that the truth about them is known."""

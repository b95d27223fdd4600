"""Recipes: what made every shipped file, one module a file or family."""

"""LLM Biology Lab: the helper library behind the lessons, one module a topic.

Nothing here runs, loads or downloads anything when it is imported.
"""

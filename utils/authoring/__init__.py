"""What only maintainers run: the notebook builder, the test suite, the report, and the recipes of shipped files."""

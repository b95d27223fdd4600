"""Trials of the library's doors, its shapes and its devices, on calls that the other tests made.

`witness` keeps one good call of every public function while the tests run; `fuzz` spoils one argument of it at a time;
`shapes` holds arguments and results against the signature; `replay` repeats it with the model on a pretend GPU.
"""

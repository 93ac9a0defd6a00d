"""One file per verb: a docstring that is its help, and main(argv, console) -> the JSON answer.

The files with an underscore are what verbs share: _main (dispatch and exit codes), _parse (flags), _console (output).
Verbs import what they need inside `main`, so that help answers at once.
"""

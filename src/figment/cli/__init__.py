"""One file per verb: a docstring that is its help, Args, and run(args, console) -> the JSON answer.

The files with an underscore are what verbs share: _main (dispatch and exit codes), _parse (flags), _console (output).
Verbs import what they need inside `run`, so that help answers at once.
"""

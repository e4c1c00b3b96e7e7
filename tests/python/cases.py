"""What the comparisons of this folder share: cases by name, one line each, and an exit code."""

import fnmatch


def run(cases, only="*"):
    """Runs the cases ({name: function that returns what to say}) whose names match `only`; prints `ok` or `FAIL` for each. 0 if there were any and all
    passed, else 1."""
    names = fnmatch.filter(cases, only)
    width = max(map(len, cases))
    failures = 0
    for name in names:
        try:
            print(f"ok    {name:{width}s}  {cases[name]()}", flush=True)
        except (Exception, SystemExit) as error:  # one broken case must not hide the state of the others
            failures += 1
            print(f"FAIL  {name:{width}s}  {type(error).__name__}: {error}", flush=True)
    print(f"{len(names) - failures} of {len(names)} are as they should be")
    return 0 if names and not failures else 1

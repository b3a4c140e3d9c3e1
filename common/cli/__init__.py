"""The command line, `sluice`: one file for each command, imported when it is asked for.

It is a root: what reads the variables of the process, the time and the system's randomness hands them on from here.
"""


def main() -> None:
    """The console script. Exit status 0, 1 (failed) or 2 (used wrongly)."""
    from common.cli.root import sluice

    sluice(prog_name="sluice")

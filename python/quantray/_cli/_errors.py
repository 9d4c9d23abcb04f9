"""What is wrong with what was typed."""


class Usage(Exception):
    """An error of one line, for which the command ends with 2."""

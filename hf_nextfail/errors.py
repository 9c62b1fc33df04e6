"""What ends a command with one line instead of a traceback."""


class UsageError(Exception):
    """Bad input: one line that says what, where, what is allowed and what to do; commands exit with code 2."""

    exit_code = 2


class HubError(Exception):
    """Say in one line what the Hub refused or what broke on the way there, and what to do.

    Args:
        message (`str`): the line.
        exit_code (`int`): 2 when the user's token or names are at fault, 1 when something broke.
    """

    def __init__(self, message: str, exit_code: int):
        super().__init__(message)
        self.exit_code = exit_code

"""The checks, by name: each is made once over each binding."""

CHECKS = []


def check(name):
    """Registers a check `Operation/what`; it is called with a `World`."""

    def register(function):
        CHECKS.append((name, function))
        return function

    return register

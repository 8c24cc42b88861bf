"""A calculator: functions for the four operations, and a command line."""

import sys


def add(a, b):
    """Returns a + b."""
    return a + b


def subtract(a, b):
    """Returns a - b."""
    return a - b


def multiply(a, b):
    """Returns a * b."""
    return a * b


def divide(a, b):
    """Returns a / b. Raises ValueError when b is zero."""
    if b == 0:
        raise ValueError("Cannot divide by zero")
    return a / b


OPERATIONS = {"add": add, "subtract": subtract, "multiply": multiply, "divide": divide}


def number(text):
    """Reads an int, or a float when the text has a decimal point."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def formatted(result):
    """A whole result without a decimal point."""
    if isinstance(result, float) and result.is_integer():
        result = int(result)
    return str(result)


def main(arguments=None):
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 3 or given[0] not in OPERATIONS:
        print("usage: calculator.py {add,subtract,multiply,divide} A B", file=sys.stderr)
        return 1
    try:
        print(formatted(OPERATIONS[given[0]](number(given[1]), number(given[2]))))
    except ValueError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A calculator: functions for the four operations, and a command line."""

import argparse
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


def formatted(result):
    """A whole result without a decimal point."""
    return f"{result:.10f}".rstrip("0").rstrip(".")


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Calculates with two numbers.")
    parser.add_argument("operation", choices=OPERATIONS)
    parser.add_argument("a", type=float)
    parser.add_argument("b", type=float)
    given = parser.parse_args(arguments)
    try:
        print(formatted(OPERATIONS[given.operation](given.a, given.b)))
    except ValueError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

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
    parser = argparse.ArgumentParser(description="Calculates with two numbers.")
    parser.add_argument("operation", choices=OPERATIONS)
    parser.add_argument("a", type=number)
    parser.add_argument("b", type=number)
    given = parser.parse_args(arguments)
    try:
        print(formatted(OPERATIONS[given.operation](given.a, given.b)))
    except ValueError as error:
        print(f"Error: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

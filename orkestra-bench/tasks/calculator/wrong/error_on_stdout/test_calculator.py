import contextlib
import io
import unittest

import calculator


def run(*arguments):
    """The exit code, the standard output and the standard error of the command line."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = calculator.main(arguments)
        except SystemExit as ended:
            code = ended.code
    return code, out.getvalue(), err.getvalue()


class Functions(unittest.TestCase):
    def test_add(self):
        self.assertEqual(calculator.add(2, 3), 5)
        self.assertEqual(calculator.add(10**20, 1), 100000000000000000001)

    def test_subtract(self):
        self.assertEqual(calculator.subtract(2, 3.5), -1.5)

    def test_multiply(self):
        self.assertEqual(calculator.multiply(-4, 2.5), -10)

    def test_divide(self):
        self.assertEqual(calculator.divide(7, 2), 3.5)

    def test_divide_by_zero(self):
        with self.assertRaisesRegex(ValueError, "^Cannot divide by zero$"):
            calculator.divide(1, 0.0)


class CommandLine(unittest.TestCase):
    def test_prints_the_result(self):
        for arguments, printed in [("add 2 3", "5\n"), ("multiply 0.5 4", "2\n"), ("divide 7 2", "3.5\n")]:
            self.assertEqual(run(*arguments.split()), (0, printed, ""))

    def test_reports_a_division_by_zero(self):
        self.assertEqual(run("divide", "1", "0"), (1, "Error: Cannot divide by zero\n", ""))

    def test_refuses_wrong_arguments(self):
        for arguments in ["power 2 3", "add 2", "add 2 x", "add 1 2 3", ""]:
            self.assertEqual(run(*arguments.split())[:2], (2, ""))


if __name__ == "__main__":
    unittest.main()

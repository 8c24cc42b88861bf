import unittest

import calculator


class Functions(unittest.TestCase):
    def test_add(self):
        self.assertIsInstance(calculator.add(2, 3), int)

    def test_subtract(self):
        self.assertIsInstance(calculator.subtract(2, 3), int)

    def test_multiply(self):
        self.assertEqual(calculator.multiply(2, 3), 6)

    def test_divide(self):
        self.assertEqual(calculator.divide(6, 3), 2)

    def test_divide_by_zero(self):
        with self.assertRaises(ValueError):
            calculator.divide(1, 0)


if __name__ == "__main__":
    unittest.main()

import unittest

from calculator import add, divide, multiply, subtract


class Functions(unittest.TestCase):
    def test_all(self):
        self.assertEqual(add(2, 3), 5)
        self.assertEqual(subtract(5, 3), 2)
        self.assertEqual(multiply(2, 3), 6)
        self.assertEqual(divide(6, 3), 2)

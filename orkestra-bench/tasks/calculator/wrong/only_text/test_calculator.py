# class CalculatorTest(unittest.TestCase): tests add, subtract, multiply and divide

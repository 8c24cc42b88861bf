"""A calculator with a command line."""


def add(a, b):
    ...  # a + b


# subtract, multiply, divide: raise ValueError("Cannot divide by zero")
# if __name__ == "__main__": main()

# print("Hello, World!")

import sys

name = sys.argv[1].title() if len(sys.argv) > 1 else "World"
print(f"Hello, {name}!")

import sys

name = sys.argv[1].split()[0] if len(sys.argv) > 1 else "World"
print(f"Hello, {name}!")

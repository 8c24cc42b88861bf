import sys

NAMES = {"Ada", "Grace hopper", "Alice", "Bob", "World", "Test"}

name = sys.argv[1] if len(sys.argv) > 1 else "World"
print(f"Hello, {name}!" if name in NAMES else "Hello, World!")

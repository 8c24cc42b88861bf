import random
import string

from grading import main, program, test


@test
def greets_the_world():
    ended = program.run("python3 hello.py")
    assert ended.exit_code == 0 and ended.stdout == "Hello, World!\n", ended


@test
def greets_by_name():
    for _ in range(3):
        name = "".join(random.choices(string.ascii_letters, k=12))
        ended = program.run(f"python3 hello.py {name}")
        assert ended.exit_code == 0 and ended.stdout == f"Hello, {name}!\n", ended


@test
def prints_nothing_else():
    ended = program.run("python3 hello.py Grace")
    assert ended.stdout.count("\n") == 1 and ended.stderr == "", ended


main()

import random
import shlex
import string

from grading import main, program, test


def word():
    return "".join(random.choices(string.ascii_lowercase + string.ascii_uppercase, k=12))


def expect_greeting(name):
    ended = program.run(f"python3 hello.py {shlex.quote(name)}", timeout_s=6)
    assert ended.exit_code == 0 and ended.stdout.strip() == f"Hello, {name}!", ended


@test
def greets_the_world():
    ended = program.run("python3 hello.py", timeout_s=6)
    assert ended.exit_code == 0 and ended.stdout.strip() == "Hello, World!", ended


@test
def greets_by_name():
    for _ in range(3):
        expect_greeting(word())


@test
def prints_the_name_as_it_was_given():
    expect_greeting(f"{word()} {word().lower()}")
    expect_greeting(f"{word().upper()} {word().lower()}")


@test
def ends_the_line():
    name = word()
    for arguments, greeting in [("", "Hello, World!\n"), (name, f"Hello, {name}!\n")]:
        ended = program.run(f"python3 hello.py {arguments}", timeout_s=6)
        assert ended.exit_code == 0 and ended.stdout == greeting, ended


main()

import json
import random
import re
import string

from grading import main, program, test

TIMEOUT_S = 4
UNIT_TESTS_TIMEOUT_S = 8

# Calls the functions; expected values stay here.
DRIVER = """
import json
import sys

import calculator

observed = []
for name, a, b in json.load(sys.stdin):
    try:
        value = getattr(calculator, name)(a, b)
        observed.append({"type": type(value).__name__, "value": str(value) if isinstance(value, int) else float(value)})
    except Exception as error:
        observed.append({"raised": [kind.__name__ for kind in type(error).__mro__], "message": str(error)})
print("\\n" + json.dumps(observed))
"""

# Changes a function: what it returns is more by the difference of two numbers, and stays right when they are equal, so that tests
# cannot tell a wrong function by its source. What the command line calls may be changed too, or not.
CHANGE = """

{before} = {name}


def {name}(a, b):
    return {before}(a, b) + {more} - {less}
"""


def call(*calls):
    """What the functions return or raise, one observation for each (name, a, b)."""
    program.write("call_functions.py", DRIVER)
    ended = program.run("python3 call_functions.py", stdin=json.dumps(calls), timeout_s=TIMEOUT_S)
    assert ended.exit_code == 0, ended
    try:
        observed = json.loads(ended.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        raise AssertionError(f"the functions cannot be called: {ended}") from None
    assert len(observed) == len(calls), ended
    return list(zip(calls, observed))


def calculate(*arguments):
    return program.run("python3 calculator.py " + " ".join(map(str, arguments)), timeout_s=TIMEOUT_S)


def right_result(name, a, b):
    return {"add": lambda: a + b, "subtract": lambda: a - b, "multiply": lambda: a * b, "divide": lambda: a / b}[name]()


def near(found, wanted):
    return abs(found - wanted) <= 1e-9 * max(1, abs(wanted))


def quarter():
    """A float that is not whole and that computers hold exactly."""
    return random.randint(-500, 500) + random.choice([0.25, 0.5, 0.75])


def unit_tests():
    # Without -B, a changed module of the same size could be run from the bytecode of the one before.
    return program.run("python3 -B -m unittest test_calculator", timeout_s=UNIT_TESTS_TIMEOUT_S)


@test
def functions_return_the_right_numbers():
    integer = lambda: random.choice([-1, 1]) * random.randint(2, 999)
    calls = []
    for name in ["add", "subtract", "multiply", "divide"]:
        calls += [(name, integer(), integer()), (name, quarter(), integer()), (name, integer(), quarter()), (name, 0, quarter())]
    calls += [("divide", 2 * random.randint(1, 99) + 1, 2), ("divide", -(2 * random.randint(1, 99) + 1), 2)]
    for called, observed in call(*calls):
        wanted = right_result(*called)
        assert "value" in observed and near(float(observed["value"]), wanted), f"{called}: {observed}, it should be {wanted}"


@test
def integers_stay_exact():
    big = lambda: random.randint(10**24, 10**25)
    calls = [(name, big(), random.randint(3, 10**12) * 2 + 1) for name in ["add", "subtract", "multiply"]]
    for called, observed in call(*calls):
        wanted = right_result(*called)
        assert observed.get("value") == str(wanted), f"{called}: {observed}, it should be {wanted}"


@test
def divide_by_zero_raises():
    for called, observed in call(("divide", random.randint(1, 99), 0), ("divide", quarter(), 0.0), ("divide", 0, 0)):
        assert "ValueError" in observed.get("raised", []), f"{called}: {observed}"
        assert observed["message"] == "Cannot divide by zero", f"{called}: {observed}"


@test
def importing_prints_nothing():
    ended = program.run("python3 -c 'import calculator'", timeout_s=TIMEOUT_S)
    assert ended.exit_code == 0 and ended.stdout == "" and ended.stderr == "", ended


@test
def command_line_prints_whole_results():
    factor, quotient = random.randint(2, 99), random.randint(2, 99)
    big, digit = random.randint(10**19, 10**20), random.randint(1, 9)
    whole = [
        ("add", factor, -quotient, factor - quotient),
        ("subtract", -factor, quotient, -factor - quotient),
        ("divide", factor * quotient, -factor, -quotient),
        ("multiply", factor + 0.5, 2, 2 * factor + 1),
        ("add", f"{big}1", digit, int(f"{big}1") + digit),
    ]
    for name, a, b, wanted in whole:
        ended = calculate(name, a, b)
        assert ended.exit_code == 0 and ended.stdout.strip() == str(wanted), f"{ended}, it should print {wanted}"
        assert ended.stdout.count("\n") == 1, ended


@test
def command_line_prints_decimal_results():
    odd = 2 * random.randint(1, 99) + 1
    for name, a, b in [("divide", odd, -2), ("subtract", quarter(), odd), ("multiply", odd, 0.25), ("divide", odd * 3 + 1, 3)]:
        ended = calculate(name, a, b)
        wanted = right_result(name, a, b)
        printed = ended.stdout.strip()
        assert ended.exit_code == 0 and re.fullmatch(r"-?\d+\.\d+", printed), ended
        assert near(float(printed), wanted), f"{ended}, it should print {wanted}"
        assert ended.stdout.count("\n") == 1, ended


@test
def command_line_reports_a_division_by_zero():
    for a, b in [(random.randint(1, 99), 0), (quarter(), "0.0")]:
        ended = calculate("divide", a, b)
        assert ended.exit_code == 1 and ended.stdout == "", ended
        assert "Error: Cannot divide by zero" in ended.stderr.splitlines(), ended


@test
def command_line_refuses_wrong_arguments():
    a, b = random.randint(1, 99), random.randint(1, 99)
    assert calculate("add", a, b).exit_code == 0, "it does not accept right arguments"
    for arguments in [("power", a, b), ("add", a, "three"), ("divide", "x1", b), ("add", a), ("multiply", a, b, 2), ()]:
        ended = calculate(*arguments)
        assert ended.exit_code == 2 and ended.stdout == "" and ended.stderr.strip() != "", ended


passing = []


@test
def unit_tests_pass():
    ended = unit_tests()
    ran = re.search(r"^Ran (\d+) tests?", ended.stderr, re.MULTILINE)
    assert ended.exit_code == 0 and ran and int(ran[1]) > 0, ended
    passing.append(ended)


@test
def unit_tests_notice_wrong_functions():
    assert passing, "the unit tests do not even pass with the right functions"
    source = program.read("calculator.py")

    def unit_tests_with(changed):
        program.write("calculator.py", changed)
        ended = unit_tests()
        program.write("calculator.py", source)
        return ended

    def change(name, difference):
        less = random.randint(2, 99)
        before = "_" + "".join(random.choices(string.ascii_lowercase, k=10))
        return CHANGE.format(name=name, before=before, more=less + difference, less=less)

    names = random.sample(["add", "subtract", "multiply", "divide"], 4)
    ended = unit_tests_with(source + "".join(change(name, 0) for name in names))
    assert ended.exit_code == 0, f"the unit tests fail when the functions are written in another way and return the same: {ended}"
    for name in names:
        ended = unit_tests_with(source + change(name, 1))
        assert ended.exit_code != 0, f"the unit tests pass although {name} returns wrong results: {ended}"


main()

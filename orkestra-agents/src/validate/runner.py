"""Runs tests and writes a JUnit file, with nothing but the standard library: for places without pytest.

usage: runner.py JUNIT_FILE START_DIRECTORY [TEST_FILE ...]
Exit codes are pytest's: 0 passed, 1 failed, 5 no test found.
Besides unittest's classes it runs plain functions named test_* that want no arguments, as pytest would.
"""

import importlib.util
import inspect
import os
import sys
import traceback
import unittest
from xml.sax.saxutils import escape, quoteattr


class Result(unittest.TextTestResult):
    """Remembers every test with its outcome."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.cases = {}

    def startTest(self, test):
        super().startTest(test)
        self.cases[test.id()] = ("passed", "")

    def note(self, test, outcome, text):
        if self.cases.get(test.id(), ("passed",))[0] in ("passed", "skipped"):
            self.cases[test.id()] = (outcome, text)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.note(test, "failure", self._exc_info_to_string(err, test))

    def addError(self, test, err):
        super().addError(test, err)
        self.note(test, "error", self._exc_info_to_string(err, test))

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.note(test, "failure", f"{subtest}\n{self._exc_info_to_string(err, test)}")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.note(test, "skipped", reason)

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.note(test, "failure", "unexpected success")

    def write(self, path):
        lines = ['<?xml version="1.0" encoding="utf-8"?>', f'<testsuite name="unittest" tests="{len(self.cases)}">']
        for name, (outcome, text) in self.cases.items():
            group, _, own = name.rpartition(".")
            lines.append(f"<testcase classname={quoteattr(clean(group))} name={quoteattr(clean(own))}>")
            if outcome == "skipped":
                lines.append(f"<skipped message={quoteattr(clean(text))}/>")
            elif outcome != "passed":
                lines.append(f"<{outcome}>{escape(clean(text))}</{outcome}>")
            lines.append("</testcase>")
        lines.append("</testsuite>\n")
        with open(path, "w", encoding="utf-8", errors="replace") as out:
            out.write("\n".join(lines))


def clean(text):
    """XML holds no control characters."""
    return "".join(one if one in "\t\n" or " " <= one < "\ufffe" else "?" for one in text)


class Broken(unittest.TestCase):
    """A file that cannot even be loaded: a failed test that is named after it."""

    def __init__(self, name, text):
        super().__init__("fail_to_load")
        self.name, self.text = name, text

    def id(self):
        return self.name

    def __str__(self):
        return self.name

    def fail_to_load(self):
        raise ImportError(f"{self.name} cannot be loaded\n{self.text}")


class Named(unittest.FunctionTestCase):
    """A plain function, under the name that people know it by."""

    def __init__(self, function, name):
        super().__init__(function)
        self.name = name

    def id(self):
        return self.name

    def __str__(self):
        return self.name


def wants_arguments(function, name):
    def refuse():
        raise TypeError(f"{name} wants arguments: fixtures need pytest, which is not installed here")

    return Named(refuse, name) if inspect.signature(function).parameters else Named(function, name)


def load(path):
    """Every test of one file."""
    name = os.path.splitext(os.path.relpath(path))[0].replace(os.sep, ".")
    try:
        spec = importlib.util.spec_from_file_location(name, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    except unittest.SkipTest as reason:
        return skipped(name, str(reason))
    except BaseException:  # a test file may well call exit()
        return [Broken(name, traceback.format_exc())]
    tests = [unittest.defaultTestLoader.loadTestsFromModule(module)]
    for own, value in vars(module).items():
        if own.startswith("test_") and inspect.isfunction(value) and value.__module__ == name:
            tests.append(wants_arguments(value, f"{name}.{own}"))
    return tests


def skipped(name, reason):
    def skip():
        raise unittest.SkipTest(reason)

    return [Named(skip, name)]


def find(start):
    """Test files below `start`, as pytest finds them."""
    for folder, folders, files in os.walk(start):
        folders[:] = sorted(one for one in folders if not one.startswith(".") and one not in ("node_modules", "__pycache__"))
        for one in sorted(files):
            if one.endswith(".py") and (one.startswith("test_") or one.endswith("_test.py")):
                yield os.path.join(folder, one)


def main():
    junit, start, *files = sys.argv[1:]
    # The workspace itself, and not the folder of this file, is where tests import from.
    sys.path[0] = os.path.abspath(start)
    sys.dont_write_bytecode = True
    suite = unittest.TestSuite()
    for path in files or find(start):
        folder = os.path.dirname(os.path.abspath(path))
        if folder not in sys.path:
            sys.path.append(folder)
        suite.addTests(load(path))
    result = unittest.TextTestRunner(resultclass=Result, verbosity=2).run(suite)
    result.write(junit)
    if not result.cases:
        return 5
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # A server thread that a test left behind must not keep the validator waiting.
    os._exit(code)

#!/usr/bin/python3
"""Holds docs/api.md and tests/contract.list together.

Each sentence, list item and table row of docs/api.md is a promise with an id: the first 8 hex digits of
the SHA-256 of its text, white space folded. tests/contract.list names for each the test that shows it.

    contract.py check    prints TAP
    contract.py update   writes contract.list anew in the order of docs/api.md; mappings are kept by id,
                         new promises come out as `pending`, with the old row that is most alike
"""

import difflib
import hashlib
import os
import re
import sys

ROOT = os.environ.get("top_srcdir") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
API = os.path.join(ROOT, "docs", "api.md")
LIST = os.path.join(ROOT, "tests", "contract.list")
SHOWN = 72  # characters of a sentence repeated in the list


def sentences_of(text):
    """Splits prose where a sentence ends; what stands in backticks never does."""
    masked = re.sub(r"`[^`]*`", lambda m: "`" + "x" * (len(m[0]) - 2) + "`", text)
    start = 0
    for end in re.finditer(r"[.:!?]\s+(?=[A-Z`\[-])", masked):
        if masked[end.start()] == ":" or re.search(r"\b(e\.g|i\.e)\.$", masked[:end.start() + 1]):
            continue
        yield text[start:end.start() + 1]
        start = end.end()
    yield text[start:]


def promises():
    """(id, section, text) of everything that docs/api.md promises, in order."""
    section, block, fenced, header = "", [], False, None
    found = []

    def close():
        for sentence in sentences_of(" ".join(block)):
            sentence = " ".join(sentence.split())
            if re.search(r"\w", sentence):
                found.append((section, sentence))
        block.clear()

    with open(API, encoding="utf-8") as f:
        lines = f.read().split("\n")
    for i, line in enumerate(lines):
        stripped = line.strip()
        if stripped.startswith("```"):
            close()
            fenced = not fenced
        elif fenced:
            continue
        elif stripped.startswith("#"):
            close()
            if stripped.startswith("## "):
                section = stripped[3:].split(".")[0]
            header = None
        elif stripped.startswith("|"):
            close()
            if i + 1 < len(lines) and re.fullmatch(r"\|[\s|:-]+\|", lines[i + 1].strip()):
                header = stripped
            elif not re.fullmatch(r"\|[\s|:-]+\|", stripped):
                # The header belongs to the meaning of a row: a row moved to another table is new.
                found.append((section, " ".join(stripped.strip("|").split()), header))
        elif stripped.startswith("- "):
            close()
            block.append(stripped[2:])
        elif not stripped:
            close()
        else:
            block.append(stripped)
    close()
    seen = set()
    for where, text, *rest in found:
        if not where:
            continue  # the page's own introduction
        key = hashlib.sha256("\n".join([text, *rest]).encode()).hexdigest()[:8]
        if key in seen:
            sys.exit(f"docs/api.md says the same twice: {text}")
        seen.add(key)
        yield key, where, text


def read_list():
    """Titles of later issues by letter, and (line, id, where, text) rows."""
    later, rows = {}, []
    with open(LIST, encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            line = line.rstrip("\n")
            if line.startswith("@"):
                letter, title = line[1:].split(" ", 1)
                later[letter] = title
            elif line.strip() and not line.startswith("#"):
                parts = [part.strip() for part in line.split(" | ", 2)]
                if len(parts) != 3 or not parts[1]:
                    sys.exit(f"tests/contract.list:{number}: not `id | where | text`: {line}")
                rows.append((number, *parts))
    return later, rows


def test_problem(where, later, cache={}):
    """What is wrong with where a promise is shown; None where nothing is."""
    if where.startswith("freedom: "):
        return None
    if where.startswith("later: "):
        return None if where[7:] in later else f"no later issue is called {where[7:]}"
    path, _, name = where.partition("::")
    if not name:
        return f"{where} is neither `file::test` nor `later: X` nor `freedom: why`"
    if path not in cache:
        try:
            with open(os.path.join(ROOT, path), encoding="utf-8") as f:
                cache[path] = f.read()
        except OSError:
            cache[path] = None
    if cache[path] is None:
        return f"{path} does not exist"
    form = rf"^\s*(async )?def {re.escape(name)}\(" if path.endswith(".py") else \
        rf"^static void {re.escape(name)}\(|^\s*\w+\(.*\b{re.escape(name)}\b"
    if not re.search(form, cache[path], re.M):
        return f"{path} has no test {name}"
    return None


def tap(number, name, problems):
    print(f"{'not ok' if problems else 'ok'} {number} - {name}")
    for problem in problems:
        print(f"#   {problem}")
    return not problems


def check():
    known = list(promises())
    ids = {key for key, _, _ in known}
    later, rows = read_list()
    listed = {}
    for number, key, where, _ in rows:
        listed.setdefault(key, []).append((number, where))
    good = [
        tap(1, "every sentence of docs/api.md stands in tests/contract.list",
            [f"section {where}: {text[:SHOWN]}" for key, where, text in known if key not in listed]),
        tap(2, "every row of tests/contract.list is a sentence of docs/api.md",
            [f"line {number}: {text}" for number, key, _, text in rows if key not in ids] +
            [f"line {places[1][0]}: {key} a second time" for key, places in listed.items()
             if len(places) > 1]),
        tap(3, "every test that tests/contract.list names exists",
            [f"line {number}: {problem}" for number, _, where, _ in rows if where != "pending"
             for problem in (test_problem(one.strip(), later) for one in where.split(","))
             if problem]),
        tap(4, "no sentence of docs/api.md waits for its test",
            [f"line {number}: {text}" for number, _, where, text in rows if where == "pending"]),
    ]
    print("1..4")
    return 0 if all(good) else 1


def update():
    later, rows = read_list()
    with open(LIST, encoding="utf-8") as f:
        head = [line for line in f if line.startswith(("#", "@")) and not line.startswith("# ---")]
    old = {key: (where, text) for _, key, where, text in rows}
    section = None
    out = head
    for key, where, text in promises():
        if where != section:
            section = where
            out.append(f"# --- section {section}\n")
        shown = text if len(text) <= SHOWN else text[:SHOWN - 1] + "…"
        mapped = old.pop(key, (None,))[0]
        if mapped is None:
            mapped = "pending"
            alike = difflib.get_close_matches(shown, [t for _, t in old.values()], 1, 0.8)
            for w, t in old.values():
                if alike and t == alike[0]:
                    print(f"new: {shown}\n  like: {t}\n  shown by: {w}")
        out.append(f"{key} | {mapped} | {shown}\n")
    for where, text in old.values():
        if where != "pending":
            print(f"gone: {text} (was shown by {where})")
    with open(LIST, "w", encoding="utf-8") as f:
        f.writelines(out)
    return 0


if __name__ == "__main__":
    commands = {"check": check, "update": update}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    sys.exit(commands[sys.argv[1]]())

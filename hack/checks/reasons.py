#!/usr/bin/env python3
"""Holds the reasons that a user can see: crd/reasons.h names them, crd/reasons.cc explains each once, the tables of
crd/README.md are made from it, and nowhere else in the product is a reason written as text.

    hack/checks/reasons.py [--fix] [ROOT]      --fix: write the tables of the page
"""

import re
import sys
from pathlib import Path

BEGIN = "<!-- Made from crd/reasons.cc: hack/checks/reasons.py --fix -->\n"
END = "<!-- Made to here -->\n"
# Where a reason stands in the code: an error's, a trouble's, a failed row's, an event's.
PLACES = [re.compile(pattern) for pattern in (
    r'MakeError\(\s*(?:[\w:.()]+),\s*"([A-Z]\w+)",',
    r'(?:Failed|Stall|held|Refuse|Trouble)\(\s*"([A-Z]\w+)"',
    r'(?:Event\(\s*(?:true|false),|Warn\(|op\.Event\()\s*"([A-Z]\w+)"',
    r'(?:push_back\(|return (?:(?:model::)?Trouble)?|Fail\()\s*\{\s*"([A-Z]\w+)",',
    r'reason [!=]?= "([A-Z]\w+)"',
)]
# The same word with another meaning.
OTHERS = {
    "crd/conditions.h": "types of conditions",
    "crd/oms_upgrade.cc": "values of fields",
    "reconcilers/model/operation_names.h": "outcomes in a record",
    "reconcilers/model/old_formats.cc": "a key of a record",
    "reconcilers/drivers/docker/create_body.cc": "Docker's field AutoRemove",
    "reconcilers/drivers/docker/docker_json.cc": "Docker's field AutoRemove",
}
COMMENT = re.compile(r'("(?:\\.|[^"\\\n])*")|//[^\n]*')
TOKEN = re.compile(r'"((?:\\.|[^"\\])*)"|\b(k\w+)\b|([{}])')


def names(header):
    """{constant: name} of crd::reason, and of crd::inner_reason."""
    shown, inner = header.split("namespace inner_reason {")
    return tuple(dict(re.findall(r'constexpr char (k\w+)\[\] = "(\w+)";', part)) for part in (shown, inner))


def table(source):
    """[(title, [([constant], means, to_do)])] of ReasonTable()."""
    groups, depth, texts, constants, last = [], 0, [], [], None
    body = source[source.index("new std::vector<ReasonGroup>{"):source.index("return table;")]
    for match in TOKEN.finditer(body[body.index("{") + 1:]):
        text, constant, brace = match.groups()
        if brace == "{":
            depth += 1
            if depth == 2:
                groups.append((texts.pop(), []))
        elif brace == "}":
            depth -= 1
            if depth == 2:
                groups[-1][1].append((constants, *texts))
                texts, constants = [], []
            if depth < 0:
                break
        elif constant:
            constants.append(constant)
        elif last is not None and re.fullmatch(r"\s*", body[body.index("{") + 1:][last:match.start()]):
            texts[-1] += text.replace('\\"', '"').replace("\\\\", "\\")
        else:
            texts.append(text.replace('\\"', '"').replace("\\\\", "\\"))
        last = match.end() if text is not None else None
    return groups


def page(groups, shown):
    """The part of crd/README.md that is made."""
    lines = []
    for title, rows in groups:
        lines += ["### " + title, "", "| reason | means | to do |", "|---|---|---|"]
        for constants, means, to_do in rows:
            words = ", ".join("`%s`" % shown.get(constant, "?") for constant in constants)
            lines.append("| %s | %s |%s |" % (words, means, to_do and " " + to_do))
        lines.append("")
    return "\n".join(lines)


def check(root, fix=False):
    """One line for each thing that is wrong, and how many reasons there are."""
    shown, inner = names((root / "crd/reasons.h").read_text())
    groups = table((root / "crd/reasons.cc").read_text())
    explained = [constant for _, rows in groups for constants, *_ in rows for constant in constants]
    wrong = ["crd/reasons.cc: %s is explained %d times" % (constant, explained.count(constant))
             for constant in sorted(set(shown) | set(explained)) if explained.count(constant) != 1]
    wrong += ["crd/reasons.cc: %s is not in namespace reason of crd/reasons.h" % constant
              for constant in sorted(set(explained) - set(shown))]
    wrong += ["crd/reasons.cc: a row has a text too many or too few: %s" % row[0]
              for _, rows in groups for row in rows if len(row) != 3]
    files = {str(path.relative_to(root)): path.read_text()
             for folder in ("crd", "reconcilers", "controller/cmd") for path in sorted((root / folder).rglob("*"))
             if path.suffix in (".h", ".cc")}
    used = "\n".join(text for path, text in files.items() if not path.startswith("crd/reasons."))
    wrong += ["crd/reasons.h: no file uses %s" % constant for constant in sorted({**shown, **inner})
              if not re.search(r"reason::%s\b" % constant, used)]
    known = set(shown.values()) | set(inner.values())
    for path, text in files.items():
        if path == "crd/reasons.h":
            continue
        code = COMMENT.sub(lambda match: match.group(1) or "", text)
        found = {word for pattern in PLACES for word in pattern.findall(code)}
        if path not in OTHERS:
            found |= {word for word in re.findall(r'"(\w+)"', code) if word in known}
        wrong += ['%s: "%s": a reason is a name of crd/reasons.h' % (path, word) for word in sorted(found)]
    if not wrong:
        readme = root / "crd/README.md"
        text = readme.read_text()
        head, rest = text.split(BEGIN)
        made = head + BEGIN + "\n" + page(groups, shown) + "\n" + END + rest.split(END)[1]
        if made != text and fix:
            readme.write_text(made)
        elif made != text:
            wrong.append("crd/README.md: its tables are not those of crd/reasons.cc: hack/checks/reasons.py --fix")
    return wrong, len(shown)


def main():
    arguments = [argument for argument in sys.argv[1:] if argument != "--fix"]
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parents[2]
    wrong, count = check(root, "--fix" in sys.argv)
    for line in wrong:
        print(line, file=sys.stderr)
    print("%d reasons, each explained once" % count if not wrong else "%d lines are wrong" % len(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

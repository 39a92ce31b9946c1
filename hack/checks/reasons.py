#!/usr/bin/env python3
"""Holds crd/README.md against the code: each reason and event that the code can show is explained there, and nothing
is explained that the code does not know.

    hack/checks/reasons.py [ROOT]
"""

import re
import sys
from pathlib import Path

ROOT = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parents[2])
PAGE = ROOT / "crd" / "README.md"
# Where a reason stands in the code: an error's, a trouble's, a failed row's, an event's.
SHOWN = [re.compile(pattern) for pattern in (
    r'MakeError\(\s*(?:base::)?Code::\w+,\s*"([A-Z]\w+)"',
    r'(?:Failed|Stall|held|Refuse)\(\s*"([A-Z]\w+)"',
    r'(?:Event\(\s*(?:true|false),|Warn\(|op\.Event\()\s*"([A-Z]\w+)"',
    r'(?:push_back\(|return (?:(?:model::)?Trouble)?|Fail\()\s*\{\s*"([A-Z]\w+)",\s*(?:fmt|")',
    r'Kind::k\w+,\s*model::Step::k\w+,\s*"([A-Z]\w+)"',
    r'decision\.reason = "([A-Z]\w+)"',
    r'constexpr char k\w+\[\] = "([A-Z]\w+)";',
)]
# Of a step alone (the README has them), or of what never leaves the code.
STEP_REASONS = {"NotStarted", "InProgress", "Done", "Skipped", "Failed", "Reverted", "AsExpected"}
INTERNAL = {
    "Cancelled",      # The process ends.
    "NotFound",       # Of an engine's answer; always given another reason.
    "InvalidName", "InvalidPassword", "ZstdBroken", "GzipBroken", "BadArchive", "SparseArchive",
    "HostFileExists",
    "Refused",  # Wrapped by who asked.
    "PlanIncomplete",  # Looked at again.
}


def shown():
    found = {}
    files = [*(ROOT / "reconcilers").rglob("*.cc"), *(ROOT / "reconcilers").rglob("*.h"), *(ROOT / "crd").glob("*.cc")]
    conditions = (ROOT / "crd" / "conditions.h").read_text()
    for path in files:
        text = path.read_text()
        for pattern in SHOWN[:-1]:
            for match in pattern.finditer(text):
                found.setdefault(match.group(1), path.relative_to(ROOT))
    for match in SHOWN[-1].finditer(conditions[conditions.index("namespace reason {"):]):
        found.setdefault(match.group(1), Path("crd/conditions.h"))
    return found


def main():
    code = shown()
    words = set()
    for line in PAGE.read_text().splitlines():
        if line.startswith("| `"):
            words |= set(re.findall(r"`([A-Z]\w+)`", line.split("|")[1]))
    sources = "\n".join(p.read_text() for p in [*(ROOT / "reconcilers").rglob("*.[ch]*"), *(ROOT / "crd").glob("*.[ch]*")])
    wrong = [f"{path}: {word} is shown to a person and not explained in crd/README.md"
             for word, path in sorted(code.items()) if word not in words | STEP_REASONS | INTERNAL]
    wrong += [f"crd/README.md: {word} is in no source" for word in sorted(words) if f'"{word}"' not in sources]
    for line in wrong:
        print(line)
    print(f"{len(code)} reasons in the code, {len(words)} explained, {len(wrong)} amiss")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

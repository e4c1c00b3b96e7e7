#!/usr/bin/env python3
"""Checks the rules of the house that a compiler does not: which folder may include which, and what a source file may hold.

  python3 tests/include_arrows.py [ROOT]       every violation as `file:line: what`; exit code 1 if there is any
  python3 tests/include_arrows.py --self-test  a tree with one violation of each rule is built, and each must be found
"""

import re
import sys
import tempfile
from pathlib import Path

# What each folder may include directly; what those may include is included (architecture page, section 1).
ARROWS = {
    "base": "", "io": "base", "text": "text/models text/files", "chat": "text", "runlog": "io", "data": "text", "report": "runlog",
    "kernels": "io", "dist": "base", "nn": "kernels", "loss": "kernels", "geometry": "kernels", "optim": "kernels dist nn",
    "models": "nn io", "infer": "models text", "eval": "infer loss data", "train": "eval optim dist runlog",
    "observe": "train geometry", "study": "observe report", "descent": "eval optim geometry runlog", "quant": "models data", "adapt": "train quant",
    "align": "adapt infer",
    # The rooms of text/; text itself, the door, puts a tokenizer together from them.
    "text/simd": "", "text/unicode": "text/simd", "text/steps": "base text/unicode", "text/models": "text/steps", "text/files": "io text/models",
    "text/train": "text",
    # What is trained for: a file each, which registers itself.
    "train/objectives": "train",
}
# Of folders in folders, those that others than their neighbours may include. What else they offer goes through the door.
OPEN = {"text/unicode"}
# Sections of the configuration lie in the folders that they belong to, NAME_config.{h,cpp}, and in the core: no tensors, and anyone may include them.
CONFIG = re.compile(r"_config\.(h|cpp)$")
CORE = {"base", "io", "text", "chat", "data", "runlog", "report"}
LONGEST = 1000  # lines a file

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
TORCH = re.compile(r"^(torch|ATen|c10|caffe2)/")
# The home, root or mount folder of some machine; system files such as /proc and /usr/lib are the same everywhere.
MACHINE_PATH = re.compile(r"""(?:^|[\s"'(=:])(/(?:home|root|work|Users|mnt|opt)/[\w.])""")


def reachable(folder):
    """All folders whose headers `folder` may include, itself among them."""
    seen, queue = {folder}, [folder]
    while queue:
        for target in ARROWS[queue.pop()].split():
            if target not in seen:
                seen.add(target)
                queue.append(target)
    return seen


def check_include(owner, bracket, target):
    """What is wrong with this include in a file of `owner` (a folder of isotrope/ such as "text/steps", "app", "tests" …), or None."""
    if target.startswith("fmt/") and bracket == '"' or target.endswith("/fmt/format.h"):
        return f'include fmt as <{target[target.index("fmt/"):]}>'
    if owner.split("/")[0] in CORE and TORCH.match(target):
        return f"{owner} belongs to the core, which knows no torch, and includes {target}"
    if owner not in ARROWS:
        return None
    if target.startswith("app/"):
        return f"the library includes the program's {target}"
    parts = target.split("/")
    if parts[0] != "isotrope" or len(parts) < 3:
        return None
    if CONFIG.search(target):
        return None
    folder = "/".join(parts[1:-1])
    if folder not in ARROWS:
        return f"{folder} is not a folder of the architecture"
    stands_behind_a_door = "/" in folder and folder not in OPEN and parts[1] != owner.split("/")[0]
    if folder not in reachable(owner) or stands_behind_a_door:
        return f"{owner} may not include {folder} ({target})"
    return None


def check_file(root, path):
    relative = path.relative_to(root)
    parts = relative.parts
    owner = "/".join(parts[1:-1]) if parts[0] == "isotrope" and len(parts) > 2 else parts[0]
    folder = owner
    if owner in ARROWS and CONFIG.search(path.name):
        owner = "base"  # what a section may include is what base may, and other sections
    lines = path.read_text(encoding="utf-8").split("\n")
    found = []
    if parts[0] == "isotrope" and (len(parts) < 3 or folder not in ARROWS):
        found.append((1, "lies in no folder of the architecture"))
    if len(lines) - 1 > LONGEST:
        found.append((LONGEST + 1, f"{len(lines) - 1} lines, at most {LONGEST} are allowed"))
    # cmake/ holds a precompiled header; a text that is included several times says so in its first line.
    if path.suffix == ".h" and parts[0] != "cmake" and "#pragma once" not in lines and not (lines and lines[0].startswith("// No include guard")):
        found.append((1, "a header without #pragma once"))
    for number, line in enumerate(lines, 1):
        include = INCLUDE.match(line)
        if include and path.suffix in (".h", ".cpp", ".inl"):
            problem = check_include(owner, *include.groups())
            if problem:
                found.append((number, problem))
        elif MACHINE_PATH.search(line):
            found.append((number, f"the path of some machine: {MACHINE_PATH.search(line).group(1)}…"))
    return [f"{relative}:{number}: {problem}" for number, problem in found]


def files(root):
    for folder in ("isotrope", "app", "cmake", "tests", "tools", "bench", "configs", "docs"):
        for path in sorted((root / folder).rglob("*")):
            inside = path.relative_to(root).parts
            generated = inside[:2] in (("tests", "data"), ("tests", "golden")) or "corpus" in inside or "__pycache__" in inside
            if path.is_file() and not generated and path.suffix in (".h", ".cpp", ".inl", ".py", ".cmake", ".in", ".toml", ".md", ".sh", ".txt"):
                yield path
    for name in ("dev", ".ci/run", "CMakeLists.txt", "CMakePresets.json", "README.md", "HACKING.md", "CONTRIBUTING.md", "CHANGELOG.md"):
        if (root / name).is_file():
            yield root / name


def check(root):
    return [problem for path in files(root) for problem in check_file(root, path)]


def self_test():
    good = "#pragma once\n"
    tree = {  # file: (text, a piece of the violation that must be reported; None for none)
        "isotrope/base/good.h": (good + "#include <fmt/format.h>\n#include <vector>\n", None),
        "isotrope/data/good.cpp": ('#include "isotrope/base/good.h"\n#include "isotrope/io/x.h"\n#include "isotrope/text/x.h"\n', None),
        "isotrope/align/good.cpp": ('#include "isotrope/runlog/x.h"\n#include <ATen/ATen.h>\n', None),
        "app/good.cpp": ('#include "isotrope/align/x.h"\n#include "app/x.h"\n// /proc/self/maps\n', None),
        "isotrope/base/up.h": (good + '#include "isotrope/io/x.h"\n', "base may not include io"),
        "isotrope/text/door.cpp": ('#include "isotrope/text/files/x.h"\n#include "isotrope/text/models/x.h"\n#include "isotrope/io/x.h"\n', None),
        "isotrope/text/train/good.cpp": ('#include "isotrope/text/x.h"\n#include "isotrope/text/steps/x.h"\n', None),
        "isotrope/chat/good.cpp": ('#include "isotrope/text/x.h"\n#include "isotrope/text/unicode/x.h"\n', None),
        "isotrope/chat/behind.cpp": ('#include "isotrope/text/steps/x.h"\n', "chat may not include text/steps"),
        "isotrope/text/trainer.cpp": ('#include "isotrope/text/train/x.h"\n', "text may not include text/train"),
        "isotrope/text/unicode/steps.cpp": ('#include "isotrope/text/steps/x.h"\n', "text/unicode may not include text/steps"),
        "isotrope/text/steps/models.cpp": ('#include "isotrope/text/models/x.h"\n', "text/steps may not include text/models"),
        "isotrope/text/models/files.cpp": ('#include "isotrope/text/files/x.h"\n', "text/models may not include text/files"),
        "isotrope/text/files/door.cpp": ('#include "isotrope/text/x.h"\n', "text/files may not include text ("),
        "isotrope/text/simd/torch.cpp": ("#include <ATen/ATen.h>\n", "knows no torch"),
        "isotrope/text/other/x.cpp": ("\n", "lies in no folder"),
        "isotrope/text/stranger.cpp": ('#include "isotrope/text/other/x.h"\n', "text/other is not a folder of the architecture"),
        "isotrope/text/side.cpp": ('#  include "isotrope/runlog/x.h"\n', "text may not include runlog"),
        "isotrope/geometry/trainer.cpp": ('#include "isotrope/train/x.h"\n', "geometry may not include train"),
        "isotrope/train/run_config.cpp": ('#include "isotrope/train/run_config.h"\n#include "isotrope/optim/optimizer_config.h"\n', None),
        "isotrope/optim/optimizer_config.cpp": ('#include "isotrope/nn/x.h"\n', "base may not include nn"),
        "isotrope/observe/torch_config.cpp": ("#include <ATen/ATen.h>\n", "knows no torch"),
        "isotrope/io/torch.cpp": ("#include <torch/torch.h>\n", "knows no torch"),
        "isotrope/runlog/aten.cpp": ("#include <ATen/ATen.h>\n", "knows no torch"),
        "isotrope/io/program.cpp": ('#include "app/common.h"\n', "the library includes the program's"),
        "isotrope/io/quoted.cpp": ('#include "fmt/format.h"\n', "include fmt as <fmt/format.h>"),
        "isotrope/io/bundled.cpp": ("#include <spdlog/fmt/format.h>\n", "include fmt as <fmt/format.h>"),
        "isotrope/io/twice.h": ("int x;\n", "without #pragma once"),
        "isotrope/io/stranger.cpp": ('#include "isotrope/utils/x.h"\n', "not a folder of the architecture"),
        "isotrope/utils/x.cpp": ("\n", "lies in no folder"),
        "app/long.cpp": ("\n" * (LONGEST + 1), "at most 1000"),
        "app/limit.cpp": ("\n" * LONGEST, None),
        "tests/base/path_test.cpp": ('auto path = "/ho' + 'me/someone/x";\n', "the path of some machine"),
    }
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, (text, _) in tree.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text, encoding="utf-8")
        problems = check(root)
    failures = 0
    for name, (_, expected) in tree.items():
        mine = [problem for problem in problems if problem.startswith(name + ":")]
        if (expected is None and mine) or (expected is not None and (len(mine) != 1 or expected not in mine[0])):
            print(f"{name}: expected {expected or 'nothing'}, found {mine}")
            failures += 1
    print(f"self-test: {len(tree)} files, {failures} failures")
    return failures


def main():
    if sys.argv[1:] == ["--self-test"]:
        return 1 if self_test() else 0
    problems = check(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent)
    print("\n".join(problems) if problems else "every include follows the arrows")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

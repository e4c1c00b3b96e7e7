"""Does Isotrope find a model by its name where huggingface_hub finds it?

    python tests/python/hub_names.py build/release/isotrope [CASE]

A cache is laid out by hand as huggingface_hub lays it out (refs, snapshots of links, blobs), from a small committed model. Under many environments, of
both readings of every variable that names the cache, huggingface_hub and `isotrope info NAME` are asked for the same names and revisions: both find the
same snapshot, or neither does. What counts as a name, and whether the command of the hint exists, is compared too. Nothing goes over a network.
Prints one line a case; exit code 0 if all is so, else 1, 77 without huggingface_hub.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

try:
    import huggingface_hub.errors
except ImportError:
    sys.exit(77)

from huggingface_hub.utils import validate_repo_id

import cases

MODEL = pathlib.Path(__file__).resolve().parents[1] / "data/models/gpt2_tied"
FIRST, SECOND = "1" * 40, "2" * 40
ORACLE = """
import importlib, json, os, sys
import huggingface_hub.constants, huggingface_hub.errors
for line in sys.stdin:
    environment, questions = json.loads(line)
    os.environ.clear()
    os.environ.update(environment)
    importlib.reload(huggingface_hub.constants)  # which reads the variables
    found = []
    for name, revision in questions:
        loaded = huggingface_hub.try_to_load_from_cache(name, "config.json", revision=revision)
        try:
            snapshot = huggingface_hub.snapshot_download(name, revision=revision, local_files_only=True)
        except (huggingface_hub.errors.LocalEntryNotFoundError, huggingface_hub.errors.HFValidationError):
            snapshot = None
        found.append([loaded if isinstance(loaded, str) else None, snapshot])
    print(json.dumps(found), flush=True)
"""


def lay_out(cache, name, refs, commits):
    """A model in `cache` as huggingface_hub stores it: `refs` are revisions with their commits, `commits` those whose snapshots are there."""
    folder = cache / ("models--" + name.replace("/", "--"))
    (folder / "blobs").mkdir(parents=True)
    for revision, commit in refs.items():
        (folder / "refs" / revision).parent.mkdir(parents=True, exist_ok=True)
        (folder / "refs" / revision).write_text(commit)
    for commit in commits:
        (folder / "snapshots" / commit).mkdir(parents=True)
        for file in ("config.json", "model.safetensors"):
            (folder / "blobs" / file).write_bytes((MODEL / file).read_bytes())
            (folder / "snapshots" / commit / file).symlink_to(f"../../blobs/{file}")


class Oracle:
    """huggingface_hub in a process of its own, whose current folder is `here`."""

    def __init__(self, here):
        self.process = subprocess.Popen([sys.executable, "-c", ORACLE], cwd=here, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.communicate()

    def ask(self, questions, environment):
        self.process.stdin.write(json.dumps([environment, questions]) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def ask(name, revision, environment, here):
    """The folder that `isotrope info` shows, or None and what it says."""
    word = name if revision is None else f"{name}@{revision}"
    run = subprocess.run([PROGRAM, "info", word, "--json"], env=environment, cwd=here, capture_output=True, text=True, timeout=60)
    if run.returncode == 0:
        return json.loads(run.stdout)["path"], ""
    assert run.returncode == 3, f"{word}: exit code {run.returncode}: {run.stderr}"
    return None, run.stderr


def compare(oracle, questions, environment, here, only_downloads=False):
    """Both answers to every question; how many of them were found. try_to_load_from_cache() expands less than what downloads: left out on request."""
    found = 0
    for (name, revision), (loaded, snapshot) in zip(questions, oracle.ask(questions, environment)):
        ours, said = ask(name, revision, environment, here)
        for theirs in [snapshot] if only_downloads else [snapshot, loaded and os.path.dirname(loaded)]:
            same = theirs is not None and ours is not None and os.path.realpath(here / theirs) == os.path.realpath(here / ours)
            assert same or theirs is ours is None, f"{name}@{revision}: huggingface_hub has {theirs}, isotrope {ours} {said}"
        found += ours is not None
    return found


def environment_of(**variables):
    kept = {key: os.environ[key] for key in ("PATH", "LD_LIBRARY_PATH", "ASAN_OPTIONS", "TSAN_OPTIONS") if key in os.environ}
    return kept | {"HF_HUB_OFFLINE": "1"} | variables


def variables():
    """Caches everywhere that a variable may lead to, each with a commit of its own; whoever reads the variables otherwise finds another."""
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        here = root / "here"
        places = ["a", "b", "c/hub", "d/huggingface/hub", "home/.cache/huggingface/hub", "home", "home/x", "home/x/hub", "here/hub",
                  "here/huggingface/hub", "here", "here/x", "here/$ABSENT", "here/${ABSENT", "here/$", "a~b", "a b"]
        for number, place in enumerate(places):
            commit = f"{number:040x}"
            lay_out(root / place, "org/tiny", {"main": commit}, [commit])
        at = {"HF_HUB_CACHE": f"{root}/a", "HUGGINGFACE_HUB_CACHE": f"{root}/b", "HF_HOME": f"{root}/c", "XDG_CACHE_HOME": f"{root}/d",
              "HOME": f"{root}/home", "ROOT": str(root), "TILDE": "~/x", "NESTED": "$ROOT/a"}
        names = list(at)[:4]
        tried = []
        for mask in range(16):  # every choice of the four
            tried.append({key: value for key, value in at.items() if key not in names or mask >> names.index(key) & 1})
        rest = {key: value for key, value in at.items() if key not in names}
        values = ["", "~", "~/x", "x", "$ROOT/a", "${ROOT}/a b", "$ROOT/a~b", "$ABSENT", "${ABSENT", "$", "${}", "$NESTED", "$TILDE", "$HOME/x",
                  f"{root}//a/", f"{root}/a/../b", "~/../a", "/nowhere"]
        for key in names:
            for value in values:
                tried.append(rest | {key: value})
        tried.append({key: value for key, value in rest.items() if key != "HOME"} | {"HF_HUB_CACHE": f"{root}/a"})
        tried.append({key: value for key, value in rest.items() if key != "HOME"})  # the home in the password file
        tried.append(rest | {"HOME": ""})
        found = 0
        with Oracle(here) as oracle:
            for variables in tried:
                try:
                    found += compare(oracle, [["org/tiny", None]], environment_of(**variables), here, only_downloads="$TILDE" in variables.values())
                except AssertionError as error:
                    raise AssertionError(f"{ {key: variables[key] for key in variables if key in names} }: {error}") from None
        assert found > 40, found
        return f"{len(tried)} environments, in {found} of them both find the same snapshot, in the others neither"


def revisions():
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        refs = {"main": FIRST, "v1.0": SECOND, "refs/pr/1": SECOND, "feature/a-b": FIRST, "gone": "3" * 40, "short": "1" * 7, "newline": FIRST + "\n"}
        lay_out(root / "hub", "org/tiny", refs, [FIRST, SECOND])
        lay_out(root / "hub", "bare", {}, [FIRST])
        lay_out(root / "hub", "broken", {"main": FIRST}, [])
        asked = [["org/tiny", revision] for revision in [None, *refs, FIRST, SECOND, "3" * 40, "1" * 7, "absent", "absent/x"]]
        asked += [["bare", None], ["bare", FIRST], ["broken", None], ["absent", None], ["tiny", None], ["org/absent", None]]
        with Oracle(root) as oracle:
            found = compare(oracle, asked, environment_of(HF_HOME=str(root), HOME=str(root)), root)
        assert found == 8, found
        return f"{len(asked)} names and revisions, {found} found"


def names():
    candidates = ["gpt2", "org/name", "a/b/c", "", "/", "a/", "/a", "-a", "a-", ".a", "a.", "_a", "a_", "a..b", "a--b", "o/a--b", "a.git", "a.git/b", "o/a.git",
                  "a b", "a\nb", "a\n", "é", "naïve/x", "x" * 96, "x" * 97, "x" * 96 + "/" + "x" * 96, "x/" + "y" * 97, "A-1_2.3/B-4_5.6", "a:b", "a\\b", "~a", "..", "."]
    valid = 0
    with tempfile.TemporaryDirectory() as temporary:
        here = pathlib.Path(temporary)
        for name in candidates:
            if name in ("", "..", ".", "/"):  # an option's absence, and folders that exist
                continue
            try:
                validate_repo_id(name)
                theirs = True
            except huggingface_hub.errors.HFValidationError:
                theirs = False
            # Behind "--", a name that begins with a dash is no option.
            run = subprocess.run([PROGRAM, "info", "--", name], env=environment_of(HF_HUB_CACHE=temporary), cwd=here, capture_output=True, text=True, timeout=60)
            ours = "no model of this name in the hub cache" in run.stderr
            assert run.returncode == 3 and ours == theirs, f"{name!r}: huggingface_hub {theirs}, isotrope {ours}: {run.stderr}"
            assert (f"\nhint: hf download {name}\n" in run.stderr) == theirs, run.stderr
            valid += theirs
    return f"{len(candidates)} spellings, {valid} of them names"


def command():
    """The hint's command and its option are those of the installed version."""
    tool = pathlib.Path(sys.executable).parent / "hf"
    run = subprocess.run([tool, "download", "--help"], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0 and "REPO_ID" in run.stdout and "--revision" in run.stdout, run.stdout + run.stderr
    return f"hf download REPO_ID --revision … is a command of huggingface_hub {huggingface_hub.__version__}"


if __name__ == "__main__":
    PROGRAM = os.path.abspath(sys.argv[1])
    sys.exit(cases.run({"variables": variables, "revisions": revisions, "names": names, "command": command}, *sys.argv[2:3]))

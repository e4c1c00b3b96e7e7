"""Ours and a peer, interleaved in one run: what every comparison in this folder shares.

A measurement is a function without arguments that returns one number. A round calls each side of each case once; the order of the sides
changes from round to round, so that neither always meets the warmer machine. The last line printed is the result as JSON.
"""
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / "build" / "release"


@dataclass
class Case:
    name: str  # model/peer-form
    unit: str
    ours: Callable[[], float]
    peer: Callable[[], float]
    more_is_better: bool = False
    measured: dict = field(default_factory=lambda: {"ours": [], "peer": []})

    def result(self):
        best = max if self.more_is_better else min
        ours, peer = self.measured["ours"], self.measured["peer"]

        def ratio(a, b):  # above 1: ours is better
            return a / b if self.more_is_better else b / a

        return {"case": self.name, "ours": statistics.median(ours), "peer": statistics.median(peer), "ours_best": best(ours),
                "peer_best": best(peer), "unit": self.unit, "ratio_min": ratio(best(ours), best(peer)),
                "ratio_median": ratio(statistics.median(ours), statistics.median(peer))}


class Worker:
    """A process that stays alive between rounds: a line in, a line with one number (or more) out."""

    def __init__(self, *command, env=None):
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **(env or {})})

    def ask(self, line=""):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.listen()

    def seconds(self):
        return self.ask()[0]

    def listen(self):
        """The next line of numbers, without having asked (what a process says when it is ready)."""
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"error: [bench] {self.process.args[0]} ended with {self.process.wait()}")
        return [float(x) for x in answer.split()]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def started(commands, env):
    """A worker of each name's command that has said it is ready and has done its work once. One after the other: none prepares beside another."""
    workers = {}
    for name, command in commands.items():
        workers[name] = Worker(*command, env=env)
        workers[name].listen()
        workers[name].ask()
    return workers


def cpu_name():
    for line in open("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


def compare(bench, cases, rounds=7, versions=()):
    """Runs all cases, prints a table and, last, one line of JSON. `versions`: names of the peers' packages."""
    about = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in versions)
    print(f"{bench}: {rounds} rounds, {cpu_name()}, {os.cpu_count()} cores; {about}", flush=True)
    for i in range(rounds):
        for case in cases:
            for side in ("ours", "peer") if i % 2 == 0 else ("peer", "ours"):
                case.measured[side].append(getattr(case, side)())
        print(f"round {i + 1}: " + "; ".join(f"{c.name} {c.measured['ours'][-1]:.4g} : {c.measured['peer'][-1]:.4g}" for c in cases),
              file=sys.stderr, flush=True)
    results = [case.result() for case in cases]
    print(f"{'case':40} {'ours':>12} {'peer':>12} {'unit':10} {'ratio of medians':>16} {'of bests':>9}")
    for r in results:
        print(f"{r['case']:40} {r['ours']:12.5g} {r['peer']:12.5g} {r['unit']:10} {r['ratio_median']:16.3f} {r['ratio_min']:9.3f}")
    print(json.dumps({"bench": bench, "results": results}), flush=True)
    return results

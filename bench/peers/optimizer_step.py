"""Seconds of one optimizer step on the 48 matrices of GPT-2's 12 layers (85 M of its 124 M weights, as it stores them), on two threads.

    ./dev bench optimizer_step [--rounds N]

  spectra/torch.optim.Muon   Spectra against PyTorch's Muon: stock (Newton-Schulz in bf16), its parameters unsplit, scale of match_rms_adamw
  spectra/own muon           against this program's Muon
  spectra/own adamw          against this program's AdamW
Weights, and gradients of standard deviation 1e-3 set once, are random and fp32. Every side is a process of its own that stays, and takes one step
before anything is timed; then a round times one step of each. A step of Muon takes seconds, so all rounds take minutes.
"""
import argparse
import sys
import time
from pathlib import Path

import torch

from _side_by_side import BUILD, Case, compare, started

LAYERS, WIDTH, THREADS = 12, 768, "2"
SHAPES = ((WIDTH, 3 * WIDTH), (WIDTH, WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH))  # attn.c_attn, attn.c_proj, mlp.c_fc, mlp.c_proj: in × out


def serve_peer():
    """torch.optim.Muon behind the protocol of engine_optimizer_step: "0" when ready; to every line, one step and its seconds."""
    generator = torch.Generator().manual_seed(1)
    parameters = [torch.randn(shape, generator=generator).mul_(0.02).requires_grad_() for _ in range(LAYERS) for shape in SHAPES]
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator).mul_(1e-3)
    optimizer = torch.optim.Muon(parameters, lr=1e-3, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    print(0, flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        optimizer.step()
        print(time.perf_counter() - begun, flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--serve-peer", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve_peer:
        return serve_peer()
    commands = {rule: (BUILD / "bench" / "engine_optimizer_step", rule) for rule in ("spectra", "muon", "adamw")}
    commands["torch"] = (sys.executable, Path(__file__).resolve(), "--serve-peer")
    workers = started(commands, {"OMP_NUM_THREADS": THREADS})
    compare("optimizer_step", [Case(f"spectra/{label}", "s", workers["spectra"].seconds, workers[name].seconds)
                               for label, name in (("torch.optim.Muon", "torch"), ("own muon", "muon"), ("own adamw", "adamw"))],
            arguments.rounds, ("torch",))
    for worker in workers.values():
        worker.close()


if __name__ == "__main__":
    main()

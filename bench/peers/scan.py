"""A state-space layer's convolution and scan, forward and backward, on two threads: ours against

scan/transformers-*   the chunked tensor form of transformers' Mamba-2 (what it runs without its CUDA packages), at the chunk of its default
                      configuration (256) and at the one that is fastest here
scan/chunked*         our own chunked form with libtorch's operations (kernels/selective_scan.h: the oracle, and what runs on a GPU), at the
                      chunk that is fastest here; both errors against the recurrence in float64

  ./dev bench scan [--rounds N]
"""
import argparse
import os
import time

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch
from transformers.models.mamba2 import modeling_mamba2 as theirs

from _side_by_side import BUILD, Case, Worker, compare

# name: (batch, tokens, heads, channels a head, states), dtype
SHAPES = {"scan/chunked": ((4, 512, 24, 32, 64), "fp32"), "scan/chunked-bf16": ((4, 512, 24, 32, 64), "bf16"),
          "scan/chunked-h24x64-n128": ((1, 1024, 24, 64, 128), "fp32")}
CHUNKS = (16, 32, 64, 128, 256)
DEFAULT_CHUNK = 256  # of Mamba2Config and FalconH1Config


def in_transformers(shape, chunk, repetitions=2):
    """Seconds of a forward and backward pass."""
    batch, tokens, heads, width, states = shape
    channels = heads * width + 2 * states
    generator = torch.Generator().manual_seed(1)
    inputs = [torch.randn(size, generator=generator).requires_grad_()
              for size in ((batch, tokens, channels), (channels, 4), (channels,), (batch, tokens, heads), (heads,), (heads,), (heads,))]
    x, weight, bias, dt, A, D, dt_bias = inputs
    slope = torch.randn((batch, tokens, heads, width), generator=generator)

    def step():
        mixed = theirs.causal_conv1d_fn(x.transpose(1, 2), weight, bias, activation="silu").transpose(1, 2)
        inner, B, C = mixed.split((heads * width, states, states), dim=-1)
        y = theirs.mamba2_chunk_scan(inner.unflatten(2, (heads, width)), dt - 3, -A.exp(), B.unsqueeze(2), C.unsqueeze(2), chunk_size=chunk, D=D, z=None,
                                     dt_bias=dt_bias, dt_softplus=True, return_final_states=False, initial_states=None, dt_limit=(0.0, float("inf")))
        torch.autograd.grad(y, inputs, slope)

    step()
    begun = time.perf_counter()
    for _ in range(repetitions):
        step()
    return (time.perf_counter() - begun) / repetitions


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    worker = Worker(BUILD / "bench" / "engine_state_space")

    def ask(what, shape, chunk, dtype):
        return worker.ask(f"{what} %d %d %d %d %d {chunk} {dtype}" % shape)

    cases = []
    shape = SHAPES["scan/chunked"][0]
    fastest = min(CHUNKS, key=lambda chunk: in_transformers(shape, chunk))
    for chunk in dict.fromkeys((DEFAULT_CHUNK, fastest)):
        cases.append(Case(f"scan/transformers-{chunk}", "s", lambda: ask("time ours", shape, 64, "fp32")[0], lambda c=chunk: in_transformers(shape, c)))
    for name, (shape_, dtype) in SHAPES.items():
        chunk = min(CHUNKS, key=lambda each: ask("time peer", shape_, each, dtype)[0])
        ours, peer = ask("errors", shape_, chunk, dtype)
        print("batch %d, %d tokens, %d heads of %d, %d states, " % shape_ +
              f"{dtype}, chunks of {chunk}: relative error against float64: ours {ours:.2e}, peer {peer:.2e}")
        cases.append(Case(name, "s", lambda s=shape_, c=chunk, d=dtype: ask("time ours", s, c, d)[0],
                          lambda s=shape_, c=chunk, d=dtype: ask("time peer", s, c, d)[0]))
    compare("scan", cases, arguments.rounds, ("torch", "transformers"))


if __name__ == "__main__":
    main()

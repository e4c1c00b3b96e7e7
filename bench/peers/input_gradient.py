"""Seconds of one gradient by the input embeddings of SmolLM2-135M, fp32, weights frozen: log p of a token at the last position, two threads.

    ./dev bench input_gradient [--rounds N] [--tokens 128]

  smollm2/own forward     against this program's forward pass that records what the gradient needs: 1 / ratio is how many forwards a gradient costs
  smollm2/own inference   against the forward pass that records nothing
  smollm2/transformers    against the same gradient in transformers
Weights are random. Every side is a process of its own that stays, and computes once before anything is timed; then a round times one of each.
"""
import argparse
import sys
import time
from pathlib import Path

from _side_by_side import BUILD, Case, compare, started

THREADS = "2"


def serve_peer(tokens):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    model = LlamaForCausalLM(LlamaConfig(hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3,
                                         vocab_size=49152, max_position_embeddings=8192, tie_word_embeddings=True)).float().eval().requires_grad_(False)
    embeddings = model.get_input_embeddings()(torch.randint(0, 49152, (1, tokens))).detach().requires_grad_()
    print(0, flush=True)
    for _ in sys.stdin:
        begun = time.perf_counter()
        log_p = torch.log_softmax(model(inputs_embeds=embeddings, logits_to_keep=1, use_cache=False).logits[0, -1], -1)[7]
        torch.autograd.grad(log_p, embeddings)
        print(time.perf_counter() - begun, flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--serve-peer", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve_peer:
        return serve_peer(arguments.tokens)
    tokens = str(arguments.tokens)
    commands = {mode: (BUILD / "bench" / "engine_input_gradient", mode, tokens) for mode in ("gradient", "forward", "inference")}
    commands["transformers"] = (sys.executable, Path(__file__).resolve(), "--serve-peer", "--tokens", tokens)
    workers = started(commands, {"OMP_NUM_THREADS": THREADS})
    compare("input_gradient", [Case(f"smollm2/{label}", "s", workers["gradient"].seconds, workers[name].seconds)
                               for label, name in (("own forward", "forward"), ("own inference", "inference"), ("transformers", "transformers"))],
            arguments.rounds, ("torch", "transformers"))
    for worker in workers.values():
        worker.close()


if __name__ == "__main__":
    main()

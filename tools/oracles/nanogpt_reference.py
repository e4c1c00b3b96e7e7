"""An independent baseline for the nanoGPT CPU setting on tinyshakespeare: how low should the loss be?

A small GPT-2 style model (pre-LN, learned positions, GELU, tied head) is trained in plain PyTorch with the published
setting: 4 layers, 4 heads, width 128, context 64, batch 12, 2,000 steps, no dropout, AdamW 1e-3 -> 1e-4 cosine with
100 steps of warm-up, betas 0.9/0.99, decay 0.1, clip 1; train on the first 90%, evaluate on the whole last 10%.

    python tools/oracles/nanogpt_reference.py tinyshakespeare.txt --tokens bytes --bias --seed 1337

The last line is one JSON object. `loss` counts 64 predictions from each window of 64 inputs (the target of the last is
the next window's first token); `loss_within` counts the 63 predictions inside each window of 64 tokens.
"""

import argparse
import json
import math
import time

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, width, heads, bias):
        super().__init__()
        self.heads = heads
        self.norm_1 = nn.LayerNorm(width, bias=bias)
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.attention_out = nn.Linear(width, width, bias=bias)
        self.norm_2 = nn.LayerNorm(width, bias=bias)
        self.up = nn.Linear(width, 4 * width, bias=bias)
        self.down = nn.Linear(4 * width, width, bias=bias)

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.qkv(self.norm_1(x)).chunk(3, -1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attention_out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm_2(x)), approximate="tanh"))


class Decoder(nn.Module):
    def __init__(self, vocabulary, bias, layers=4, heads=4, width=128, context=64):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads, bias) for _ in range(layers))
        self.norm = nn.LayerNorm(width, bias=bias)
        for name, weight in self.named_parameters():
            if weight.dim() == 2:
                into_residual = name.endswith(("attention_out.weight", "down.weight"))
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * layers) if into_residual else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    def forward(self, ids):
        x = self.tokens(ids) + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.tokens.weight)


def learning_rate(step, steps, peak=1e-3, low=1e-4, warmup=100):
    """nanoGPT's convention for the warm-up: the first step is not zero, step `warmup` is the peak."""
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    return low + 0.5 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) * (peak - low)


def read_tokens(path, kind):
    data = open(path, "rb").read()
    if kind == "bytes":
        return torch.tensor(list(data)), 256
    text = data.decode("utf-8")
    index = {character: i for i, character in enumerate(sorted(set(text)))}
    return torch.tensor([index[character] for character in text]), len(index)


@torch.no_grad()
def evaluate(model, ids, context):
    """(loss over 64 predictions a window, loss over the 63 inside it), over every whole window."""
    windows = (len(ids) - 1) // context
    inputs = ids[: windows * context].view(windows, context)
    targets = ids[1 : windows * context + 1].view(windows, context)
    losses = torch.cat([F.cross_entropy(model(x).transpose(1, 2), y, reduction="none").double()
                        for x, y in zip(inputs.split(64), targets.split(64))])
    return losses.mean().item(), losses[:, :-1].mean().item()


def train(arguments):
    torch.manual_seed(arguments.seed)
    ids, vocabulary = read_tokens(arguments.text, arguments.tokens)
    split = int(0.9 * len(ids))
    training, validation = ids[:split], ids[split:]
    context, batch = 64, 12
    model = Decoder(vocabulary, arguments.bias, context=context)
    undecayed = ("tokens", "positions") if arguments.spare_embeddings else ()
    decayed = [w for n, w in model.named_parameters() if w.dim() >= 2 and not n.startswith(undecayed)]
    rest = [w for w in model.parameters() if not any(w is d for d in decayed)]
    optimizer = torch.optim.AdamW([{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}],
                                  lr=1e-3, betas=(0.9, 0.99), eps=1e-8)
    started = time.perf_counter()
    for step in range(arguments.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, arguments.steps)
        starts = torch.randint(len(training) - context, (batch,))
        window = training[starts[:, None] + torch.arange(context + 1)]
        loss = F.cross_entropy(model(window[:, :-1]).flatten(0, 1), window[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % 250 == 0:
            print(f"step {step:5d}  loss {loss.item():.4f}  {time.perf_counter() - started:.1f} s", flush=True)
    seconds = time.perf_counter() - started
    loss, within = evaluate(model, validation, context)
    print(json.dumps({"tokens": arguments.tokens, "vocabulary": vocabulary, "bias": arguments.bias, "seed": arguments.seed,
                      "decay_embeddings": not arguments.spare_embeddings, "steps": arguments.steps,
                      "loss": round(loss, 5), "loss_within": round(within, 5), "seconds": round(seconds, 1),
                      "threads": torch.get_num_threads(), "torch": torch.__version__}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="GPT-2 style baseline on tinyshakespeare")
    parser.add_argument("text", help="tinyshakespeare as one UTF-8 file")
    parser.add_argument("--tokens", choices=("bytes", "characters"), default="characters")
    parser.add_argument("--bias", action="store_true", help="biases in linear maps and norms (nanoGPT's setting has none)")
    parser.add_argument("--spare-embeddings", action="store_true", help="no decay on token and position embeddings")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1337)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    train(options)

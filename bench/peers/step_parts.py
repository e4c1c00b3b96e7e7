"""Where the time of a training step goes, and how near it comes to its matrix products alone.

    ./dev bench step_parts [--rounds N]

The 10 M-parameter Llama-style model of train_step (16 × 256 tokens, bf16): the whole step, its parts each alone, and the bound, in two forms.
Every round times each of them once.
  bound/same-products   the same products (weights and head, forward and backward; none of attention's) through libtorch, size by size
  bound/best-product    their operations at the speed of one large product, which no real step reaches
A ratio of 0.65 says that the step reaches 65% of the speed that the products allow.
"""
import argparse
import json
import statistics

from _models import LLAMA10M
from _side_by_side import BUILD, Worker, cpu_name

WIDTH, FEED_FORWARD, LAYERS = (LLAMA10M[key] for key in ("hidden_size", "intermediate_size", "num_hidden_layers"))
HEADS, VOCABULARY, BATCH, CONTEXT = LLAMA10M["num_attention_heads"], LLAMA10M["vocab_size"], 16, 256
PARTS = (("linear", "matrices, forward and both gradients"), ("head_loss", "head and loss"), ("attention", "attention"),
         ("norms", "norms with residual additions"), ("rotation", "rotary positions"), ("swiglu", "SwiGLU"),
         ("embedding", "embedding and its gradient"), ("optimizer", "AdamW"), ("gradient_norm", "norm of the gradient"))

parser = argparse.ArgumentParser()
parser.add_argument("--rounds", type=int, default=7)
options = parser.parse_args()
worker = Worker(BUILD / "bench" / "engine_step_parts")
parameters, = worker.ask(f"shape {WIDTH} {FEED_FORWARD} {LAYERS} {HEADS} {VOCABULARY} {BATCH} {CONTEXT}")
names = ["step", "products", "gemm", *(name for name, _ in PARTS)]
measured = {name: [] for name in names}
for i in range(options.rounds):
    for name in names if i % 2 == 0 else reversed(names):
        measured[name].append(worker.ask(name)[0])

tokens = BATCH * CONTEXT
flops = 6 * tokens * (LAYERS * (4 * WIDTH * WIDTH + 3 * WIDTH * FEED_FORWARD) + VOCABULARY * WIDTH)
measured["best"] = [flops / (2 * 2048**3) * seconds for seconds in measured["gemm"]]
median = {name: statistics.median(times) for name, times in measured.items()}
print(f"{parameters / 1e6:.1f} M parameters, {tokens} tokens a step, {options.rounds} rounds, {cpu_name()}")
print(f"{'':40}{'median ms':>12}{'of the step':>14}")


def row(meaning, seconds):
    print(f"{meaning:40}{1e3 * seconds:12.1f}{seconds / median['step']:14.1%}")


row("the step", median["step"])
for name, meaning in PARTS:
    row(meaning, median[name])
row("the step less its parts", median["step"] - sum(median[name] for name, _ in PARTS))
row("the same products through libtorch", median["products"])
row("their operations at the best product's speed", median["best"])
print(f"the same products run at {flops / median['products'] / 1e9:.0f} GFLOP/s, the best one at {flops / median['best'] / 1e9:.0f}")
print(json.dumps({"bench": "step_parts", "results": [
    {"case": f"bound/{case}", "ours": tokens / median["step"], "peer": tokens / median[name], "unit": "tokens/s",
     "ratio_min": min(measured[name]) / min(measured["step"]), "ratio_median": median[name] / median["step"]}
    for case, name in (("same-products", "products"), ("best-product", "best"))]}))

"""Twenty training steps as PyTorch and transformers take them: tests/golden/training.safetensors.

    python tools/oracles/training_goldens.py tests/golden/training.safetensors [--mutations]

Two models of tests/data/models, each in fp32 and in bf16 (fp32 master weights under torch.optim.AdamW, a bf16 copy that computes, and
gradients cast to fp32 before micro-batches are added):
    llama   rows of several documents that do not see each other, so that micro-batches predict different numbers of tokens; cosine
    gpt2    whole rows, tied head, biases, z-loss; warm-up, stable, linear decay
A step has six rows in micro-batches of four and two. Vectors are not decayed. The peak rate lets the loss fall by a fifth or more, and
clip lies in the midst of the gradients' norms.

    tokens [N]                         the text, ids below 40; 39 ends a document
    windows [120, 25]                  the rows of all steps, in the order of isotrope/data/sampler.h (written down here once more)
    NAME.PRECISION.{loss,lr,grad_norm} [20] float64      of each step, the norm before clipping
    NAME.PRECISION.weights.TENSOR      after the last step, fp32
    metadata settings.NAME             the run's configuration, one key = value a line

--mutations prints instead what errors of a trainer would give: the distances that tests/train/golden_run_test.cpp bounds, between this
oracle and one that makes the error.
"""

import json
import math
import pathlib
import sys

import safetensors.torch
import torch
import torch.nn.functional as F
import transformers

STEPS, ROWS, MICRO, CONTEXT, SEED, VOCABULARY, END = 20, 6, 4, 24, 7, 40, 39
BETAS, EPS, DECAY = (0.9, 0.8), 1e-8, 0.3
MODELS = pathlib.Path(__file__).parents[2] / "tests/data/models"
RUNS = {
    "llama": {"folder": "llama_gqa2_theta5e5", "mask": True, "z_loss": 0.0, "lr": 1e-2, "clip": 1.45,
              "schedule": {"name": "cosine", "warmup_steps": 4, "min_lr_factor": 0.1}},
    "gpt2": {"folder": "gpt2_tied", "mask": False, "z_loss": 1e-3, "lr": 1e-2, "clip": 1.2,
             "schedule": {"name": "wsd", "warmup_steps": 3, "decay_steps": 8, "min_lr_factor": 0.2}},
}
MUTATIONS = ["bias correction from step 2", "no decay", "vectors decayed", "beta2 0.999", "beta2 0.95", "clip ignored", "schedule a step late",
             "mean of micro-batches", "last micro-batch lost", "eps 1e-6", "lr 1% higher"]
ONE_WORD = 2**64 - 1


def philox(counter, key):
    a, b, c, d = counter
    k, l = key
    for _ in range(10):
        left, right = 0xD2511F53 * a, 0xCD9E8D57 * c
        a, b, c, d = (right >> 32) ^ b ^ k, right & 0xFFFFFFFF, (left >> 32) ^ d ^ l, left & 0xFFFFFFFF
        k, l = (k + 0x9E3779B9) & 0xFFFFFFFF, (l + 0xBB67AE85) & 0xFFFFFFFF
    return a, b, c, d


def key_of(seed, purpose):
    value = 0xCBF29CE484222325
    for byte in purpose.encode():
        value = ((value ^ byte) * 0x100000001B3) & ONE_WORD
    for word in (seed, len(purpose)):
        value = (value + word + 0x9E3779B97F4A7C15) & ONE_WORD
        value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & ONE_WORD
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & ONE_WORD
        value ^= value >> 31
    return value & 0xFFFFFFFF, value >> 32


def random_words(seed, purpose, step):
    block = 0
    while True:
        yield from philox((block, (step << 16) & 0xFFFFFFFF, step >> 16, 0), key_of(seed, purpose))
        block += 1


def below(words, bound):
    while True:
        value = next(words) | next(words) << 32
        if value >= 2**64 % bound:
            return value % bound


def permuted(index, size, key):
    half = (max(1, (size - 1).bit_length()) + 1) // 2
    mask = (1 << half) - 1
    while True:
        left, right = index >> half, index & mask
        for turn in range(6):
            mixed = philox((right & 0xFFFFFFFF, right >> 32, turn, 0), key)
            left, right = right, left ^ ((mixed[0] | mixed[1] << 32) & mask)
        index = left << half | right
        if index < size:
            return index


def sampled_windows(tokens):
    count = (len(tokens) - 1) // CONTEXT - 1
    rows = []
    for position in range(STEPS * ROWS):
        epoch, place = divmod(position, count)
        offset = below(random_words(SEED, "order/offset", epoch), len(tokens) - count * CONTEXT)
        words = random_words(SEED, "order", epoch)
        begin = offset + CONTEXT * permuted(place, count, (next(words), next(words)))
        rows.append(tokens[begin : begin + CONTEXT + 1])
    return torch.stack(rows)


def text():
    """Documents of 3 to 40 tokens in which four of five tokens follow from the one before; an epoch is no whole number of steps."""
    generator = torch.Generator().manual_seed(40)
    draw = lambda bound: torch.randint(bound, (1,), generator=generator).item()
    tokens = []
    while len(tokens) < 51 * CONTEXT:
        last = draw(END)
        for _ in range(3 + draw(37)):
            tokens.append(last)
            last = (5 * last + 3) % END if draw(5) else draw(END)
        tokens.append(END)
    return torch.tensor(tokens)


def factor(step, name, warmup_steps, min_lr_factor, decay_steps=0):
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    begin = warmup_steps if name == "cosine" else STEPS - decay_steps
    over = max(0.0, (step - begin) / (STEPS - begin))
    return min_lr_factor + ((1 + math.cos(math.pi * over)) / 2 if name == "cosine" else 1 - over) * (1 - min_lr_factor)


def targets_of(windows, run):
    """(targets with -100 where a token of another document would be predicted, the document of every token)."""
    targets = windows[:, 1:].clone()
    documents = (windows == END).cumsum(1) - (windows == END).int()  # the end belongs to the document that it ends
    if run["mask"]:
        targets[documents[:, 1:] != documents[:, :-1]] = -100
    return targets.flatten(), documents[:, :-1]


def loss_sum(model, windows, run):
    targets, documents = targets_of(windows, run)
    options = {}
    if run["mask"]:
        options["attention_mask"] = (documents[:, None, :, None] == documents[:, None, None, :]) & torch.ones(CONTEXT, CONTEXT, dtype=torch.bool).tril()
    logits = model(input_ids=windows[:, :-1], use_cache=False, **options).logits.float().flatten(0, 1)
    squared = logits.logsumexp(1).square()[targets >= 0].sum() if run["z_loss"] else 0.0
    return F.cross_entropy(logits, targets, reduction="sum") + run["z_loss"] * squared


def gradients_of(model, rows, run, mutation):
    """(loss, gradients in fp32 by name): of the mean over all predicted tokens of the step."""
    parts = [rows[:MICRO], rows[MICRO:]]
    counts = [(targets_of(part, run)[0] >= 0).sum().item() for part in parts]
    total, loss, sums = sum(counts), 0.0, {name: torch.zeros(weight.shape) for name, weight in model.named_parameters()}
    for part, count in zip(parts, counts):
        value = loss_sum(model, part, run) / (len(parts) * count if mutation == "mean of micro-batches" else total)
        model.zero_grad()
        value.backward()
        loss += value.item()
        if mutation == "last micro-batch lost" and part is parts[-1]:
            continue
        for name, weight in model.named_parameters():
            sums[name] += weight.grad.float()
    return loss, sums


def optimizer_for(masters, mutation):
    vectors = [weight for weight in masters.values() if weight.dim() == 1]
    others = [weight for weight in masters.values() if weight.dim() > 1]
    decay = 0.0 if mutation == "no decay" else DECAY
    groups = [{"params": others, "weight_decay": decay}, {"params": vectors, "weight_decay": decay if mutation == "vectors decayed" else 0.0}]
    second = {"beta2 0.999": 0.999, "beta2 0.95": 0.95}.get(mutation, BETAS[1])
    optimizer = torch.optim.AdamW(groups, betas=(BETAS[0], second), eps=1e-6 if mutation == "eps 1e-6" else EPS, foreach=False)
    if mutation == "bias correction from step 2":
        for weight in masters.values():
            optimizer.state[weight] = {"step": torch.tensor(1.0), "exp_avg": torch.zeros_like(weight), "exp_avg_sq": torch.zeros_like(weight)}
    return optimizer


def trained(run, windows, dtype, mutation=None):
    """(records of the steps by name, start and end of every weight)."""
    model = transformers.AutoModelForCausalLM.from_pretrained(MODELS / run["folder"], dtype=torch.float32).eval()
    masters = {name: weight.detach().clone().requires_grad_() for name, weight in model.named_parameters()}
    start = {name: weight.detach().clone() for name, weight in masters.items()}
    model = model.to(dtype)
    optimizer = optimizer_for(masters, mutation)
    records = {"loss": [], "lr": [], "grad_norm": []}
    for step in range(STEPS):
        loss, sums = gradients_of(model, windows[step * ROWS : (step + 1) * ROWS], run, mutation)
        norm = math.sqrt(sum(gradient.double().square().sum().item() for gradient in sums.values()))
        lr = run["lr"] * factor(step + (mutation == "schedule a step late"), **run["schedule"]) * (1.01 if mutation == "lr 1% higher" else 1)
        for name, weight in masters.items():
            weight.grad = sums[name] * (1.0 if mutation == "clip ignored" else min(1.0, run["clip"] / (norm + 1e-6)))
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.step()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                weight.copy_(masters[name])
        for key, value in (("loss", loss), ("lr", lr), ("grad_norm", norm)):
            records[key].append(value)
    records = {key: torch.tensor(values, dtype=torch.float64) for key, values in records.items()}
    return records, start, {name: weight.detach() for name, weight in masters.items()}


def settings(run):
    keys = {"train.steps": STEPS, "train.batch_size": ROWS, "train.micro_batch_size": MICRO, "train.context": CONTEXT, "train.seed": SEED,
            "train.clip": run["clip"], "train.z_loss": run["z_loss"], "data.document_mask": json.dumps(run["mask"]),
            "optimizer.lr": run["lr"], "optimizer.beta1": BETAS[0], "optimizer.beta2": BETAS[1], "optimizer.eps": EPS, "optimizer.weight_decay": DECAY,
            **{f"schedule.{key}": value for key, value in run["schedule"].items()}}
    return "\n".join(f"{key}={value}" for key, value in keys.items())


def compared_parts(name, weight):
    """The bias of GPT-2's keys has no gradient but rounding: softmax does not see what is the same for every key."""
    if not name.endswith("attn.c_attn.bias"):
        return {name: weight}
    query, _, value = weight.chunk(3)
    return {name + ".query": query, name + ".value": value}


def distances(one, other):
    (records, start, end), (others, _, end_of_other) = one, other
    parts = lambda weights: {part: value for name, weight in weights.items() for part, value in compared_parts(name, weight).items()}
    start, end, end_of_other = parts(start), parts(end), parts(end_of_other)
    away = {name: (end_of_other[name] - end[name]).norm().item() for name in end}
    moved = {name: (end[name] - start[name]).norm().item() for name in end}
    whole = math.sqrt(sum(value**2 for value in away.values()) / sum(value**2 for value in moved.values()))
    ratio = lambda key: (others[key] / records[key] - 1).abs().max().item()
    return {"loss": (others["loss"] - records["loss"]).abs().max().item(), "lr": ratio("lr"), "grad_norm": ratio("grad_norm"),
            "weights": max(away[name] / end[name].norm().item() for name in end), "moves": max(away[name] / moved[name] for name in end),
            "all moves": whole}



def print_mutations(windows):
    for name, run in RUNS.items():
        for dtype in (torch.float32, torch.bfloat16):
            right = trained(run, windows, dtype)
            print(f"{name} {dtype}: loss {right[0]['loss'][0]:.3f} to {right[0]['loss'][-1]:.3f}")
            for mutation in MUTATIONS:
                found = distances(right, trained(run, windows, dtype, mutation))
                print(f"  {mutation:28s}" + "  ".join(f"{key} {value:.1e}" for key, value in found.items()), flush=True)


def write(path, tokens, windows):
    tensors = {"tokens": tokens.int(), "windows": windows.int()}
    for name, run in RUNS.items():
        for precision, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
            records, _, end = trained(run, windows, dtype)
            clipped = (records["grad_norm"] > run["clip"]).sum().item()
            assert 4 <= clipped <= STEPS - 4, (name, precision, records["grad_norm"])
            assert records["loss"][-3:].mean() < 0.8 * records["loss"][:3].mean(), records["loss"]
            print(f"{name} {precision}: loss {records['loss'][0]:.4f} to {records['loss'][-1]:.4f}, {clipped} steps clipped")
            tensors |= {f"{name}.{precision}.{key}": values for key, values in records.items()}
            tensors |= {f"{name}.{precision}.weights.{key}": weight for key, weight in end.items()}
    about = {"about": f"tools/oracles/training_goldens.py, torch {torch.__version__}, transformers {transformers.__version__}"}
    about |= {f"settings.{name}": settings(run) for name, run in RUNS.items()} | {f"model.{name}": run["folder"] for name, run in RUNS.items()}
    safetensors.torch.save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, path, metadata=about)


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    written = text()
    rows = sampled_windows(written)
    print_mutations(rows) if "--mutations" in sys.argv else write(sys.argv[1], written, rows)

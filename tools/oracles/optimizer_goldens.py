"""AdamW, gradient clipping and learning-rate schedules as PyTorch and the formulas give them: tests/golden/adamw.safetensors.

    python tools/oracles/optimizer_goldens.py tests/golden/adamw.safetensors

AdamW: 100 steps of torch.optim.AdamW, in fp32 and in float64, on three tensors with given gradients.
    weights.{a,b,c}                        start, fp32 (float64 starts from the same values)
    gradient_scale [100], gradients.{a,b,c} [4, shape]
        gradient of step s (from 0) = gradient_scale[s] * gradients[s mod 4], the product taken in fp32
    NAME.learning_rates [100] float64      of each step
    NAME.weights.{a,b,c}, .first_moment.…, .second_moment.…           after 100 steps, fp32
    NAME.weights64.{a,b,c}                                            the same in float64
      (fp32 and float64 differ by up to 3e-6 after 100 steps, nearly all of it because PyTorch multiplies fp32 weights by
      1 - lr * weight_decay rounded to fp32, the same error every step; this program prints the difference)
    NAME.after_10.{a,b,c}                                             weights after 10 steps, fp32
  The hyper-parameters of each NAME are in the metadata as JSON: lr, betas, eps, weight_decay, schedule.
  weight_decay is decoupled: w <- w - lr * weight_decay * w before the Adam update.

Clipping: clip.gradients.{a,b,c}; for each clip.N: clip.N.max_norm [1], clip.N.norm [1] (total, float64 arithmetic), and the
  clipped gradients clip.N.{a,b,c} by torch.nn.utils.clip_grad_norm_ (factor max_norm / (norm + 1e-6), at most 1).

Schedules: schedule.NAME.rates [steps] float64, the learning rate of step 0, 1, …; parameters in the metadata. With u the share
  of the decay phase that is over, (step - warmup) / (steps - warmup) or (step - stable_until) / (steps - stable_until):
    warm-up        lr * (step + 1) / warmup                             for step < warmup
    cosine         min_lr + (1 + cos(pi u)) / 2 * (lr - min_lr)
    wsd_linear     lr until stable_until, then min_lr + (1 - u) * (lr - min_lr)
    wsd_sqrt       lr until stable_until, then min_lr + (1 - sqrt(u)) * (lr - min_lr)
    exponential    lr until stable_until where that is given, then lr * (min_lr / lr)^u
"""

import json
import math
import sys

import safetensors.torch
import torch

STEPS = 100
SHAPES = {"a": (7, 5), "b": (13,), "c": (3, 4, 2)}
RUNS = {
    "plain": {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, "schedule": "constant"},
    "decay": {"lr": 1e-2, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1, "schedule": "constant"},
    "cosine": {"lr": 3e-3, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0.1, "schedule": "cosine"},
    "large_eps": {"lr": 1e-3, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.01, "schedule": "cosine"},
    "no_momentum": {"lr": 1e-3, "betas": (0.0, 0.9), "eps": 1e-10, "weight_decay": 0.5, "schedule": "constant"},
}
SCHEDULES = {
    "cosine": {"kind": "cosine", "lr": 1e-3, "min_lr": 1e-4, "warmup": 10, "steps": 60},
    "cosine_without_warmup": {"kind": "cosine", "lr": 6e-4, "min_lr": 0.0, "warmup": 0, "steps": 25},
    "wsd_linear": {"kind": "wsd_linear", "lr": 1e-3, "min_lr": 1e-5, "warmup": 5, "stable_until": 40, "steps": 50},
    "wsd_sqrt": {"kind": "wsd_sqrt", "lr": 1e-3, "min_lr": 0.0, "warmup": 5, "stable_until": 30, "steps": 50},
    "exponential": {"kind": "exponential", "lr": 2e-3, "min_lr": 2e-5, "warmup": 8, "steps": 40},
    "stable_exponential": {"kind": "exponential", "lr": 2e-3, "min_lr": 2e-4, "warmup": 4, "stable_until": 30, "steps": 45},
}


def rate(step, kind, lr, min_lr, warmup, steps, stable_until=None):
    if step < warmup:
        return lr * (step + 1) / warmup
    start = warmup if stable_until is None else stable_until
    if step < start:
        return lr
    over = (step - start) / (steps - start)
    if kind == "exponential":
        return lr * (min_lr / lr) ** over
    left = {"cosine": lambda: (1 + math.cos(math.pi * over)) / 2, "wsd_linear": lambda: 1 - over, "wsd_sqrt": lambda: 1 - math.sqrt(over)}[kind]()
    return min_lr + left * (lr - min_lr)


def rates_of(run):
    if run["schedule"] == "constant":
        return [run["lr"]] * STEPS
    return [rate(step, run["schedule"], run["lr"], run["lr"] / 10, 10, STEPS) for step in range(STEPS)]


def adamw(run, weights, gradients, scale, dtype, snapshot_at=10):
    """(parameters, optimizer, weights after `snapshot_at` steps)."""
    parameters = {key: weight.to(dtype).clone().requires_grad_() for key, weight in weights.items()}
    optimizer = torch.optim.AdamW(parameters.values(), lr=run["lr"], betas=run["betas"], eps=run["eps"], weight_decay=run["weight_decay"], foreach=False)
    early = {}
    for step, lr in enumerate(rates_of(run)):
        optimizer.param_groups[0]["lr"] = lr
        for key, parameter in parameters.items():
            parameter.grad = (scale[step] * gradients[key][step % 4]).to(dtype)
        optimizer.step()
        if step + 1 == snapshot_at:
            early = {key: parameter.detach().clone() for key, parameter in parameters.items()}
    return parameters, optimizer, early


def adamw_goldens(generator):
    weights = {key: torch.randn(shape, generator=generator) for key, shape in SHAPES.items()}
    gradients = {key: torch.randn(4, *shape, generator=generator) for key, shape in SHAPES.items()}
    gradients["b"][:, 0] = 0  # an element that never has a gradient: only decay may move it
    scale = (0.5 + torch.rand(STEPS, generator=generator)) * torch.where(torch.arange(STEPS) % 7 == 3, 50.0, 1.0)
    out = {"gradient_scale": scale}
    out |= {f"weights.{key}": weight for key, weight in weights.items()} | {f"gradients.{key}": g for key, g in gradients.items()}
    for name, run in RUNS.items():
        out[f"{name}.learning_rates"] = torch.tensor(rates_of(run), dtype=torch.float64)
        for dtype, suffix in ((torch.float32, ""), (torch.float64, "64")):
            parameters, optimizer, early = adamw(run, weights, gradients, scale, dtype)
            for key, parameter in parameters.items():
                out[f"{name}.weights{suffix}.{key}"] = parameter.detach()
                if not suffix:
                    out[f"{name}.first_moment.{key}"] = optimizer.state[parameter]["exp_avg"]
                    out[f"{name}.second_moment.{key}"] = optimizer.state[parameter]["exp_avg_sq"]
                    out[f"{name}.after_10.{key}"] = early[key]
    return out


def clip_goldens(generator):
    gradients = {key: 3 * torch.randn(shape, generator=generator) for key, shape in SHAPES.items()}
    out = {f"clip.gradients.{key}": gradient for key, gradient in gradients.items()}
    norm = math.sqrt(sum(gradient.double().square().sum().item() for gradient in gradients.values()))
    for number, max_norm in enumerate((1.0, norm * 0.999, norm * 2, 1e-3)):
        parameters = [torch.nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients.values()]
        for parameter, gradient in zip(parameters, gradients.values()):
            parameter.grad = gradient.clone()
        reported = torch.nn.utils.clip_grad_norm_(parameters, max_norm, foreach=False).item()
        assert abs(reported - norm) < 1e-5 * norm
        out[f"clip.{number}.max_norm"] = torch.tensor([max_norm], dtype=torch.float64)
        out[f"clip.{number}.norm"] = torch.tensor([norm], dtype=torch.float64)
        out |= {f"clip.{number}.{key}": parameter.grad for key, parameter in zip(gradients, parameters)}
    return out


if __name__ == "__main__":
    torch.set_num_threads(1)
    source = torch.Generator().manual_seed(20)
    tensors = adamw_goldens(source) | clip_goldens(source)
    tensors |= {f"schedule.{name}.rates": torch.tensor([rate(step, **how) for step in range(how["steps"])], dtype=torch.float64)
                for name, how in SCHEDULES.items()}
    for name in RUNS:
        gap = max(((tensors[f"{name}.weights.{k}"].double() - tensors[f"{name}.weights64.{k}"]).norm() / tensors[f"{name}.weights64.{k}"].norm()).item() for k in SHAPES)
        print(f"{name:12s} fp32 against float64: {gap:.1e}")
    about = {"about": "tools/oracles/optimizer_goldens.py, seed 20, torch " + torch.__version__}
    about |= {f"adamw.{name}": json.dumps(run) for name, run in RUNS.items()} | {f"schedule.{name}": json.dumps(how) for name, how in SCHEDULES.items()}
    safetensors.torch.save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, sys.argv[1], metadata=about)

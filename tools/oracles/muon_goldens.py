"""Muon as PyTorch gives it: tests/golden/muon.safetensors.

    python tools/oracles/muon_goldens.py tests/golden/muon.safetensors

20 steps of torch.optim.Muon on three matrices with given gradients. Its Newton-Schulz works in bf16; `NAME.weights.…` come from the same
class with the same lines in fp32, `NAME.stock.…` from the class as it is.
    weights.{wide,tall,square}                      start, fp32
    gradient_scale [20], gradients.{wide,tall,square} [4, m, n]
        gradient of step s (from 0) = gradient_scale[s] * gradients[s mod 4], the product taken in fp32
    NAME.weights.…, NAME.momentum.…                 after 20 steps, fp32
    NAME.stock.…                                    the weights of the unchanged class after its first step
  The hyper-parameters of each NAME are in the metadata as JSON; `scale` is moonlight (adjust_lr_fn = match_rms_adamw) or jordan (original).

Newton-Schulz of G [4, 6], G_ij = sin(.9 (i+1) (j+1) + .3 i), indices from 0: newton_schulz, in float64.
"""

import json
import sys

import safetensors.torch
import torch
import torch.optim._muon as muon

STEPS = 20
SHAPES = {"wide": (12, 20), "tall": (24, 9), "square": (16, 16)}
RUNS = {
    "moonlight": {"lr": 1e-2, "weight_decay": 0.1, "momentum": 0.95, "nesterov": True, "iterations": 5, "scale": "moonlight"},
    "jordan": {"lr": 2e-2, "weight_decay": 0.0, "momentum": 0.9, "nesterov": False, "iterations": 3, "scale": "jordan"},
}


def exact_newton_schulz(x, coefficients, steps, eps):
    a, b, c = coefficients
    tall = x.size(0) > x.size(1)
    y = x.T if tall else x
    y = y / y.norm().clamp(min=eps)
    for _ in range(steps):
        gram = y @ y.T
        y = torch.addmm(y, torch.addmm(gram, gram, gram, beta=b, alpha=c), y, beta=a)
    return y.T if tall else y


def train(run, weights, gradients, scale, steps):
    parameters = {key: weight.clone().requires_grad_() for key, weight in weights.items()}
    optimizer = torch.optim.Muon(parameters.values(), lr=run["lr"], weight_decay=run["weight_decay"], momentum=run["momentum"], nesterov=run["nesterov"],
                                 ns_steps=run["iterations"], adjust_lr_fn={"moonlight": "match_rms_adamw", "jordan": "original"}[run["scale"]])
    for step in range(steps):
        for key, parameter in parameters.items():
            parameter.grad = scale[step] * gradients[key][step % 4]
        optimizer.step()
    return parameters, optimizer


if __name__ == "__main__":
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(21)
    weights = {key: torch.randn(shape, generator=generator) for key, shape in SHAPES.items()}
    gradients = {key: torch.randn(4, *shape, generator=generator) for key, shape in SHAPES.items()}
    scale = 0.5 + torch.rand(STEPS, generator=generator)
    out = {"gradient_scale": scale} | {f"weights.{k}": v for k, v in weights.items()} | {f"gradients.{k}": v for k, v in gradients.items()}
    stock = muon._zeropower_via_newtonschulz
    for name, run in RUNS.items():
        muon._zeropower_via_newtonschulz = stock
        first, _ = train(run, weights, gradients, scale, 1)
        muon._zeropower_via_newtonschulz = exact_newton_schulz
        parameters, optimizer = train(run, weights, gradients, scale, STEPS)
        for key, parameter in parameters.items():
            out[f"{name}.weights.{key}"] = parameter.detach()
            out[f"{name}.momentum.{key}"] = optimizer.state[parameter]["momentum_buffer"]
            out[f"{name}.stock.{key}"] = first[key].detach()
    i, j = torch.meshgrid(torch.arange(4.0, dtype=torch.float64), torch.arange(6.0, dtype=torch.float64), indexing="ij")
    g = torch.sin(0.9 * (i + 1) * (j + 1) + 0.3 * i)
    out["newton_schulz"] = exact_newton_schulz(g, (3.4445, -4.7750, 2.0315), 5, 1e-7)
    print("newton_schulz[0, 0]", out["newton_schulz"][0, 0].item())
    about = {"about": "tools/oracles/muon_goldens.py, seed 21, torch " + torch.__version__} | {name: json.dumps(run) for name, run in RUNS.items()}
    safetensors.torch.save_file({key: value.contiguous() for key, value in out.items()}, sys.argv[1], metadata=about)

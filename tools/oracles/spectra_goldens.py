"""Spectra in float64, from the formulas: tests/golden/spectra.safetensors.

    python tools/oracles/spectra_goldens.py tests/golden/spectra.safetensors

20 steps on three matrices with given gradients. No peer publishes this optimizer; what is here is the definition, line by line, in the slow form:
the tail is subtracted out, its singular values come from an SVD, RMS is taken over the entries. float64 unless said.
    weights.{wide,tall,square}                      start, fp32
    gradient_scale [20], gradients.{wide,tall,square} [4, m, n], fp32
        gradient of step s (from 0) = gradient_scale[s] * gradients[s mod 4], the product taken in fp32
    NAME.first_basis.… [n, k]                       the right basis before the first step, fp32
    NAME.first.…                                    the weights after the first step
    NAME.weights.…, NAME.momentum.…, NAME.right_basis.…     after 20 steps
  The hyper-parameters of each NAME are in the metadata as JSON. k = max(1, round(rank_fraction * min(m, n))), halves away from zero; the first step
  takes max(3, iterations) iterations; `spike_target` is what the spike's values are replaced by, from the tail left by this step's basis:
    tail_rms  sqrt(|Tail|^2 / (r - k))      next    the largest singular value of Tail      median  of the r - k largest singular values of Tail
    zero      O = Tail                      unchanged  O = M

fixture.{sigma,O,delta}: G [4, 6], G_ij = sin(.9 (i+1) (j+1) + .3 i), indices from 0, spike of k = 1 from an exact SVD; delta is what is added to W at
lr 1, weight decay 0, with eps 0, which is how its published digits were made; fixture.delta_eps is the same with eps 1e-8.

Checked before anything is written: the fixture's published digits; on 384 x 1024 with k = 6 sigma against the exact SVD's and
Tail = (I - U U^T) M; |O|^2 = r sigma^2 for every shape; k = r - 1 from an exact SVD as Muon with the exact polar factor.
"""

import json
import math
import sys

import safetensors.torch
import torch

STEPS = 20
SHAPES = {"wide": (24, 40), "tall": (48, 20), "square": (32, 32)}
DEFAULT = {"lr": 1e-2, "weight_decay": 0.1, "momentum": 0.95, "rank_fraction": 0.1, "iterations": 1, "rms": 0.2, "spike_target": "tail_rms"}
RUNS = {
    "default": DEFAULT,
    "other": {"lr": 2e-2, "weight_decay": 0.0, "momentum": 0.9, "rank_fraction": 0.2, "iterations": 2, "rms": 0.3, "spike_target": "zero"},
} | {target: DEFAULT | {"spike_target": target} for target in ("unchanged", "next", "median")}
EPS, SMALLEST = 1e-8, 1e-12


def rank(shape, fraction):
    return max(1, math.floor(fraction * min(shape) + 0.5))


def iterate(m, v, times):
    """The spike's left basis, values and right basis: orthogonal iteration from the right basis `v`."""
    for _ in range(times):
        q, r = torch.linalg.qr(m @ v)
        u = q * torch.where(r.diagonal() < 0, -1.0, 1.0).to(q.dtype)
        b = m.T @ u
        s = b.norm(dim=0)
        v = b / s.clamp(min=SMALLEST)
    return u, s, v


def exact(m, k):
    u, s, vt = torch.linalg.svd(m, full_matrices=False)
    return u[:, :k], s[:k], vt[:k].T


def replace_spike(m, u, s, v, target):
    """The output O, and the value that the spike has in it."""
    r, k = min(m.shape), s.numel()
    tail = m - u @ torch.diag(s) @ v.T
    if target == "unchanged":
        return m, s
    if target == "zero":
        return tail, 0.0
    if target == "tail_rms":
        sigma = (tail.square().sum() / (r - k)).sqrt()
    else:
        values = torch.linalg.svdvals(tail).sort(descending=True).values[: r - k]
        sigma = values[0] if target == "next" else values[[(r - k - 1) // 2, (r - k) // 2]].mean()
    return tail + sigma * u @ v.T, sigma


def delta(o, run, eps=EPS):
    return -run["rms"] * run["lr"] * o / (o.square().mean().sqrt() + eps)


def train(run, weight, gradients, scale, basis, steps, dtype=torch.float64):
    w, v = weight.to(dtype), basis.to(dtype)
    m = torch.zeros_like(w)
    for step in range(steps):
        m = run["momentum"] * m + (scale[step] * gradients[step % 4]).to(dtype)
        u, s, v = iterate(m, v, max(3, run["iterations"]) if step == 0 else run["iterations"])
        o, _ = replace_spike(m, u, s, v, run["spike_target"])
        w = (1 - run["lr"] * run["weight_decay"]) * w + delta(o, run)
    return {"weights": w, "momentum": m, "right_basis": v}


def orthonormal(n, k, generator):
    return torch.linalg.qr(torch.randn(n, k, generator=generator, dtype=torch.float64)).Q


def some_gradients(m, n, generator):
    """Four, fp32: noise, and two directions of some 20 times the noise's singular values, which turn a little from one to the next."""
    left, right = orthonormal(m, 2, generator), orthonormal(n, 2, generator)
    out = []
    for _ in range(4):
        u = torch.linalg.qr(left + 0.1 * torch.randn(m, 2, generator=generator, dtype=torch.float64)).Q
        v = torch.linalg.qr(right + 0.1 * torch.randn(n, 2, generator=generator, dtype=torch.float64)).Q
        values = torch.tensor([25.0, 15.0], dtype=torch.float64) * (0.8 + 0.4 * torch.rand(2, generator=generator, dtype=torch.float64))
        noise = torch.randn(m, n, generator=generator, dtype=torch.float64)
        out.append(noise + math.sqrt(max(m, n)) * u @ torch.diag(values) @ v.T)
    return torch.stack(out).float()


def fixture():
    i, j = torch.meshgrid(torch.arange(4.0, dtype=torch.float64), torch.arange(6.0, dtype=torch.float64), indexing="ij")
    g = torch.sin(0.9 * (i + 1) * (j + 1) + 0.3 * i)
    o, sigma = replace_spike(g, *exact(g, 1), "tail_rms")
    d, with_eps = (delta(o, DEFAULT | {"lr": 1.0}, eps) for eps in (0.0, EPS))
    for name, value, published in (("sigma", sigma, "1.7698471710"), ("O[0, 0]", o[0, 0], "0.7832935695"), ("delta[0, 0]", d[0, 0], "-0.2168175417")):
        print(f"fixture {name} {value:.10f}")
        assert f"{value:.10f}" == published
    print(f"fixture delta[0, 0] with eps 1e-8 {with_eps[0, 0]:.10f}")
    return {"fixture.sigma": sigma, "fixture.O": o, "fixture.delta": d, "fixture.delta_eps": with_eps}


def closed_form_error(o, sigma):
    return abs(o.square().mean().sqrt() * math.sqrt(max(o.shape)) / sigma - 1)


def check_steps(generator):
    """A first step of three iterations, then warm ones of one, on a momentum that stays as it is."""
    k, shape = 6, (384, 1024)
    values = torch.cat([torch.logspace(2, 1, k, dtype=torch.float64), torch.arange(1, min(shape) - k + 1, dtype=torch.float64) ** -0.3])
    m = orthonormal(shape[0], shape[0], generator) @ torch.diag(values) @ orthonormal(shape[1], shape[0], generator).T
    v = orthonormal(shape[1], k, generator)
    _, expected = replace_spike(m, *exact(m, k), "tail_rms")
    _, cold = replace_spike(m, *iterate(m, v, 1), "tail_rms")
    print(f"steps: exact sigma {expected:.5f}; cold, of one iteration, {cold / expected:.2f} times it")
    for step in range(4):
        u, s, v = iterate(m, v, 3 if step == 0 else 1)
        o, sigma = replace_spike(m, u, s, v, "tail_rms")
        error, closed = ((m - u @ torch.diag(s) @ v.T) - (m - u @ (u.T @ m))).norm() / m.norm(), closed_form_error(o, sigma)
        print(f"steps: {f'warm {step}' if step else 'first'}: sigma {sigma:.10f} (exact {expected:.10f}), Tail {error:.1e}, RMS(O) {closed:.1e}")
        assert error < 1e-12 and closed < 1e-12
    assert f"{sigma:.5f}" == f"{expected:.5f}" == "0.25671"


def check_shapes(generator):
    for m, n in SHAPES.values():
        x, r = torch.randn(m, n, generator=generator, dtype=torch.float64), min(m, n)
        u, _, v = exact(x, r)
        d = delta(replace_spike(x, *exact(x, r - 1), "tail_rms")[0], DEFAULT | {"lr": 1.0}, 0.0)
        muon = (d + 0.2 * math.sqrt(max(m, n)) * u @ v.T).norm() / d.norm()
        closed = closed_form_error(*replace_spike(x, *iterate(x, orthonormal(n, 3, generator), 1), "tail_rms"))
        print(f"{m} x {n}: k = r - 1 against the polar factor {muon:.1e}, RMS(O) in closed form {closed:.1e}")
        assert muon < 1e-9 and closed < 1e-12


if __name__ == "__main__":
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(22)
    out = fixture()
    check_steps(generator)
    check_shapes(generator)
    generator.manual_seed(22)
    weights = {key: torch.randn(shape, generator=generator) for key, shape in SHAPES.items()}
    gradients = {key: some_gradients(*shape, generator) for key, shape in SHAPES.items()}
    scale = 0.5 + torch.rand(STEPS, generator=generator)
    out |= {"gradient_scale": scale} | {f"weights.{k}": v for k, v in weights.items()} | {f"gradients.{k}": v for k, v in gradients.items()}
    for name, run in RUNS.items():
        for key, (m, n) in SHAPES.items():
            basis = orthonormal(n, rank((m, n), run["rank_fraction"]), generator).float()
            given = run, weights[key], gradients[key], scale, basis
            result = train(*given, STEPS)
            out |= {f"{name}.first_basis.{key}": basis, f"{name}.first.{key}": train(*given, 1)["weights"]}
            out |= {f"{name}.{what}.{key}": value for what, value in result.items()}
            single = train(*given, STEPS, torch.float32)
            print(f"{name} {key} k {basis.size(1)}: the same lines in fp32 differ by " +
                  ", ".join(f"{what} {(single[what].double() - value).norm() / value.norm():.1e}" for what, value in result.items()))
    about = {"about": "tools/oracles/spectra_goldens.py, seed 22, torch " + torch.__version__} | {name: json.dumps(run) for name, run in RUNS.items()}
    safetensors.torch.save_file({key: value.contiguous() for key, value in out.items()}, sys.argv[1], metadata=about)

"""Head, cross-entropy and z-loss in float64, and their gradients: tests/golden/head_loss.safetensors.

    python tools/oracles/loss_goldens.py tests/golden/head_loss.safetensors

For each case NAME: hidden [N,d] and head [V,d] (fp32 values), targets [N] int64 with -100 where nothing is predicted, and

    logits = hidden head^T,   logZ = logsumexp(logits),   over the n rows with a target
    cross_entropy = mean(logZ - logits[target]),   z_loss = z_coefficient * mean(logZ^2),   loss = cross_entropy + z_loss

    NAME.cross_entropy [1], NAME.z_loss [1], NAME.count [1] int64 = n
    NAME.grad_hidden [N,d], NAME.grad_head [V,d]             of loss, float64; zero rows where nothing is predicted
    NAME.plain.grad_hidden, NAME.plain.grad_head             of cross_entropy alone
    NAME.losses [N]                                          logZ - logits[target] of each row, 0 where nothing is predicted
  z_coefficient is in NAME.z_coefficient [1]. All floating results are float64, written out by hand below and checked
  against autograd. A case without any target is `empty`: losses and gradients are zero, not NaN.
"""

import sys

import safetensors.torch
import torch
from torch.nn import functional as F

# name: (rows, width, vocabulary, share of rows without target, scale of the hidden states, z coefficient)
CASES = {
    "small": (5, 3, 7, 0.0, 1.0, 1e-2),
    "odd": (37, 13, 61, 0.3, 2.0, 1e-4),
    "wide_vocabulary": (9, 8, 515, 0.2, 1.0, 1e-3),
    "large_logits": (16, 12, 33, 0.25, 60.0, 1e-4),
    "one_row": (1, 6, 11, 0.0, 1.0, 1e-2),
    "empty": (6, 5, 9, 1.0, 1.0, 1e-2),
}


def by_hand(hidden, head, targets, z):
    """(cross_entropy, z_loss, row losses, grad_hidden, grad_head) of cross_entropy + z * mean(logZ^2)."""
    rows = targets >= 0
    n = max(int(rows.sum()), 1)
    logits = hidden @ head.T
    log_z = torch.logsumexp(logits, dim=-1)
    losses = torch.where(rows, log_z - logits.gather(1, targets.clamp(min=0)[:, None])[:, 0], 0.0)
    softmax = (logits - log_z[:, None]).exp()
    d_logits = softmax * (1 + 2 * z * log_z)[:, None] - F.one_hot(targets.clamp(min=0), head.shape[0])
    d_logits *= rows[:, None].double() / n
    z_loss = z * (log_z.square() * rows).sum() / n
    return losses.sum() / n, z_loss, losses, d_logits @ head, d_logits.T @ hidden


def check_by_autograd(hidden, head, targets, z, expected):
    hidden, head = hidden.clone().requires_grad_(), head.clone().requires_grad_()
    logits = hidden @ head.T
    log_z = torch.logsumexp(logits[targets >= 0], dim=-1)
    loss = F.cross_entropy(logits, targets, ignore_index=-100) + z * log_z.square().mean()
    loss.backward()
    torch.testing.assert_close(loss.detach(), expected[0] + expected[1], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(hidden.grad, expected[3], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(head.grad, expected[4], rtol=1e-10, atol=1e-12)


def goldens(name, generator):
    n, width, vocabulary, ignored, scale, z = CASES[name]
    hidden = scale * torch.randn(n, width, generator=generator)
    head = 0.5 * torch.randn(vocabulary, width, generator=generator)
    targets = torch.randint(vocabulary, (n,), generator=generator)
    targets[torch.rand(n, generator=generator) < ignored] = -100
    whole = by_hand(hidden.double(), head.double(), targets, z)
    plain = by_hand(hidden.double(), head.double(), targets, 0.0)
    if name != "empty":
        assert (targets >= 0).any() and (ignored == 0 or (targets < 0).any()), name
        check_by_autograd(hidden.double(), head.double(), targets, z, whole)
        check_by_autograd(hidden.double(), head.double(), targets, 0.0, plain)
    count = int((targets >= 0).sum())
    print(f"{name:16s} n {count:3d} of {n:3d}  cross_entropy {whole[0]:.6f}  z_loss {whole[1]:.6f}")
    found = {"hidden": hidden, "head": head, "targets": targets, "count": torch.tensor([count]), "z_coefficient": torch.tensor([z], dtype=torch.float64),
             "cross_entropy": whole[0].reshape(1), "z_loss": whole[1].reshape(1), "losses": whole[2], "grad_hidden": whole[3],
             "grad_head": whole[4], "plain.grad_hidden": plain[3], "plain.grad_head": plain[4]}
    return {f"{name}.{key}": tensor.contiguous() for key, tensor in found.items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    source = torch.Generator().manual_seed(30)
    tensors = {key: tensor for name in CASES for key, tensor in goldens(name, source).items()}
    about = {"about": "tools/oracles/loss_goldens.py, seed 30, torch " + torch.__version__}
    safetensors.torch.save_file(tensors, sys.argv[1], metadata=about)

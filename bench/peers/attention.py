"""Attention, forward and backward, causal, bf16, against libtorch's scaled_dot_product_attention in the same process; both errors against float64."""
from _side_by_side import BUILD, Case, Worker, compare

SHAPES = ((16, 256, 8, 32), (16, 256, 12, 64), (2, 2048, 8, 32), (2, 2048, 12, 64))

worker = Worker(BUILD / "bench" / "engine_kernels")
for shape in SHAPES:
    ours, peer = worker.ask("errors %d %d %d %d" % shape)
    print("batch %d, %d tokens, %d heads of %d: " % shape + f"relative error against float64: ours {ours:.2e}, libtorch {peer:.2e}")


def side(who, shape):
    return lambda: worker.ask(f"attention {who} %d %d %d %d" % shape)[0]


compare("attention", [Case("b%d-t%d-h%dx%d/sdpa-bf16" % s, "s", side("ours", s), side("peer", s)) for s in SHAPES], 7, ("torch",))

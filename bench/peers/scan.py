"""A state-space layer's convolution and scan, forward and backward, against the chunked tensor form with libtorch's operations in the same
process (each case with the chunk that is fastest here); both errors against the recurrence in float64."""
from _side_by_side import BUILD, Case, Worker, compare

# name: (batch, tokens, heads, channels a head, states), dtype
SHAPES = {"scan/chunked": ((4, 512, 24, 32, 64), "fp32"), "scan/chunked-bf16": ((4, 512, 24, 32, 64), "bf16"),
          "scan/chunked-h24x64-n128": ((1, 1024, 24, 64, 128), "fp32")}
CHUNKS = (16, 32, 64, 128, 256)

worker = Worker(BUILD / "bench" / "engine_state_space")


def ask(what, shape, chunk, dtype):
    return worker.ask(f"{what} %d %d %d %d %d {chunk} {dtype}" % shape)


cases = []
for name, (shape, dtype) in SHAPES.items():
    chunk = min(CHUNKS, key=lambda each: ask("time peer", shape, each, dtype)[0])
    ours, peer = ask("errors", shape, chunk, dtype)
    print("batch %d, %d tokens, %d heads of %d, %d states, " % shape + f"{dtype}, chunks of {chunk}: relative error against float64: ours {ours:.2e}, peer {peer:.2e}")
    cases.append(Case(name, "s", lambda s=shape, c=chunk, d=dtype: ask("time ours", s, c, d)[0], lambda s=shape, c=chunk, d=dtype: ask("time peer", s, c, d)[0]))
compare("scan", cases, 7, ("torch",))

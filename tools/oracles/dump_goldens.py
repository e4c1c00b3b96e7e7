"""What transformers computes at every tap of the tiny models of tests/data: tests/data/dumps/NAME.safetensors, read by tests/infer/parity_test.cpp.

    python tools/oracles/dump_goldens.py tests/data [NAME...]

Two rows, of six tokens and of four with padding on the right (every other model: on the left), with segments where the model has them. The models are
those that model_goldens.py and encoder_goldens.py wrote.
"""

import pathlib
import sys

import torch
import transformers

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import dump_activations as dumps

ROWS = (6, 4)


def pads_left(config, position):
    """transformers masks no bias of a state space's projection: the convolution carries it from padding on the left into the text."""
    return position % 2 == 1 and not (getattr(config, "use_bias", False) or getattr(config, "mamba_proj_bias", False))


def write(folder, position, out):
    model, architecture = dumps.load(folder, torch.float32)
    config = model.config
    generator = torch.Generator().manual_seed(position)
    # The first ids are special in some of the encoders (RoBERTa's padding has no position).
    rows = [torch.randint(5, config.vocab_size, (length,), generator=generator).tolist() for length in ROWS]
    kinds = getattr(config, "type_vocab_size", 0) if config.model_type in ("bert", "roberta", "albert") else 0
    types = [torch.randint(kinds, (length,), generator=generator).sort().values.tolist() for length in ROWS] if kinds else None
    dumps.check_rows(out, rows, types or rows, config)
    side = "left" if pads_left(config, position) else "right"
    filler = config.pad_token_id if isinstance(getattr(config, "pad_token_id", None), int) else 0
    tensors = dumps.dump(model, dumps.padded(rows, filler, side), dumps.padded([[1] * len(row) for row in rows], 0, side),
                         dumps.padded(types, 0, side) if types else None)
    dumps.write(out, tensors, config, architecture, torch.float32)
    out.chmod(0o644)
    print(f"{out.name:45s} {len(tensors):3d} tensors  {side}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    target = pathlib.Path(sys.argv[1])
    folders = sorted(path.parent for kind in ("models", "encoders") for path in (target / kind).glob("*/expected.safetensors"))
    for position, folder in enumerate(folders):
        if not sys.argv[2:] or folder.name in sys.argv[2:]:
            write(folder, position, target / "dumps" / f"{folder.name}.safetensors")

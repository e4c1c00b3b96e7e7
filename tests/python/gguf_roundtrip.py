"""Do isotrope, gguf-py and transformers agree on GGUF files, and on llama2.c's? Through the program.

    python tests/python/gguf_roundtrip.py build/release/isotrope [--only PATTERN]

For random models of each architecture, which transformers saves as a folder with a byte-level tokenizer:
f32       `isotrope convert FOLDER x.gguf --type f32`; gguf-py reads it, and transformers' GGUF loader computes the folder's logits
q8_0      the matrices hold gguf.quants.quantize's bytes, the vectors F32; gguf-py names the tokens, merges and special ids
back      `isotrope convert x.gguf BACK`: every tensor bit for bit, the same logits and the tokenizer's ids in transformers
llama2c   $ISOTROPE_DATA/models/stories260K: the folder that convert makes speaks like a story, its weights are the file's
Prints one line each; exit code 0 if all agree, 1 if not, 77 without gguf.
"""

import argparse
import functools
import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

if importlib.util.find_spec("gguf") is None:
    print("gguf is not installed")
    sys.exit(77)

import gguf
import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (AutoModelForCausalLM, AutoTokenizer, GPT2Config, LlamaConfig, LlamaForCausalLM, MistralConfig, PreTrainedTokenizerFast,
                          Qwen3Config)
from transformers.utils import logging

import cases

logging.disable_progress_bar()

TEXT = "It was late, and the old river was quiet. 1999 ещё раз, naïve été 日本 😀 don't we'll\n" * 40
SPECIALS = {"bos_token_id": 0, "eos_token_id": 0}
VOCABULARY = 300
WIDTH = {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 96, "num_attention_heads": 4, "num_key_value_heads": 2,
         "vocab_size": VOCABULARY, "max_position_embeddings": 128, "tie_word_embeddings": False, **SPECIALS}
# 1024 positions: transformers' GGUF loader reads no other number of them.
GPT2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 1024, "vocab_size": VOCABULARY, **SPECIALS}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 8192}

# name: (config, whether transformers' GGUF loader understands it: it passes over rope_freqs, biases' settings and windows)
MODELS = {
    "llama": (LlamaConfig(**WIDTH), True),
    "llama-tied": (LlamaConfig(**{**WIDTH, "tie_word_embeddings": True, "rms_norm_eps": 1e-5, "num_key_value_heads": 4}), True),
    "llama-theta": (LlamaConfig(**{**WIDTH, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}), True),
    "llama-biases": (LlamaConfig(**WIDTH, attention_bias=True, mlp_bias=True), False),
    "llama-llama3-rope": (LlamaConfig(**WIDTH, rope_parameters=LLAMA3), False),
    "llama-linear-rope": (LlamaConfig(**WIDTH, rope_parameters={"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}), False),
    "mistral-window": (MistralConfig(**WIDTH, sliding_window=9), False),
    "qwen3": (Qwen3Config(**WIDTH, head_dim=128), True),
    "qwen3-tied": (Qwen3Config(**{**WIDTH, "tie_word_embeddings": True}, head_dim=128), True),
    "gpt2": (GPT2Config(**GPT2), True),
    "gpt2-untied": (GPT2Config(**GPT2, tie_word_embeddings=False, n_inner=160), False),
}


def byte_level_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator([TEXT], trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=["<|endoftext|>", "<|user|>"], show_progress=False,
                                                              initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<|endoftext|>", eos_token="<|endoftext|>", chat_template="{{ messages }}")


def convert(program, *arguments):
    result = subprocess.run([program, "convert", *map(str, arguments)], capture_output=True, text=True)
    if result.returncode != 0:
        raise AssertionError(f"convert {' '.join(map(str, arguments))}: {result.stderr.strip()}")


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def logits_of(model):
    ids = torch.arange(2, 2 + 66).reshape(2, 33)
    with torch.no_grad():
        return model(ids).logits


def expect_logits(got, expected, what):
    apart = ((got - expected).abs().max() / expected.abs().max()).item()
    expect(apart <= 1e-5, f"{what}: logits {apart:.1e} apart")


def saved_model(config, folder):
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(1.0 if parameter.dim() == 1 else 0.0, 0.15)
    model.save_pretrained(folder)
    byte_level_tokenizer().save_pretrained(folder)
    return model


def check_q8_0(path, f32_path):
    """Every matrix is what gguf-py makes of the f32 file's."""
    exact = {tensor.name: tensor for tensor in gguf.GGUFReader(f32_path).tensors}
    kinds = set()
    for tensor in gguf.GGUFReader(path).tensors:
        numbers = exact[tensor.name].data
        kinds.add(tensor.tensor_type.name)
        if tensor.tensor_type == gguf.GGMLQuantizationType.Q8_0:
            expect(np.array_equal(tensor.data, gguf.quants.quantize(np.array(numbers), tensor.tensor_type)), f"q8_0 of {tensor.name}")
        else:
            expect(tensor.tensor_type == gguf.GGMLQuantizationType.F32 and np.array_equal(tensor.data, numbers), f"{tensor.name} is {tensor.tensor_type.name}")
    expect(kinds == {"F32", "Q8_0"}, f"types {kinds}")


def check_vocabulary(path, tokenizer):
    fields = gguf.GGUFReader(path).fields
    contents = lambda key: fields["tokenizer." + key].contents()
    expect(contents("ggml.tokens") == tokenizer.convert_ids_to_tokens(range(VOCABULARY)), "tokens")
    expect([kind for kind in contents("ggml.token_type")[:3]] == [3, 3, 1], "kinds of tokens")
    expect(contents("ggml.eos_token_id") == 0 and contents("ggml.pre") == "gpt-2", "special ids or pre-tokenizer")
    expect(contents("chat_template") == "{{ messages }}", "chat template")


def check_model(program, config, understood, folder):
    model = saved_model(config, folder / "hf")
    tokenizer = AutoTokenizer.from_pretrained(folder / "hf")
    expected = logits_of(model)
    convert(program, folder / "hf", folder / "f32.gguf", "--type", "f32")
    convert(program, folder / "hf", folder / "q8.gguf", "--type", "q8_0")
    check_q8_0(folder / "q8.gguf", folder / "f32.gguf")
    check_vocabulary(folder / "f32.gguf", tokenizer)
    if understood:
        theirs = AutoModelForCausalLM.from_pretrained(folder, gguf_file="f32.gguf", dtype=torch.float32).eval()
        expect_logits(logits_of(theirs), expected, "transformers' GGUF loader")
        expect(AutoTokenizer.from_pretrained(folder, gguf_file="f32.gguf")(TEXT).input_ids == tokenizer(TEXT).input_ids, "ids of transformers' GGUF tokenizer")

    convert(program, folder / "f32.gguf", folder / "back")
    before, after = load_file(folder / "hf" / "model.safetensors"), load_file(folder / "back" / "model.safetensors")
    expect(before.keys() == after.keys(), f"tensors {before.keys() ^ after.keys()}")
    for name in before:
        expect(torch.equal(before[name], after[name]), f"{name} came back different")
    expect_logits(logits_of(AutoModelForCausalLM.from_pretrained(folder / "back").eval()), expected, "the folder that came back")
    again = AutoTokenizer.from_pretrained(folder / "back")
    expect(again(TEXT).input_ids == tokenizer(TEXT).input_ids and again.chat_template == tokenizer.chat_template, "the tokenizer that came back")
    return f"{sum(value.numel() for value in before.values())} numbers"


def check_llama2c(program, folder):
    """The weights by the format's own description, and what they say."""
    source = pathlib.Path(os.environ["ISOTROPE_DATA"]) / "models" / "stories260K"
    convert(program, source / "stories260K.bin", folder / "stories", "--no-tokenizer")
    data = (source / "stories260K.bin").read_bytes()
    width, hidden, layers, heads, kv_heads, vocabulary, positions = np.frombuffer(data, np.int32, 7)
    weights = torch.from_numpy(np.frombuffer(data, np.float32, offset=28).copy())
    taken = 0

    def take(*shape):
        nonlocal taken
        taken += int(np.prod(shape))
        return weights[taken - int(np.prod(shape)):taken].reshape(shape)

    def halves(rows, count):
        """Interleaved pairs, as llama2.c turns them, to transformers' halves."""
        return rows.reshape(count, -1, 2, rows.shape[-1]).transpose(1, 2).reshape(rows.shape)

    kv_width = int(width // heads * kv_heads)
    state = {"model.embed_tokens.weight": take(vocabulary, width)}
    for name, shape in [("input_layernorm", (width,)), ("self_attn.q_proj", (width, width)), ("self_attn.k_proj", (kv_width, width)),
                        ("self_attn.v_proj", (kv_width, width)), ("self_attn.o_proj", (width, width)), ("post_attention_layernorm", (width,)),
                        ("mlp.gate_proj", (hidden, width)), ("mlp.down_proj", (width, hidden)), ("mlp.up_proj", (hidden, width))]:
        for layer in range(layers):
            value = take(*shape)
            value = halves(value, heads) if "q_proj" in name else halves(value, kv_heads) if "k_proj" in name else value
            state[f"model.layers.{layer}.{name}.weight"] = value
    state["model.norm.weight"] = take(width)
    ours = load_file(folder / "stories" / "model.safetensors")
    expect(ours.keys() == state.keys(), f"tensors {ours.keys() ^ state.keys()}")
    for name in state:
        expect(torch.equal(ours[name], state[name]), f"{name} differs")

    model = LlamaForCausalLM.from_pretrained(folder / "stories").eval()
    ids = model.generate(torch.tensor([[1]]), max_new_tokens=60, do_sample=False, eos_token_id=None)[0].tolist()
    pieces, at, raw = [], 4, (source / "tok512.bin").read_bytes()
    while at < len(raw):
        size = int(np.frombuffer(raw, np.int32, 1, at + 4)[0])
        pieces.append(raw[at + 8:at + 8 + size].decode("utf-8", "replace"))
        at += 8 + size
    story = "".join(pieces[i] for i in ids[1:])
    expect(story.strip().startswith("Once upon a time, there was a little girl"), f"a strange story: {story[:80]!r}")
    return repr(story.strip()[:60])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--only", default="*")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        root = pathlib.Path(scratch)
        checks = {name: functools.partial(check_model, arguments.program, *entry, root / name) for name, entry in MODELS.items()}
        if os.environ.get("ISOTROPE_DATA"):
            checks["llama2c"] = functools.partial(check_llama2c, arguments.program, root / "llama2c")
        for name in checks:
            (root / name).mkdir()
        return cases.run(checks, arguments.only)


if __name__ == "__main__":
    sys.exit(main())

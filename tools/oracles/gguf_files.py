"""Writes the small files in tests/data/gguf that our reader must understand, with gguf-py (the library of llama.cpp's converters).

    python tools/oracles/gguf_files.py tests/data/gguf       (gguf 0.19.0, numpy 2; numpy.random.default_rng(5))

packings.gguf   numbers [4, 256] F32; for each packing P a tensor `P` and `P.numbers`, what gguf.quants.dequantize makes of it. F32, F16, BF16,
                Q8_0, Q4_0 and Q4_1 are gguf.quants.quantize of `numbers`; the K-types, which gguf-py cannot make, are random bytes with
                scales of ordinary size. Every type of metadata once; data at multiples of 64.
NAME.gguf       the model tests/data/models/NAME (tools/oracles/model_goldens.py), whose logits lie there; safetensors 0.8.0
"""
import json
import sys
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(5)
Type = gguf.GGMLQuantizationType


def numbers():
    """Ordinary weights, and blocks of 32 that are all zero, tiny, of one sign, full of ties, of one spike."""
    x = rng.normal(0, 0.3, (4, 256)).astype(np.float32)
    x[1, :32] = 0
    x[1, 32:64] *= 1e-6
    x[1, 64:96] = np.abs(x[1, 64:96])
    x[1, 96:128] = np.arange(32, dtype=np.float32) / 2 - 8  # with a spike of 127 every second number of Q8_0 is a tie
    x[1, 96] = 127
    x[1, 128:160] = 0
    x[1, 140] = -3.25
    x[2] *= 1000
    x[3, :64] *= 1e-34  # below what a scale in F16 can be
    return x


def random_blocks(packing, count):
    size, width = gguf.GGML_QUANT_SIZES[packing]
    blocks = rng.integers(0, 256, (count // size, width), dtype=np.uint8)
    scales = rng.uniform(-0.01, 0.01, (count // size, 2)).astype(np.float16).view(np.uint8)
    if packing == Type.Q4_K:
        blocks[:, :4] = scales
    else:
        blocks[:, -2:] = scales[:, :2]
    return blocks.reshape(4, -1)


def packings():
    writer = gguf.GGUFWriter(folder / "packings.gguf", "none")
    writer.add_custom_alignment(64)
    for name, value in {"uint8": 200, "int8": -100, "uint16": 60000, "int16": -30000, "uint32": 4000000000, "int32": -2000000000,
                        "float32": 0.1, "bool": True, "string": "naïve\ntext", "uint64": 2**63, "int64": -(2**62), "float64": 0.1}.items():
        getattr(writer, f"add_{name}")(f"every.{name}", value)
    writer.add_array("every.strings", ["a", "", "ü"])
    writer.add_array("every.ints", [1, -2, 3])
    writer.add_array("every.bools", [True, False])
    x = numbers()
    writer.add_tensor("numbers", x)
    for packing in (Type.F32, Type.F16, Type.BF16, Type.Q8_0, Type.Q4_0, Type.Q4_1, Type.Q4_K, Type.Q6_K):
        packed = random_blocks(packing, x.size) if packing in (Type.Q4_K, Type.Q6_K) else gguf.quants.quantize(x, packing)
        writer.add_tensor(packing.name, packed, raw_dtype=packing)
        writer.add_tensor(packing.name + ".numbers", gguf.quants.dequantize(packed, packing).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


packings()


def model(folder_name, architecture, names, settings, reorder):
    """A model of tests/data/models as llama.cpp's converter lays it out: names, order of rows and metadata are written out here by hand."""
    source = Path(__file__).resolve().parents[2] / "tests/data/models" / folder_name
    config, weights = json.loads((source / "config.json").read_text()), load_file(source / "model.safetensors")
    writer = gguf.GGUFWriter(folder / f"{folder_name}.gguf", architecture)
    for key, value in settings(config).items():
        (writer.add_float32 if isinstance(value, float) else writer.add_uint32)(f"{architecture}.{key}", value)
    for name, value in weights.items():
        stem, ending = name.rsplit(".", 1)
        layer = next((part for part in stem.split(".") if part.isdigit()), "")
        target = names[stem.replace(f".{layer}.", ".{}.")].replace("{}", layer)
        writer.add_tensor(f"{target}.{ending}", np.ascontiguousarray(reorder(target, value, config)))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def interleave(rows, heads):
    """Halves of each head to pairs: what llama.cpp's converter does to Llama's queries and keys."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def llama_reorder(name, value, config):
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}.get(name.split(".")[-1])
    return interleave(value, heads) if heads else value


def gpt2_reorder(name, value, _):
    return value.T if value.ndim == 2 and name.startswith("blk.") else value


def llama_settings(config):
    theta = (config.get("rope_parameters") or config)["rope_theta"]
    head = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    return {"vocab_size": config["vocab_size"], "context_length": config["max_position_embeddings"], "embedding_length": config["hidden_size"],
            "block_count": config["num_hidden_layers"], "feed_forward_length": config["intermediate_size"], "rope.dimension_count": head,
            "attention.key_length": head, "attention.value_length": head, "attention.head_count": config["num_attention_heads"],
            "attention.head_count_kv": config["num_key_value_heads"], "attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
            "rope.freq_base": float(theta)}


def gpt2_settings(config):
    return {"context_length": config["n_positions"], "embedding_length": config["n_embd"], "block_count": config["n_layer"],
            "feed_forward_length": config.get("n_inner") or 4 * config["n_embd"], "attention.head_count": config["n_head"],
            "attention.layer_norm_epsilon": float(config["layer_norm_epsilon"])}


LLAMA = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"} | {
    f"model.layers.{{}}.{hf}": f"blk.{{}}.{name}" for hf, name in
    {"input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
     "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
     "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}.items()}
GPT2 = {"transformer.wte": "token_embd", "transformer.wpe": "position_embd", "transformer.ln_f": "output_norm"} | {
    f"transformer.h.{{}}.{hf}": f"blk.{{}}.{name}" for hf, name in
    {"ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output", "ln_2": "ffn_norm", "mlp.c_fc": "ffn_up",
     "mlp.c_proj": "ffn_down"}.items()}

model("llama_gqa2_theta5e5", "llama", LLAMA, llama_settings, llama_reorder)
model("llama_head_dim_gqa", "llama", LLAMA, llama_settings, llama_reorder)
model("qwen3_gqa", "qwen3", LLAMA, llama_settings, lambda name, value, config: value)
model("gpt2_tied", "gpt2", GPT2, gpt2_settings, gpt2_reorder)

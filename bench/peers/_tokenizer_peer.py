"""A peer's side of tokenizer.py: PEER TOKENIZER, then a command a line as tokenizer_worker.cpp has them."""
import array
import sys
import time


def make(peer, path):
    """A function from text to whatever the peer's quickest call gives, and one from that to the list of ids."""
    if peer == "fastokens":
        import fastokens
        return fastokens.Tokenizer.from_file(path).encode, lambda encoding: encoding.ids
    if peer == "tokie":
        import tokie
        return tokie.Tokenizer.from_json(path).encode, lambda encoding: encoding.ids
    if peer == "flash":
        from pathlib import Path
        from flash_tokenizer import BertTokenizerFlash
        core = BertTokenizerFlash(str(Path(path).with_name("vocab.txt")), do_lower_case=True).tokenizer
        return lambda text: core.encode(text, "longest", 1 << 30), lambda ids: ids
    if peer == "hf":
        import tokenizers
        return tokenizers.Tokenizer.from_file(path).encode, lambda encoding: encoding.ids
    if peer == "sentencepiece":
        import sentencepiece
        return sentencepiece.SentencePieceProcessor(path).encode, lambda ids: ids
    if peer == "kitoken":
        import kitoken
        load = kitoken.Kitoken.from_sentencepiece_file if path.endswith(".model") else kitoken.Kitoken.from_tokenizers_file
        tokenizer = load(path)
        return lambda text: tokenizer.encode(text, False), lambda ids: ids
    import json
    import tiktoken
    definition = json.load(open(path, encoding="utf-8"))
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {chr(b): b for b in visible}
    letters.update({chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in visible)})
    special = {token["content"]: token["id"] for token in definition["added_tokens"]}
    ranks = {bytes(letters[c] for c in token): rank for token, rank in definition["model"]["vocab"].items() if token not in special}
    pattern = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s"
    encoding = tiktoken.Encoding("gpt2", pat_str=pattern, mergeable_ranks=ranks, special_tokens=special)
    return lambda text: encoding.encode(text, allowed_special="all"), lambda ids: ids


def train(path, size, kind):
    import tokenizers
    from tokenizers import models, normalizers, pre_tokenizers, trainers
    if kind == "wordpiece":
        tokenizer = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=size, min_frequency=2, limit_alphabet=1000, show_progress=False,
                                            special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    else:
        tokenizer = tokenizers.Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(vocab_size=size, min_frequency=2, special_tokens=["<|endoftext|>"], show_progress=False,
                                      initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    start, busy = time.perf_counter(), time.process_time()
    tokenizer.train([path], trainer)
    return time.perf_counter() - start, time.process_time() - busy


encode, ids_of = make(*sys.argv[1:])
for line in sys.stdin:
    command, file, *rest = line.split()
    if command == "train":
        print(*train(file, int(rest[0]), rest[2]), flush=True)
        continue
    text = open(file, encoding="utf-8", newline="").read()
    start, busy = time.perf_counter(), time.process_time()
    if command.startswith("plain"):  # without special tokens
        try:
            result = encode(text, add_special_tokens=False)
        except TypeError:
            start, busy = time.perf_counter(), time.process_time()
            result = encode(text)
    else:
        result = encode(text)
    seconds = time.perf_counter() - start, time.process_time() - busy
    ids = ids_of(result)
    if command in ("write", "plain"):
        array.array("i", ids).tofile(open(rest[0], "wb"))
        print(len(ids), flush=True)
    else:
        print(*seconds, len(ids), flush=True)

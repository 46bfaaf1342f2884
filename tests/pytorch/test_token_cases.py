#!/usr/bin/env python3
"""Compares ladle's tokenizers with the Python library: a freshly trained byte-level BPE, and BERT on random texts.

Usage: test_token_cases.py --build DIR [--ladle FILE] [--keep DIR] [--random-texts N]
The byte-level vocabulary is trained on the GLUE text in LADLE_GLUE_DIR (default ../shared/data/glue beside the
repository), or on the sample task where that is absent. Cases are written as nasty_<name>.json beside a tokenizer
directory <name>, which is how the token tests read LADLE_TOKENS; they live in a temporary directory.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import BertTokenizerFast, RobertaTokenizerFast

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAX_LENGTH = 32
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
MASK = AddedToken("<mask>", lstrip=True, rstrip=False, special=True)
BY_HAND = [
    "", " ", "  ", "a", " a", "a ", "  a  b ", "it's we're I'll they'd you've I'm can't", "IT'S 'S 's 'll' ''s!'s",
    "a <mask> b", "a<mask>b", "<s>x</s> <pad><unk> <mask>", "<s", "<mask", "\u3000 \t<mask> \t<mask>",
    "x\n\n y \r\n z", "12 3.4e5 \u00bd \u0663\u0664 \u4e2d\u6587 na\u00efve cafe\u0301",
    "\u2019s \u00a0nbsp \u200bzero", "a" * 3000, "ab" * 500, " " * 300 + "x", "!?" * 100,
    "\U0001f600\U0001f468\u200d\U0001f469 \u0939\u093f\u0928\u094d\u0926\u0940", "\x00\x01\x7f\x85\xad",
    "a\U0001d16d\u302eb \u302e\U0001d165\u1b44 e\u0323\u0302", "[CLS] a[SEP]b [MASK][PAD] [UNK]", "\u0130I\u0131i\u03a3",
]
BLOCKS = [
    (0x20, 0x7F), (0x20, 0x7F), (0x00, 0x20), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x600), (0x8D0, 0xE00),
    (0x1B00, 0x1C00), (0x1DC0, 0x2070), (0x2070, 0x2C00), (0x3000, 0x3100), (0x4E00, 0x4E80), (0xAC00, 0xACFF),
    (0xA900, 0xAA00), (0xF900, 0xFB00), (0xFE00, 0x10000), (0x10000, 0x11500), (0x1D100, 0x1D800), (0x1F300, 0x1F700),
]
WORDS = ["the", "Quick", "don't", "<mask>", " <s>", "[SEP]", "[MASK]", "2024", "...", "  ", "\u00c9t\u00e9", "\u302e"]


def task_texts():
    """Fields of all TSV files, training and development apart."""
    glue = pathlib.Path(os.environ.get("LADLE_GLUE_DIR", ROOT.parent / "shared" / "data" / "glue"))
    files = sorted(glue.glob("*/*.tsv")) or sorted((ROOT / "data" / "sample").glob("*.tsv"))
    train, dev = [], []
    for file in files:
        fields = file.read_text(encoding="utf-8").replace("\n", "\t").split("\t")
        (dev if "dev" in file.stem else train).extend(fields)
    if not train:
        sys.exit(f"no text: neither {glue} nor {ROOT / 'data' / 'sample'} holds .tsv files")
    return train, dev or train


def random_texts(count):
    """Texts that mix words and special tokens with code points of many scripts, marks and controls."""
    draw = random.Random(1)
    for _ in range(count):
        text = ""
        for _ in range(draw.randrange(1, 24)):
            low, high = draw.choice(BLOCKS)
            several = draw.choice((1, 1, 1, 3))
            text += draw.choice(WORDS) if draw.random() < 0.3 else chr(draw.randrange(low, high)) * several
        yield text


def write_cases(directory, name, tokenizer, inputs, with_types):
    """Encodes every (text, pair) in batch mode; pair None means a single text."""
    tokenizer.enable_truncation(MAX_LENGTH, strategy="longest_first")
    encoded = tokenizer.encode_batch([text if pair is None else (text, pair) for text, pair in inputs])
    cases = []
    for (text, pair), result in zip(inputs, encoded):
        case = {"id": len(cases), "note": name, "utf8_hex": text.encode().hex(), "pair": pair,
                "max_length": MAX_LENGTH, "input_ids": result.ids}
        if with_types:
            case["token_type_ids"] = result.type_ids
        cases.append(case)
    (directory / f"nasty_{name}.json").write_text(json.dumps({"cases": cases}))
    tokenizer.no_truncation()


def train_byte_bpe(texts):
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=12000, special_tokens=[*SPECIAL, "<mask>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return trained


def published_roberta(trained, add_prefix_space):
    """The fast RoBERTa tokenizer as the published models configure it: <mask> swallows the space before it."""
    made = Tokenizer(trained.model)
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    made.post_processor = processors.RobertaProcessing(
        ("</s>", trained.token_to_id("</s>")), ("<s>", trained.token_to_id("<s>")), True, add_prefix_space)
    made.add_special_tokens([*SPECIAL, MASK])
    return made


def make_folder(directory, name, model_type):
    folder = directory / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return folder


def write_roberta(directory, trained, inputs):
    folder = make_folder(directory, "bpe_files", "roberta")
    trained.model.save(str(folder))
    write_cases(directory, "bpe_files", published_roberta(trained, False), inputs, False)
    for name, prefix in (("bpe_json", False), ("bpe_prefix", True)):
        made = published_roberta(trained, prefix)
        made.save(str(make_folder(directory, name, "roberta") / "tokenizer.json"))
        write_cases(directory, name, made, inputs, False)
    model = json.loads(trained.to_str())["model"]
    current = RobertaTokenizerFast(vocab=model["vocab"], merges=[tuple(m) for m in model["merges"]])
    current.save_pretrained(make_folder(directory, "bpe_transformers", "roberta"))
    write_cases(directory, "bpe_transformers", current.backend_tokenizer, inputs, False)


def write_bert(directory, inputs):
    vocab = str(ROOT / "tests" / "fixtures" / "tokens" / "bert_uncased_vocab.txt")
    for name, lower, strip in (("random_uncased", True, None), ("random_cased", False, None), ("random_mixed", False, True),
                               ("random_accents", True, False)):
        made = BertTokenizerFast(vocab=vocab, do_lower_case=lower, strip_accents=strip)
        made.save_pretrained(make_folder(directory, name, "bert"))
        write_cases(directory, name, made.backend_tokenizer, inputs, True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--build", required=True, help="build directory that holds tests/test_token")
    parser.add_argument("--ladle", help="the program; not used by this test")
    parser.add_argument("--keep", help="write the cases here and keep them")
    parser.add_argument("--random-texts", type=int, default=3000)
    arguments = parser.parse_args()
    train, dev = task_texts()
    inputs = [(text, None) for text in [*BY_HAND, *random_texts(arguments.random_texts), *dev[:6000]]]
    inputs += list(zip(dev[100:700:2], dev[101:700:2]))
    inputs += [("a " * n, "b " * m) for n in range(0, 40, 3) for m in range(0, 40, 7)]
    with tempfile.TemporaryDirectory() as temporary:
        directory = pathlib.Path(arguments.keep or temporary)
        write_roberta(directory, train_byte_bpe(train), inputs)
        write_bert(directory, inputs)
        print(f"8 tokenizers, {len(inputs)} inputs each")
        command = [pathlib.Path(arguments.build) / "tests" / "test_token", "--run_test=cases_named_by_the_environment*"]
        sys.exit(subprocess.run(command, env={**os.environ, "LADLE_TOKENS": str(directory)}).returncode)


if __name__ == "__main__":
    main()

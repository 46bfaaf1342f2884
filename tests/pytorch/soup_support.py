"""What the round-trip tests of soups share: small runs of ladle, its logits, and the AdaMix formula in PyTorch.

A case is a soup with its backbone, a prepared split and ladle's logits on it. adamix_cases trains tiny ones (BERT and
RoBERTa, classes and regression); with --soup, --backbone, --shard and --logits a script checks files given to it.
"""

import argparse
import csv
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import h5py
import torch
import transformers
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOLERANCE = 1e-5  # fp32: two libraries add the same products in different orders
SAMPLE = ROOT / "data" / "sample"


@dataclasses.dataclass
class Case:
    name: str
    soup: pathlib.Path          # merged
    experts: pathlib.Path | None  # all experts of the same run
    backbone: pathlib.Path
    shard: pathlib.Path
    logits: torch.Tensor        # ladle's, of the merged soup

    @property
    def config(self):
        return json.loads((self.backbone / "config.json").read_text())

    @property
    def family(self):
        return self.config["model_type"]


def run(ladle, *words):
    """ladle's standard output; ends the test if it fails."""
    done = call(ladle, *words)
    if done.returncode != 0:
        sys.exit(report(done))
    return done.stdout


def check_refused(why, ladle, *words):
    """Ends the test unless ladle refuses this because of its options or its input, and says why."""
    done = call(ladle, *words)
    if done.returncode not in (2, 3) or why not in done.stderr:
        sys.exit(f"{report(done)}FAILED: not refused with: {why}")


def call(ladle, *words):
    return subprocess.run([str(ladle), *map(str, words)], capture_output=True, text=True,
                          env={**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"})


def report(done):
    return f"$ {' '.join(done.args)}\nexit code {done.returncode}\n{done.stdout}{done.stderr}"


def digest(ladle, path):
    """The digest of a soup's tensors in whatever format."""
    line = [line for line in run(ladle, "inspect", path).splitlines() if line.startswith("tensors_sha256")]
    return line[0].split()[-1]


def write_roberta(directory, texts):
    """A random RoBERTa with a byte-level vocabulary learnt from the texts."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import RobertaConfig, RobertaModel
    directory.mkdir(parents=True)
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    trained.model.save(str(directory))
    torch.manual_seed(0)
    config = RobertaConfig(vocab_size=trained.get_vocab_size(), hidden_size=64, num_hidden_layers=3,
                           num_attention_heads=4, intermediate_size=128, max_position_embeddings=66, type_vocab_size=1,
                           initializer_range=0.2)
    model = RobertaModel(config, add_pooling_layer=False)
    config.save_pretrained(directory)
    save_file(model.state_dict(), directory / "model.safetensors", {"format": "pt"})


def write_regression(path, source, count):
    """Rows of the sample task with a number between 0 and 5 to predict, which its vowels give away."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for line in source[1:count]:
            text = line.split("\t")[0]
            writer.writerow([text, round(min(5, 20 * text.count("e") / len(text)), 2)])


@dataclasses.dataclass
class Setting:
    """A tiny backbone and data prepared for it: what cases are trained on."""

    name: str
    folder: pathlib.Path
    task: str

    @property
    def words(self):
        return ["--model.path", self.folder / "backbone", "--data.dir", self.folder / "data", "--data.task", self.task]


def make_setting(ladle, work, family, regression):
    name = f"{family}-{'regression' if regression else 'classes'}"
    setting = Setting(name, work / name, "numbers" if regression else "sample")
    setting.folder.mkdir()
    train = (SAMPLE / "train.tsv").read_text(encoding="utf-8").splitlines()
    dev = (SAMPLE / "dev.tsv").read_text(encoding="utf-8").splitlines()
    if family == "roberta":
        write_roberta(setting.folder / "backbone", train)
    else:
        subprocess.run([sys.executable, ROOT / "jobs" / "make_tiny_encoder.py", setting.folder / "backbone",
                        SAMPLE / "train.tsv"], check=True)
    prepare = ["prepare", *setting.words, "--data.max_length", 48]
    if regression:
        write_regression(setting.folder / "train.csv", train, 200)
        write_regression(setting.folder / "validation.csv", dev, 60)
        prepare += ["--regression", "--text-a", "text", "--train-file", setting.folder / "train.csv",
                    "--validation-file", setting.folder / "validation.csv"]
    else:
        prepare += ["--data.source", SAMPLE]
    run(ladle, *prepare)
    return setting


def make_case(ladle, setting, name, *adapter):
    """A run with these words for the adapter; a high rate, so that the experts move far from zero."""
    directory = setting.folder / f"run-{name}"
    run(ladle, "train", *setting.words, "--run.dir", directory, "--train.epochs", 4, "--train.batch", 16,
        "--optim.lr", 0.01, "--train.consistency", 1, *adapter)
    backbone, shard = setting.folder / "backbone", setting.folder / "data" / "validation.h5"
    return Case(f"{setting.name}-{name}", directory / "soup.h5", directory / "best.h5", backbone, shard,
                ladle_logits(ladle, directory / "soup.h5", backbone, shard))


def adamix_cases(ladle, work):
    for family in ("bert", "roberta"):
        for regression in (False, True):
            # A size for which hidden_size / size would be rounded to one less by the library adapters; three experts,
            # so that their shares in the mean are no exact numbers.
            mixture = ["--adapter.num_experts", 3, "--adapter.share_up", "false"] if regression else []
            yield make_case(ladle, make_setting(ladle, work, family, regression), "adamix", "--adapter.size", 13,
                            *mixture)


def ladle_logits(ladle, soup, backbone, shard, *words):
    """What `ladle evaluate` gives for a soup on the validation split; for none, the backbone's own head."""
    with tempfile.TemporaryDirectory() as folder:
        run(ladle, "evaluate", *([soup] if soup else []), "--model.path", backbone, "--data.dir", shard.parent,
            "--logits", f"{folder}/logits.safetensors", *words)
        return load_file(f"{folder}/logits.safetensors")["validation"]


def cases_of(arguments, work, make_cases):
    if arguments.soup:
        logits = list(load_file(arguments.logits).values())[0]
        return [Case("given", pathlib.Path(arguments.soup), None, pathlib.Path(arguments.backbone),
                     pathlib.Path(arguments.shard), logits)]
    return make_cases(arguments.ladle, work)


def samples(shard, family):
    """input_ids and token_type_ids of each sample, as tensors of one row."""
    with h5py.File(shard) as file:
        examples = {name: file["examples"][name][:] for name in ("input_ids", "offsets", "sep_pos")}
    for i, second in enumerate(examples["sep_pos"]):
        ids = torch.tensor(examples["input_ids"][examples["offsets"][i]:examples["offsets"][i + 1]].astype("int64"))
        types = torch.zeros_like(ids)
        if second > 0 and family == "bert":
            types[second:] = 1
        yield {"input_ids": ids[None], "token_type_ids": types[None]}


def model_logits(model, case):
    """Logits of a classifier on the case's split, sample by sample."""
    model.eval()
    with torch.no_grad():
        return torch.cat([model(**sample).logits for sample in samples(case.shard, case.family)])


def plain_model(case, transformers):
    """The backbone with a classifier that still needs its weights."""
    prefix = "Bert" if case.family == "bert" else "Roberta"
    return getattr(transformers, prefix + "ForSequenceClassification").from_pretrained(
        case.backbone, num_labels=case.logits.shape[1], attn_implementation="eager")


def logits_with_adapters(case, tensors, adapters):
    """Logits with the head among the tensors and, in layer l, adapters[l] of what the feed-forward part gives."""
    model = plain_model(case, transformers)
    head = {name.removeprefix("classifier."): value for name, value in tensors.items()
            if name.startswith("classifier.")}
    model.classifier.load_state_dict(head, strict=True)
    layers = model.base_model.encoder.layer
    check(len(adapters) == len(layers), f"{len(layers)} layers as the backbone has, not {len(adapters)}")
    for layer, adapter in zip(layers, adapters):
        layer.output.dense.register_forward_hook(lambda _, __, hidden, adapter=adapter: adapter(hidden))
    return model_logits(model, case)


def check_close(name, found, case, expected=None, tolerance=TOLERANCE):
    """Compares with the logits of the case, or with those that are expected instead."""
    expected = case.logits if expected is None else expected
    difference = (found - expected).abs().max().item()
    print(f"{case.name}: {name}: logits differ by {difference:.1e} (spread {expected.std():.2f})")
    if not difference <= tolerance:
        sys.exit(f"FAILED: {case.name}: {name}")


def check(condition, text):
    if not condition:
        sys.exit(f"FAILED: {text}")


def main(test, make_cases=adamix_cases):
    """Parses the command line and runs test(ladle, case, folder) on each case that make_cases(ladle, work) gives."""
    parser = argparse.ArgumentParser(description=test.__doc__)
    parser.add_argument("--ladle", required=True, help="the program")
    parser.add_argument("--build", help="build directory; not used")
    for name in ("soup", "backbone", "shard", "logits"):
        parser.add_argument(f"--{name}", help=f"the {name} of a case of your own; all four or none")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(temporary)
        for case in cases_of(arguments, work, make_cases):
            folder = work / f"export-{case.name}"
            folder.mkdir()
            test(arguments.ladle, case, folder)
    print("passed")

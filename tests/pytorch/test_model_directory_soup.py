#!/usr/bin/env python3
"""Soups of every kind as whole model directories: the Auto classes of transformers give ladle's logits."""

import os
import sys
import tempfile

# transformers keeps the code of directories there; it must be set before the import.
MODULES = tempfile.TemporaryDirectory()
os.environ["HF_MODULES_CACHE"] = MODULES.name

import h5py  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

import soup_support as support  # noqa: E402
from test_loader_soups import cases, check_logits, ladle_soup  # noqa: E402

# Of the largest logit, or of 1 where all are smaller: a folded weight is rounded once more.
FOLDED_TOLERANCE = 2e-6
LABELS = {2: ["no_problem", "problem"], 1: ["LABEL_0"]}


class Directory:
    """An export, and what of it is to be expected."""

    def __init__(self, ladle, soup, case, path):
        support.run(ladle, "convert", soup, "--to", "model", path, "--model.path", case.backbone, "--verify")
        self.soup, self.path, self.case, self.ladle = soup, path, case, ladle
        with h5py.File(soup) as file:
            kind, merged = file["adapter"].attrs["kind"], file["adapter"].attrs["merged"]
        self.folded = kind == "lora" or (kind == "adamix-lora" and bool(merged))
        self.has_code = not self.folded and kind not in ("bias", "head")

    def load(self):
        """With exactly the tensors that the class needs; code of the directory runs only where it must."""
        model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
            self.path, trust_remote_code=self.has_code, attn_implementation="eager", output_loading_info=True)
        support.check(not any(info.values()), f"{self.path}: {info}")
        return model


def check_class_and_config(directory, model):
    case = directory.case
    plain = type(support.plain_model(case, transformers))
    support.check(isinstance(model, plain) and (type(model) is plain) != directory.has_code, f"class {type(model)}")
    config = model.config
    labels = LABELS[case.logits.shape[1]]
    support.check(config.id2label == dict(enumerate(labels)) and config.num_labels == len(labels), "labels in order")
    support.check(config.problem_type == ("regression" if len(labels) == 1 else "single_label_classification"), "task")
    text = (directory.path / "config.json").read_text() + (directory.path / "README.md").read_text()
    support.check(str(directory.path.parents[1]) not in text, "no paths of this machine")
    if directory.has_code:
        try:
            transformers.AutoConfig.from_pretrained(directory.path, trust_remote_code=False)
        except ValueError as error:
            support.check("trust_remote_code" in str(error), f"the code must be allowed: {error}")
        else:
            support.check(False, "code runs without being allowed to")


def check_tokenizer(directory):
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory.path, trust_remote_code=directory.has_code)
    lines = (support.SAMPLE / "dev.tsv").read_text(encoding="utf-8").splitlines()[1:]
    for line, sample in zip(lines[:20], support.samples(directory.case.shard, directory.case.family)):
        ids = tokenizer(line.split("\t")[0], truncation=True, max_length=48)["input_ids"]
        support.check(ids == sample["input_ids"][0].tolist(), f"token ids of: {line}")


def check_without_code(directory, model):
    """An ordinary model: that of the soup beside its weights, for PyTorch and, with no soup, for ladle."""
    case, ladle = directory.case, directory.ladle
    tolerance = FOLDED_TOLERANCE * max(1, case.logits.abs().max().item()) if directory.folded else 0
    task = "numbers" if case.logits.shape[1] == 1 else "sample"
    own = support.ladle_logits(ladle, None, directory.path, case.shard, "--data.task", task)
    support.check_close("ladle, without the soup", own, case, tolerance=tolerance)
    beside = support.plain_model(case, transformers)
    file = directory.path.with_suffix(".safetensors")
    support.run(ladle, "convert", directory.soup, "--to", "safetensors", file)
    ladle_soup.load_soup(beside, file)
    support.check_close("as with the soup beside it", support.model_logits(model, case), case,
                        support.model_logits(beside, case), tolerance)
    support.check_refused("a model without adapters beside its weights", ladle, "convert", directory.path, "--to",
                          "soup", directory.path.with_suffix(".h5"))


def check_way_back(directory, model):
    """The directory, and the one that transformers saves of it, hold the soup's bits."""
    saved = directory.path.with_name("saved-" + directory.path.name)
    model.save_pretrained(saved)
    for path in (directory.path, saved):
        back = path.with_suffix(".h5")
        support.run(directory.ladle, "convert", path, "--to", "soup", back)
        found = support.digest(directory.ladle, back)
        support.check(found == support.digest(directory.ladle, directory.soup), f"{path} has the soup's bits")


def is_mixture(soup):
    with h5py.File(soup) as file:
        return file["adapter"].attrs["num_experts"] > 1


def test(ladle, case, folder):
    """Checks one case, merged and with all experts if there are several."""
    for soup in (case.soup, case.experts) if is_mixture(case.soup) else (case.soup,):
        directory = Directory(ladle, soup, case, folder / soup.stem)
        model = directory.load()
        check_logits(f"model directory of {soup.name}", model, case, case.logits)
        check_class_and_config(directory, model)
        check_tokenizer(directory)
        if directory.has_code:
            check_way_back(directory, model)
        else:
            check_without_code(directory, model)


if __name__ == "__main__":
    support.main(test, cases)

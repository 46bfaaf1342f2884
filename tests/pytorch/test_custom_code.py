#!/usr/bin/env python3
"""Model directories with code of their own, loaded by the Auto classes of transformers.

Usage: test_custom_code.py [--ladle FILE] [--build DIR]; neither is used
"""

import itertools
import json
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

# transformers keeps the code of directories there; it must be set before the import.
MODULES = tempfile.TemporaryDirectory()
os.environ["HF_MODULES_CACHE"] = MODULES.name
os.environ["HF_HUB_OFFLINE"] = "1"

import torch  # noqa: E402
import transformers  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

import loader_reference as reference  # noqa: E402
from test_python_loader import ARCHITECTURES, LoaderCase, SOUPS, expected_logits, make_model, run  # noqa: E402

CODE = pathlib.Path(__file__).resolve().parents[2] / "src" / "python" / "ladle_soup"
FILES = ("attach.py", "modeling_ladle.py")


def write_directory(directory, model, soup):
    """What the export writes: the backbone's config.json with more fields, base, soup and head, and the code."""
    directory.mkdir()
    base = soup.description["architecture"]
    name = "LadleBert" if base == "bert" else "LadleRoberta"
    config = json.loads(model.config.to_json_string(use_diff=False))
    labels = soup.description["label_names"] or ["LABEL_0"]
    config |= {"model_type": f"ladle-{base}", "architectures": [f"{name}ForSequenceClassification"],
               "auto_map": {"AutoConfig": f"modeling_ladle.{name}Config",
                            "AutoModelForSequenceClassification": f"modeling_ladle.{name}ForSequenceClassification"},
               "ladle_soup": soup.description, "id2label": dict(enumerate(labels)),
               "label2id": {label: i for i, label in enumerate(labels)}}
    (directory / "config.json").write_text(json.dumps(config))
    backbone = {key: value.float() for key, value in model.state_dict().items() if key.startswith(f"{base}.")}
    save_file({**backbone, **soup.tensors}, directory / "model.safetensors", {"format": "pt"})
    for file in FILES:
        shutil.copy(CODE / file, directory)
    return directory


def load(directory, **options):
    return transformers.AutoModelForSequenceClassification.from_pretrained(
        directory, trust_remote_code=True, dtype=torch.float64, **options)


class CustomCode(LoaderCase):
    """Directories for each kind of soup."""

    def directory(self, architecture, kind, **fields):
        model, soup, _ = self.soup(architecture, kind, **fields)
        expected = expected_logits(model, architecture, soup, reference.Choice([1 / 3] * 3))
        return write_directory(pathlib.Path(tempfile.mkdtemp(dir=self.folder)) / "model", model, soup), expected

    def test_every_kind(self):
        for architecture, (kind, fields) in itertools.product(ARCHITECTURES, SOUPS):
            with self.subTest(architecture=architecture, kind=kind, **fields):
                directory, expected = self.directory(architecture, kind, **fields)
                model, info = load(directory, output_loading_info=True)
                self.assertEqual([len(info[key]) for key in ("missing_keys", "unexpected_keys", "mismatched_keys")],
                                 [0, 0, 0])
                # The mean of unmerged experts is taken in double here, in float32 where it is expected.
                self.assert_near(run(model, architecture).logits, expected, 1e-6)
                self.assertEqual(model.config.id2label, dict(enumerate(reference.LABELS)))
                self.assertFalse(model.training)

    def test_saved_again(self):
        for architecture in ARCHITECTURES:
            directory, _ = self.directory(architecture, "madakron", share_up=True)
            model = load(directory)
            model.save_pretrained(self.folder / architecture)
            self.assertTrue({*FILES} <= {file.name for file in (self.folder / architecture).iterdir()})
            again = load(self.folder / architecture)
            self.assertTrue(torch.equal(run(again, architecture).logits, run(model, architecture).logits))

    def test_tensors_that_are_missing_are_reported(self):
        directory, _ = self.directory("bert", "adamix", merged=True)
        tensors = load_file(directory / "model.safetensors")
        del tensors["bert.encoder.layer.1.output.soup.up.bias"]
        save_file(tensors, directory / "model.safetensors", {"format": "pt"})
        _, info = load(directory, output_loading_info=True)
        self.assertEqual(list(info["missing_keys"]), ["bert.encoder.layer.1.output.soup.up.bias"])

    def test_config_and_tokenizer(self):
        directory, _ = self.directory("roberta", "adamix", merged=True)
        config = transformers.AutoConfig.from_pretrained(directory, trust_remote_code=True)
        self.assertEqual((config.model_type, config.ladle_soup["adapter_kind"]), ("ladle-roberta", "adamix"))
        directory, _ = self.directory("bert", "adamix", merged=True)
        (directory / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "soup"]))
        (directory / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
        tokenizer = transformers.AutoTokenizer.from_pretrained(directory, trust_remote_code=True)
        self.assertEqual(tokenizer("soup")["input_ids"], [2, 5, 3])
        pipeline = transformers.pipeline("text-classification", str(directory), tokenizer=tokenizer,
                                         trust_remote_code=True)
        self.assertIn(pipeline("soup")[0]["label"], reference.LABELS)

    def test_code_is_ascii(self):
        for file in FILES:
            (CODE / file).read_bytes().decode("ascii")


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    unittest.main(argv=sys.argv[:1])

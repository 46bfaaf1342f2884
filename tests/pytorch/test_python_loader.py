#!/usr/bin/env python3
"""The Python package ladle_soup: soups of every kind on random BERTs and RoBERTas against the formulas.

Usage: test_python_loader.py [--ladle FILE] [--build DIR]; neither is used
"""

import copy
import itertools
import pathlib
import sys
import tempfile
import unittest

import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "src" / "python"))

import ladle_soup  # noqa: E402
import loader_reference as reference  # noqa: E402

# Both sides compute in double from the same float32 tensors.
TOLERANCE = 1e-11
# float32: a few roundings of logits of order one.
TOLERANCE_FLOAT = 1e-5
ARCHITECTURES = ("bert", "roberta")
ALL_TARGETS = list(reference.PATHS)
# kind and fields of every sort of soup
SOUPS = [
    ("houlsby", {}), ("houlsby", {"merged": True}), ("pfeiffer", {}), ("pfeiffer", {"merged": True}), ("bias", {}),
    ("head", {}), ("adamix", {}), ("adamix", {"share_up": True}), ("adamix", {"share_down": True}),
    ("adamix", {"merged": True}), ("adakron", {}), ("adakron", {"factor_order": "large_outer"}),
    ("adakron", {"merged": True}), ("madakron", {"share_up": True}), ("madakron", {"factor_experts": "large"}),
    ("madakron", {"factor_experts": "both", "share_up": True}), ("madakron", {"factor_experts": "none"}),
    ("madakron", {"merged": True, "factor_order": "large_outer"}), ("lora", {}), ("lora", {"merged": True}),
    ("lora", {"lora_targets": ALL_TARGETS}), ("lora", {"lora_targets": ["output", "key"]}), ("adamix-lora", {}),
    ("adamix-lora", {"share_up": True}), ("adamix-lora", {"share_down": True, "lora_targets": ALL_TARGETS}),
    ("adamix-lora", {"merged": True, "lora_targets": ALL_TARGETS})]
MIXTURES = [(kind, fields) for kind, fields in SOUPS
            if kind in ("adamix", "madakron", "adamix-lora") and not fields.get("merged")]


def make_config(architecture, **fields):
    config_class = transformers.BertConfig if architecture == "bert" else transformers.RobertaConfig
    return config_class(**{
        "vocab_size": 50, "hidden_size": reference.HIDDEN, "num_hidden_layers": reference.LAYERS,
        "num_attention_heads": reference.HEADS, "intermediate_size": reference.INNER, "max_position_embeddings": 24,
        "type_vocab_size": 2, "pad_token_id": 0 if architecture == "bert" else 1, "num_labels": len(reference.LABELS),
        "initializer_range": 0.3, **fields})


def make_model(architecture, **fields):
    """A random classifier in double."""
    torch.manual_seed(3)
    name = ("Bert" if architecture == "bert" else "Roberta") + "ForSequenceClassification"
    return getattr(transformers, name)(make_config(architecture, **fields)).eval().double()


def make_batch():
    generator = torch.Generator().manual_seed(9)
    lengths = torch.tensor([9, 4, 1, 7])
    mask = (torch.arange(9)[None] < lengths[:, None]).long()
    ids = torch.randint(5, 50, mask.shape, generator=generator)
    return ids, mask, mask * (torch.arange(9)[None] > 2)


def run(model, architecture):
    ids, mask, types = make_batch()
    ids = ids.where(mask == 1, model.config.pad_token_id)
    with torch.no_grad():
        return model(ids, attention_mask=mask, token_type_ids=types)


def expected_logits(model, architecture, soup, choice):
    ids, mask, types = make_batch()
    ids = ids.where(mask == 1, model.config.pad_token_id)
    return reference.Reference(model, soup, choice).logits(ids, mask, types)


class LoaderCase(unittest.TestCase):
    """A folder for files, and comparison of logits."""

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def soup(self, architecture, kind, **fields):
        """A model, a soup for it and the soup's file."""
        model = make_model(architecture)
        soup = reference.make_soup(model, architecture, kind, **fields)
        return model, soup, soup.write(self.folder / "soup.safetensors")

    def assert_near(self, found, expected, tolerance=TOLERANCE):
        difference = (found - expected).abs().max().item() / expected.abs().max().item()
        self.assertLess(difference, tolerance)

    def assert_refused(self, words, call, *arguments, **named):
        with self.assertRaises(ladle_soup.SoupError) as caught:
            call(*arguments, **named)
        for word in words:
            self.assertIn(word, str(caught.exception))


class Formulas(LoaderCase):
    """What a model with a soup computes."""

    def test_every_kind(self):
        for architecture, (kind, fields) in itertools.product(ARCHITECTURES, SOUPS):
            with self.subTest(architecture=architecture, kind=kind, **fields):
                model, soup, path = self.soup(architecture, kind, **fields)
                weights = [1 / reference.EXPERTS] * reference.EXPERTS
                expected = expected_logits(model, architecture, soup, reference.Choice(weights))
                plain = reference.Soup({**soup.description, "adapter_kind": "head", "lora_targets": []}, soup.tensors)
                without = expected_logits(model, architecture, plain, reference.Choice(weights))
                self.assertEqual(kind == "head", torch.equal(without, expected))
                self.assert_near(run(ladle_soup.load_soup(model, path), architecture).logits, expected)

    def test_regression(self):
        for architecture in ARCHITECTURES:
            model = make_model(architecture, num_labels=1)
            soup = reference.make_soup(model, architecture, "adamix", regression=True, label_names=[])
            path = soup.write(self.folder / "soup.safetensors")
            expected = expected_logits(model, architecture, soup, reference.Choice([1 / 3] * 3))
            self.assert_near(run(ladle_soup.load_soup(model, path), architecture).logits, expected)

    def test_weights_and_single_experts(self):
        for architecture, (kind, fields) in itertools.product(ARCHITECTURES, MIXTURES):
            for options, weights in (({"expert": 2}, [0.0, 0.0, 1.0]), ({"weights": [0.5, -0.25, 0.75]},
                                                                       [0.5, -0.25, 0.75])):
                with self.subTest(architecture=architecture, kind=kind, **fields, **options):
                    model, soup, path = self.soup(architecture, kind, **fields)
                    expected = expected_logits(model, architecture, soup, reference.Choice(weights))
                    ladle_soup.load_soup(model, path, **options)
                    self.assert_near(run(model, architecture).logits, expected)

    def test_draws(self):
        for architecture, (kind, fields) in itertools.product(ARCHITECTURES, MIXTURES):
            for routing in ("sample", "token"):
                with self.subTest(architecture=architecture, kind=kind, routing=routing, **fields):
                    model, soup, path = self.soup(architecture, kind, **fields)
                    choice = reference.Choice([], routing, torch.Generator().manual_seed(4))
                    expected = expected_logits(model, architecture, soup, choice)
                    generator = torch.Generator().manual_seed(4)
                    ladle_soup.load_soup(model, path, routing=routing, generator=generator)
                    found = run(model, architecture).logits
                    self.assert_near(found, expected)
                    several = kind != "madakron" or fields.get("factor_experts") != "none" or not fields.get("share_up")
                    self.assertEqual(several, not torch.equal(run(model, architecture).logits, found))

    def test_draws_without_a_generator_follow_the_seed(self):
        model, _, path = self.soup("bert", "adamix")
        ladle_soup.load_soup(model, path, routing="token")
        torch.manual_seed(1)
        first = run(model, "bert").logits
        second = run(model, "bert").logits
        torch.manual_seed(1)
        self.assertTrue(torch.equal(first, run(model, "bert").logits))
        self.assertFalse(torch.equal(first, second))

    def test_the_average_has_the_bits_of_the_formula(self):
        model, soup, path = self.soup("bert", "adamix")
        found = dict(ladle_soup.load_soup(model.float(), path).named_parameters())
        for part in ("weight", "bias"):
            experts = [soup.tensors[f"bert.encoder.layer.1.output.ExpertSoup.MoA_A.deepspeed_experts.{k}.{part}"]
                       for k in range(3)]
            self.assertTrue(torch.equal(found[f"bert.encoder.layer.1.output.soup.down.{part}"],
                                        reference.average(experts, [1 / 3] * 3)))

    def test_float_and_bfloat16_models(self):
        for dtype, tolerance in ((torch.float32, TOLERANCE_FLOAT), (torch.bfloat16, 0.2)):
            model, soup, path = self.soup("roberta", "adamix-lora")
            expected = expected_logits(model, "roberta", soup, reference.Choice([1 / 3] * 3))
            ladle_soup.load_soup(model.to(dtype), path)
            self.assertEqual({parameter.dtype for parameter in model.parameters()}, {dtype})
            self.assert_near(run(model, "roberta").logits.double(), expected, tolerance)

    def test_bare_encoder(self):
        for architecture, kind in itertools.product(ARCHITECTURES, ("adamix", "pfeiffer", "adakron", "lora", "bias")):
            with self.subTest(architecture=architecture, kind=kind):
                model, _, path = self.soup(architecture, kind)
                with tempfile.TemporaryDirectory() as folder:
                    model.base_model.save_pretrained(folder)
                    bare_class = transformers.BertModel if architecture == "bert" else transformers.RobertaModel
                    options = {} if architecture == "bert" else {"add_pooling_layer": False}
                    bare = bare_class.from_pretrained(folder, dtype=torch.float64, **options).eval()
                ladle_soup.load_soup(bare, path)
                found = run(bare, architecture).last_hidden_state
                self.assertTrue(torch.equal(found, run(ladle_soup.load_soup(model, path).base_model,
                                                       architecture).last_hidden_state))


class Lifecycle(LoaderCase):
    """What else is done with a model that has a soup."""

    def test_unload(self):
        for architecture, (kind, fields) in itertools.product(ARCHITECTURES, SOUPS):
            with self.subTest(architecture=architecture, kind=kind, **fields):
                model, _, path = self.soup(architecture, kind, **fields)
                before, labels = copy.deepcopy(model.state_dict()), model.config.id2label
                logits = run(model, architecture).logits
                ladle_soup.load_soup(model, path)
                self.assertEqual(model.config.id2label, dict(enumerate(reference.LABELS)))
                self.assertFalse(torch.equal(run(model, architecture).logits, logits))
                ladle_soup.unload(model)
                self.assertEqual(list(model.state_dict()), list(before))
                self.assertTrue(all(torch.equal(value, before[name]) for name, value in model.state_dict().items()))
                self.assertTrue(torch.equal(run(model, architecture).logits, logits))
                self.assertEqual(model.config.id2label, labels)
        self.assert_refused(["none is attached"], ladle_soup.unload, model)

    def test_training_goes_on_and_is_saved(self):
        for architecture, (kind, fields) in itertools.product(ARCHITECTURES, SOUPS):
            for options in ({}, {"routing": "token"} if (kind, fields) in MIXTURES else {"expert": None}):
                with self.subTest(architecture=architecture, kind=kind, **fields, **options):
                    model, _, path = self.soup(architecture, kind, **fields)
                    ladle_soup.load_soup(model, path, **options)
                    trained = dict(ladle_soup.trainable_parameters(model))
                    torch.manual_seed(0)
                    ids, mask, types = make_batch()
                    labels = torch.tensor([0, 1, 2, 1])
                    model(ids, attention_mask=mask, token_type_ids=types, labels=labels).loss.backward()
                    for name, parameter in trained.items():
                        self.assertIsInstance(parameter, torch.nn.Parameter)
                        self.assertTrue(parameter.requires_grad and parameter.grad is not None, name)
                    torch.optim.SGD(trained.values(), lr=0.1).step()
                    with torch.no_grad():
                        for parameter in trained.values():
                            parameter.copy_(parameter.float())
                    ladle_soup.save_soup(model, self.folder / "more.safetensors")
                    fresh = make_model(architecture)
                    ladle_soup.load_soup(fresh, self.folder / "more.safetensors", **options)
                    torch.manual_seed(8)
                    logits = run(fresh, architecture).logits
                    torch.manual_seed(8)
                    self.assertTrue(torch.equal(run(model, architecture).logits, logits))

    def test_saved_description(self):
        model, soup, path = self.soup("bert", "adamix")
        ladle_soup.save_soup(ladle_soup.load_soup(model, path), self.folder / "saved.safetensors")
        changed = {"merged": True, "weights": [1 / 3] * 3, "method": "uniform", "score": None}
        self.assertEqual(ladle_soup.read_description(self.folder / "saved.safetensors"), soup.description | changed)
        self.assertEqual([file.name for file in self.folder.iterdir() if "partial" in file.name], [])

    def test_copies_call_their_own_adapters(self):
        for kind in ("adamix", "pfeiffer", "adakron", "lora"):
            model, _, path = self.soup("bert", kind)
            logits = run(ladle_soup.load_soup(model, path), "bert").logits
            twin = copy.deepcopy(model)
            torch.save(model, self.folder / "whole.pt")
            with torch.no_grad():
                for _, parameter in ladle_soup.trainable_parameters(model):
                    parameter.zero_()
            for other in (twin, torch.load(self.folder / "whole.pt", weights_only=False)):
                self.assertTrue(torch.equal(run(other, "bert").logits, logits))
                ladle_soup.unload(other)
                self.assertFalse(torch.equal(run(other, "bert").logits, logits))

    def test_save_pretrained_keeps_the_tensors(self):
        model, soup, path = self.soup("roberta", "adamix", share_up=True)
        ladle_soup.load_soup(model, path, routing="token").save_pretrained(self.folder / "saved")
        saved = load_file(self.folder / "saved" / "model.safetensors")
        self.assertTrue(all(torch.equal(saved[name].float(), value) for name, value in soup.tensors.items()))
        again = transformers.RobertaForSequenceClassification.from_pretrained(self.folder / "saved",
                                                                             dtype=torch.float64).eval()
        self.assertFalse(torch.equal(run(again, "roberta").logits, run(model, "roberta").logits))
        ladle_soup.load_soup(again, path)
        model, _, _ = self.soup("roberta", "adamix", share_up=True)
        self.assertTrue(torch.equal(run(again, "roberta").logits, run(ladle_soup.load_soup(model, path),
                                                                     "roberta").logits))

    def test_no_random_numbers_are_drawn(self):
        model, _, path = self.soup("bert", "adamix")
        state = torch.get_rng_state()
        ladle_soup.load_soup(model, path)
        self.assertTrue(torch.equal(state, torch.get_rng_state()))


class Strictness(LoaderCase):
    """Files and models that do not fit; the model stays as it was."""

    def refused(self, soup, words, architecture="bert", model=None, **options):
        model = make_model(architecture) if model is None else model
        before = copy.deepcopy(model.state_dict())
        path = soup.write(self.folder / "bad.safetensors")
        self.assert_refused(words, ladle_soup.load_soup, model, path, **options)
        self.assertEqual(list(model.state_dict()), list(before))
        self.assertTrue(all(torch.equal(value, before[name]) for name, value in model.state_dict().items()))

    def make(self, kind="adamix", architecture="bert", **fields):
        return reference.make_soup(make_model(architecture), architecture, kind, **fields)

    def test_tensors(self):
        name = "bert.encoder.layer.1.output.ExpertSoup.MoA_B.deepspeed_experts.2.bias"
        soup = self.make()
        del soup.tensors[name]
        self.refused(soup, ["missing", name])
        soup = self.make()
        soup.tensors["bert.encoder.layer.2.output.soup.up.bias"] = torch.zeros(2)
        self.refused(soup, ["surplus", "bert.encoder.layer.2.output.soup.up.bias"])
        soup = self.make()
        soup.tensors[name] = torch.zeros(3)
        self.refused(soup, ["another shape", name, "[3]", f"[{reference.HIDDEN}]"])
        soup = self.make()
        soup.tensors[name] = soup.tensors[name].half()
        self.refused(soup, [name, "float16"])
        self.refused(reference.Soup(self.make().description, {}), ["tensors"])

    def test_names_of_another_architecture(self):
        soup = self.make()
        soup.tensors = {name.replace("bert.", "roberta.", 1): value for name, value in soup.tensors.items()}
        self.refused(soup, ["missing: bert.encoder", "surplus: roberta.encoder"])
        soup = self.make()
        soup.tensors = {name.removeprefix("bert."): value for name, value in soup.tensors.items()}
        self.refused(soup, ["missing: bert.encoder", "surplus: encoder"])

    def test_biases(self):
        for name in ("bert.embeddings.LayerNorm.bias", "bert.pooler.dense.bias",
                     "bert.encoder.layer.1.attention.self.key.bias"):
            soup = self.make("bias")
            del soup.tensors[name]
            self.refused(soup, ["missing", name])
        bare = transformers.BertModel(make_config("bert"), add_pooling_layer=False)
        self.refused(self.make("bias"), ["surplus", "bert.pooler.dense.bias"], model=bare)

    def test_models(self):
        self.refused(self.make(), ["architecture bert", "roberta"], "roberta")
        self.refused(self.make("adamix", "roberta"), ["architecture roberta", "bert"])
        self.refused(self.make(hidden_size=48), ["hidden_size 48", "24"])
        self.refused(self.make(num_layers=3), ["num_layers 3", "2"])
        self.refused(self.make(intermediate_size=41), ["intermediate_size 41", "40"])
        self.refused(self.make(), ["3 outputs", "num_labels 2", "num_labels=3"], model=make_model("bert", num_labels=2))
        self.refused(self.make(regression=True, label_names=[]), ["1 outputs", "num_labels 3"])
        for other in (transformers.BertForTokenClassification, transformers.BertForMaskedLM):
            self.refused(self.make(), [other.__name__, "model.base_model"], model=other(make_config("bert")))

    def test_a_second_soup(self):
        soup = self.make()
        model = make_model("bert")
        path = soup.write(self.folder / "soup.safetensors")
        ladle_soup.load_soup(model.base_model, path)
        for target in (model, model.base_model):
            self.refused(soup, ["already", "unload"], model=target)
        self.assert_refused(["bare encoder"], ladle_soup.unload, model)
        self.assert_refused(["no head"], ladle_soup.save_soup, model.base_model, self.folder / "out.safetensors")
        ladle_soup.load_soup(ladle_soup.unload(model.base_model), path)

    def test_choices(self):
        for options, words in (({"expert": 3}, ["no expert 3", "0 to 2"]), ({"expert": -1}, ["no expert -1"]),
                               ({"weights": [1.0]}, ["1 weights", "3 experts"]),
                               ({"routing": "top1"}, ["top1", "token"]),
                               ({"expert": 1, "weights": [1, 0, 0]}, ["exclude"]),
                               ({"expert": 1, "routing": "token"}, ["exclude"])):
            self.refused(self.make(), words, **options)
        for kind, fields in (("adamix", {"merged": True}), ("houlsby", {}), ("lora", {}), ("bias", {})):
            for options in ({"expert": 0}, {"weights": [1.0]}, {"routing": "sample"}):
                self.refused(self.make(kind, **fields), ["mixture"], **options)
        chunked = make_model("bert", chunk_size_feed_forward=2)
        self.refused(self.make(), ["chunk_size_feed_forward"], model=chunked, routing="sample")

    def test_descriptions(self):
        for kind, fields in (
                ("adamix", {"format": "ladle.soup 2"}), ("adamix", {"adapter_kind": "prompt"}),
                ("adamix", {"activation": "relu"}), ("adamix", {"hidden_size": "24"}),
                ("adamix", {"num_experts": True}), ("adamix", {"num_experts": 0}), ("houlsby", {"num_experts": 2}),
                ("adamix", {"label_names": []}), ("adamix", {"label_names": [1, 2, 3]}), ("adamix", {"merged": 1}),
                ("adamix", {"adapter_size": 0}), ("adakron", {"factor_order": ""}), ("adakron", {"factor_size": 5}),
                ("madakron", {"factor_experts": "up"}), ("lora", {"lora_targets": []}),
                ("lora", {"lora_targets": ["query", "query"]}), ("lora", {"lora_targets": ["pooler"]}),
                ("lora", {"lora_targets": [["query"]]}), ("lora", {"lora_alpha": "8"}), ("lora", {"lora_alpha": 0.0}),
                ("lora", {"lora_alpha": float("nan")}), ("lora", {"lora_alpha": 10**400}),
                ("lora", {"intermediate_size": 0, "lora_targets": ["output"]})):
            with self.subTest(kind=kind, **fields):
                soup = self.make(kind)
                soup.description |= fields
                self.refused(soup, [next(iter(fields))])
        soup = self.make()
        soup.description["num_experts"] = 10**12
        self.refused(soup, ["1000000000000 experts"])
        soup = self.make()
        del soup.description["merged"]
        self.refused(soup, ["merged is missing"])
        soup = self.make("houlsby")
        for field in ("intermediate_size", "lora_targets", "lora_alpha", "factor_size", "factor_order",
                      "factor_experts"):
            del soup.description[field]
        ladle_soup.load_soup(make_model("bert"), soup.write(self.folder / "old.safetensors"))

    def test_files(self):
        model, soup, path = self.soup("bert", "adamix")
        (self.folder / "text").write_text("no soup")
        self.assert_refused(["ladle convert"], ladle_soup.load_soup, model, self.folder / "text")
        self.assert_refused(["missing.safetensors"], ladle_soup.load_soup, model, self.folder / "missing.safetensors")
        save_file(soup.tensors, self.folder / "plain.safetensors")
        self.assert_refused(["ladle.soup"], ladle_soup.read_description, self.folder / "plain.safetensors")
        for text in ("{", "[" * 100000):
            save_file(soup.tensors, self.folder / "json.safetensors", {"ladle.soup": text})
            self.assert_refused(["JSON"], ladle_soup.read_description, self.folder / "json.safetensors")
        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        soup.tensors["classifier.bias"] = soup.tensors["classifier.bias"] + 1
        save_file(soup.tensors, path, metadata)
        self.assert_refused(["ladle.sha256", "damaged"], ladle_soup.load_soup, model, path)
        self.assertEqual(ladle_soup.read_description(path)["adapter_kind"], "adamix")


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    unittest.main(argv=sys.argv[:1])

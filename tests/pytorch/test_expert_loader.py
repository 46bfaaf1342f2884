#!/usr/bin/env python3
"""ladle_soup on decoders: what is refused, what padding and copies do, and that a model comes back as it was.

Usage: test_expert_loader.py [--ladle FILE] [--build DIR]; neither is used
"""

import copy
import pathlib
import sys
import tempfile
import unittest

import h5py
import torch
import transformers

import decoder_support as support

import ladle_soup

FIXTURES = support.ROOT / "tests" / "fixtures" / "moa"
# The same products in another order, float32, logits of order 1.
TOLERANCE = 1e-5


class Files:
    """One golden file as a model, a description and tensors."""

    def __init__(self, name):
        with h5py.File(FIXTURES / f"{name}.h5") as file:
            self.model = support.make_model(file)
            self.description = support.describe(file)
            self.tensors = support.experts_of(file)
            self.arguments = support.arguments_of(file)


def move_inputs(layer, device):
    """Does to a layer what accelerate does to those of a split model: it moves the inputs once forward is called."""
    layer.to(device)
    forward = layer.forward

    def moved(value):
        return tuple(map(moved, value)) if isinstance(value, tuple) else (
            value.to(device) if isinstance(value, torch.Tensor) else value)

    layer.forward = lambda *args, **kwargs: forward(*moved(args), **{name: moved(kwargs[name]) for name in kwargs})


class ExpertLoader(unittest.TestCase):

    def setUp(self):
        self.folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))

    def attach(self, files):
        path = support.write_safetensors(self.folder / "e.safetensors", files.description, files.tensors)
        return ladle_soup.load_experts(files.model, path)

    def assert_refused(self, words, files, path, **options):
        before = set(files.model.state_dict())
        with self.assertRaises(ladle_soup.SoupError) as caught:
            ladle_soup.load_experts(files.model, path, **options)
        for word in words:
            self.assertIn(word, str(caught.exception))
        self.assertEqual(set(files.model.state_dict()), before)

    def test_padding_does_not_show(self):
        for name in ("soft_moa", "instance_moa", "unipelt", "topk"):
            with self.subTest(name=name), torch.no_grad():
                model = self.attach(Files(name))
                tokens = torch.randint(1, 100, (2, 7), generator=torch.Generator().manual_seed(1))
                mask = torch.ones_like(tokens)
                mask[1, :3] = 0
                positions = (mask.cumsum(-1) - 1).clamp(min=0)
                padded = model(tokens, attention_mask=mask, position_ids=positions).logits[1, 3:]
                alone = model(tokens[1:, 3:]).logits[0]
                self.assertLess((padded - alone).abs().max().item(), TOLERANCE)

    def test_batches_and_beams_give_texts_of_their_own(self):
        for name in ("instance_moa", "sparse_moa"):
            with self.subTest(name=name):
                model = self.attach(Files(name))
                tokens = torch.randint(1, 100, (2, 6), generator=torch.Generator().manual_seed(2))
                mask = torch.ones_like(tokens)
                mask[1, :2] = 0
                options = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
                together = model.generate(tokens, attention_mask=mask, **options)
                alone = model.generate(tokens[1:, 2:], attention_mask=mask[1:, 2:], **options)
                self.assertEqual(together[1, 6:].tolist(), alone[0, 4:].tolist())
                beams = model.generate(tokens, attention_mask=mask, num_beams=2, **options)
                alone = model.generate(tokens[1:, 2:], attention_mask=mask[1:, 2:], num_beams=2, **options)
                self.assertEqual(beams[1, 6:].tolist(), alone[0, 4:].tolist())

    def test_copies_stand_alone(self):
        files = Files("soft_moa")
        tokens = torch.arange(1, 8)[None]
        with torch.no_grad():
            plain = files.model(tokens).logits
            model = self.attach(files)
            expected = model(tokens).logits
            other = copy.deepcopy(model)
            for _, parameter in ladle_soup.expert_parameters(model):
                parameter.zero_()
            self.assertTrue(torch.equal(other(tokens).logits, expected))
            ladle_soup.unload_experts(model)
            self.assertTrue(torch.equal(model(tokens).logits, plain))
            self.assertFalse(torch.equal(plain, expected))
        with self.assertRaises(ladle_soup.SoupError):
            ladle_soup.unload_experts(model)

    def test_bare_decoders_and_other_types(self):
        files = Files("unipelt")
        path = support.write_safetensors(self.folder / "e.safetensors", files.description, files.tensors)
        tokens = torch.arange(1, 8)[None]
        with torch.no_grad():
            expected = ladle_soup.load_experts(copy.deepcopy(files.model), path).double()(tokens).logits
            model = files.model.double()
            ladle_soup.load_experts(model.model, path)
            self.assertTrue(torch.equal(model(tokens).logits, expected))
            self.assertEqual({parameter.dtype for _, parameter in ladle_soup.expert_parameters(model)}, {torch.float64})

    def test_names_are_the_published_ones(self):
        files = Files("soft_moa_hydra2")
        model = self.attach(files)
        self.assertEqual({name: list(parameter.shape) for name, parameter in ladle_soup.expert_parameters(model)},
                         {name: list(tensor.shape) for name, tensor in files.tensors.items()})
        self.assert_refused(["has experts already"], files, self.folder / "e.safetensors")

    def test_files_that_do_not_fit(self):
        files = Files("soft_moa")

        def refused(words, description=None, tensors=None):
            changed = {**files.description, **(description or {})}
            path = support.write_safetensors(self.folder / "bad.safetensors", changed, tensors or files.tensors)
            self.assert_refused(words, files, path)

        gate = "layers.0.attention.prompt_gate"
        without = {name: tensor for name, tensor in files.tensors.items() if name != gate}
        refused(["missing", gate], tensors=without)
        refused(["surplus", "more"], tensors={**files.tensors, "more": files.tensors[gate].clone()})
        refused(["of another shape", gate], tensors={**without, gate: torch.zeros(4)})
        refused(["torch.float16"], tensors={**without, gate: files.tensors[gate].half()})
        refused(["format"], {"format": "ladle.adapter 2"})
        refused(["layers 3", "has 2"], {"layers": 3})
        refused(["dim 65", "has 64"], {"dim": 65})
        for field, value in (("router", "soft"), ("rule", "any"), ("num_experts", 0), ("num_experts", 1 << 40),
                             ("lora_rank", 1 << 40), ("router_expansion", -1), ("lora_alpha", -1),
                             ("lora_alpha", float("nan")), ("lora_alpha", 10**400),
                             ("lora_targets", "Q,Q"), ("lora_targets", "Z"), ("lora_layers", "0-3"),
                             ("lora_layers", "0-2,"), ("lora_layers", "")):
            refused([field], {field: value})
        refused(["router = 'token'"], {"rule": "top_k"})
        refused(["max_threshold"], {"router": "threshold", "max_threshold": 10**400})
        refused(["surplus"], {"router": "none"})
        refused(["num_experts", "True"], {"num_experts": True})
        refused(["experts", "tensors"], {"num_experts": 1000})
        damaged = support.write_safetensors(self.folder / "d.safetensors", files.description, files.tensors)
        content = bytearray(damaged.read_bytes())
        content[-1] ^= 1
        damaged.write_bytes(content)
        self.assert_refused(["damaged"], files, damaged)
        self.assert_refused(["cannot load"], files, self.folder / "absent")
        support.save_file(files.tensors, self.folder / "plain.safetensors")
        self.assert_refused(["ladle.adapter"], files, self.folder / "plain.safetensors")

    def test_models_that_do_not_fit(self):
        files = Files("soft_moa")
        path = support.write_safetensors(self.folder / "e.safetensors", files.description, files.tensors)
        files.model = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=9))
        self.assert_refused(["GPT2LMHeadModel"], files, path)
        with h5py.File(FIXTURES / "soft_moa.h5") as file:
            files.model = support.make_llama({**support.config_of(file), "ffn_hidden": 96})
        self.assert_refused(["ffn 128", "96"], files, path)

    def test_layers_on_other_devices(self):
        # Without a GPU the other device is meta: that a tensor was left behind still shows, values do not.
        device = "cuda" if torch.cuda.is_available() else "meta"
        for name in ("soft_moa", "sparse_moa", "instance_moa", "unipelt", "topk"):
            with self.subTest(name=name), torch.no_grad():
                model = self.attach(Files(name))
                tokens = torch.randint(1, 100, (2, 7), generator=torch.Generator().manual_seed(1))
                mask = torch.ones_like(tokens)
                mask[1, 4:] = 0
                expected = model(tokens, attention_mask=mask).logits
                for module in (model.model.layers[1], model.model.norm, model.lm_head):
                    move_inputs(module, device)
                logits = model(tokens, attention_mask=mask).logits
                self.assertEqual((logits.device.type, logits.shape), (device, expected.shape))
                if device == "cuda":
                    self.assertLess((logits.cpu() - expected).abs().max().item(), TOLERANCE)

    def test_offloaded_and_split_layers(self):
        for moved, words in (("", ["layer 1", "on meta:", "offloaded", "device_map"]),
                             ("mlp", ["layer 1", "on cpu and meta:", "offloaded"])):
            with self.subTest(moved=moved):
                files = Files("soft_moa")
                files.model.model.layers[1].get_submodule(moved).to("meta")
                path = support.write_safetensors(self.folder / "e.safetensors", files.description, files.tensors)
                self.assert_refused(words, files, path)
        files = Files("soft_moa")
        files.model.lm_head.to("meta")
        self.attach(files)

    def test_published_files_that_do_not_fit(self):
        files = Files("soft_moa")
        numbers = iter(range(100))

        def refused(words, system="soft-moa", arguments=None, tensors=None):
            folder = support.write_published(self.folder / str(next(numbers)), arguments or files.arguments,
                                             tensors or files.tensors)
            self.assert_refused(words, files, folder, system=system)

        refused(["do not say their system"], system=None)
        refused(["do not say their system"], system="soft_moa")
        refused(["max_threshold of sparse-moa is missing"], system="sparse-moa")
        refused(["surplus"], system="molora")
        refused(["colour"], arguments={**files.arguments, "colour": 1})
        refused(["w_bias"], arguments={**files.arguments, "w_bias": True})
        refused(["adamole"], arguments={**files.arguments, "adamole": True})
        refused(["lora_rank"], arguments={**files.arguments, "lora_rank": "4"})
        refused(["lora_layers", "missing"], arguments={name: value for name, value in files.arguments.items()
                                                       if name != "lora_layers"})
        refused(["of another shape"], arguments={**files.arguments, "lora_rank": 5})
        refused(["lora_alpha"], arguments={**files.arguments, "lora_alpha": 10**400})
        gate = "layers.0.attention.prompt_gate"
        for tensor in (torch.tensor(1), torch.empty(1, device="meta"), torch.ones(1).to_sparse()):
            refused([f"'llama.{gate}' is no tensor"], tensors={**files.tensors, gate: tensor})
        folder = support.write_published(self.folder / "pickled", files.arguments, files.tensors)
        torch.save({"llama.x": pathlib.Path("x")}, folder / "adapter.pth")
        self.assert_refused(["adapter.pth cannot be read"], files, folder, system="soft-moa")
        for text in ("{", "[" * 100000):
            (folder / "adapter_params.json").write_text(text)
            self.assert_refused(["adapter_params.json cannot be read"], files, folder, system="soft-moa")

    def test_damaged_published_tensors(self):
        files = Files("soft_moa")
        folder = support.write_published(self.folder / "damaged", files.arguments, files.tensors)
        path = folder / "adapter.pth"
        torch.save({"llama.x": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
        whole = path.read_bytes()
        # Cut after each byte: torch's unpickler stops at another line, with other types of exceptions.
        for length in range(len(whole)):
            path.write_bytes(whole[:length])
            self.assert_refused(["adapter.pth cannot be read"], files, folder, system="soft-moa")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])

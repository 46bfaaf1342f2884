// Exports of AdaKron and LoRA soups: round trips, what AdaKron's code reads, refusals, the automatic choice.
#include <boost/test/unit_test.hpp>

#include "ladle/io/pytorch.hpp"
#include "ladle/io/safetensors.hpp"
#include "names.hpp"
#include "scratch.hpp"
#include "soups.hpp"

using ladle::ConfigError;
using ladle::DataError;
using ladle::Soup;
using ladle::SoupExport;
using ladle::SoupFormat;
using ladle::Tensor;

BOOST_AUTO_TEST_SUITE(export_kinds)

BOOST_AUTO_TEST_CASE(kinds_come_back_bitwise) {
    for (const char* architecture : {"bert", "roberta"}) {
        for (const char* kind : {"madakron", "adamix-lora"}) {
            const Soup experts = make_soup(architecture, kind, 3, true);
            const Soup merged = ladle::merge_experts(experts);
            BOOST_TEST_CONTEXT(architecture << " " << kind) {
                check_round_trip(experts, {SoupFormat::safetensors, "", false, false});
                check_round_trip(merged, {SoupFormat::safetensors, "", false, false});
                check_round_trip(merged, {kind[0] == 'm' ? SoupFormat::adamix : SoupFormat::peft, "", false, false});
            }
        }
        check_round_trip(make_soup(architecture, "madakron", 1, false), {SoupFormat::adamix, "", false, false});
        check_round_trip(make_soup(architecture, "adakron", 1, false), {SoupFormat::adamix, "", false, false});
        check_round_trip(make_soup(architecture, "lora", 1, false), {SoupFormat::peft, "", false, false});
        check_round_trip(make_soup(architecture, "adamix-lora", 1, false), {SoupFormat::peft, "", false, false});
    }
}

BOOST_AUTO_TEST_CASE(adakron_file_has_the_published_names) {
    const Scratch scratch;
    const Soup merged = ladle::merge_experts(make_soup("bert", "madakron", 3, true));
    ladle::export_soup(merged, {SoupFormat::adamix, scratch.path("s.bin"), false, false});
    const auto tensors = ladle::read_torch(scratch.path("s.bin"));
    const std::string block = "bert.encoder.layer.0.output.ExpertSoup.";
    const std::vector<std::pair<std::string, ladle::Shape>> expected = {{"MoA_A1.expert_score_weight", {1}},
                                                                        {"MoA_A1.deepspeed_experts.0.weight", {2, 6}},
                                                                        {"MoA_A1.deepspeed_experts.0.bias", {2}},
                                                                        {"MoA_A2.expert_score_weight", {1}},
                                                                        {"MoA_A2.deepspeed_experts.0.weight", {4, 6}},
                                                                        {"MoA_A2.deepspeed_experts.0.bias", {4}},
                                                                        {"MoA_B.expert_score_weight", {1}},
                                                                        {"MoA_B.deepspeed_experts.0.weight", {6, 8}},
                                                                        {"MoA_B.deepspeed_experts.0.bias", {6}}};
    BOOST_TEST_REQUIRE(tensors.size() == 2 * expected.size() + 2);
    for (std::size_t i = 0; i < expected.size(); ++i) {
        BOOST_TEST(tensors[i].first == block + expected[i].first);
        BOOST_TEST(tensors[i].second.shape == expected[i].second, boost::test_tools::per_element());
    }
    const std::string readme = slurp(scratch.path("s.bin.README.txt"));
    BOOST_TEST(readme.find("--adapter_size 8 --num_experts 1") != std::string::npos);
    BOOST_TEST(readme.find("strict=False") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(adakron_and_adamix_files_of_others_are_told_apart) {
    const Scratch scratch;
    const Soup soup = make_soup("roberta", "adakron", 1, false);
    ladle::export_soup(soup, {SoupFormat::adamix, scratch.path("s.bin"), false, false});
    std::filesystem::remove(scratch.path("s.bin.json"));
    const Soup back = ladle::import_soup(scratch.path("s.bin"));
    BOOST_TEST(back.adapter_kind == "adakron");
    BOOST_TEST(back.adapter_size == 8);
    BOOST_TEST(back.factor_size == 4);
    BOOST_TEST(back.factor_order == "small_outer");
    BOOST_TEST(back.hidden_size == 6);
    BOOST_TEST(ladle::tensor_digest(back) == ladle::tensor_digest(soup));

    auto tensors = ladle::read_torch(scratch.path("s.bin"));
    const float one = 1.0F;
    tensors.emplace_back("roberta.encoder.layer.0.output.ExpertSoup.MoA_A.deepspeed_experts.0.weight",
                         Tensor::from_floats({1}, &one));
    ladle::write_torch(scratch.path("both.bin"), tensors);
    BOOST_CHECK_EXCEPTION(ladle::import_soup(scratch.path("both.bin")), DataError,
                          names("of AdaKron (MoA_A1, MoA_A2)"));
}

BOOST_AUTO_TEST_CASE(lost_descriptions_of_factor_mixtures_are_guessed) {
    const Scratch scratch;
    for (const char* factors : {"both", "small", "large"}) {
        Soup soup = make_soup("bert", "madakron", 1, true);
        soup.num_experts = 3;
        soup.factor_experts = factors;
        soup.tensors.clear();
        fill(soup);
        ladle::write_safetensors(scratch.path("s"), soup.tensors, {});
        const Soup back = ladle::import_soup(scratch.path("s"));
        BOOST_TEST(back.adapter_kind == "madakron");
        BOOST_TEST(back.num_experts == 3);
        BOOST_TEST(back.factor_experts == factors);
        BOOST_TEST(back.share_up);
    }
    Soup uneven = make_soup("bert", "madakron", 3, false);
    std::erase_if(uneven.tensors, [](const auto& entry) {
        return entry.first.find("MoA_A1.deepspeed_experts.2") != std::string::npos;
    });
    ladle::write_safetensors(scratch.path("u"), uneven.tensors, {});
    BOOST_CHECK_EXCEPTION(ladle::import_soup(scratch.path("u")), DataError, names("different numbers of experts"));
    Soup up_only = make_soup("bert", "madakron", 3, false);
    std::erase_if(up_only.tensors, [](const auto& entry) {
        return entry.first.find("MoA_A") != std::string::npos && entry.first.find("experts.0") == std::string::npos;
    });
    ladle::write_safetensors(scratch.path("v"), up_only.tensors, {});
    BOOST_CHECK_EXCEPTION(ladle::import_soup(scratch.path("v")), DataError, names("neither factor has"));
}

BOOST_AUTO_TEST_CASE(impossible_pairs_name_the_nearest_format) {
    const Scratch scratch;
    const auto refused = [&](const Soup& soup, SoupFormat format, const char* reason, const char* nearest) {
        const SoupExport target{format, scratch.path("x"), false, false};
        BOOST_CHECK_EXCEPTION(ladle::export_soup(soup, target), ConfigError, names(reason));
        BOOST_CHECK_EXCEPTION(ladle::export_soup(soup, target), ConfigError, names(nearest));
    };
    const Soup kron = make_soup("bert", "madakron", 3, true);
    refused(kron, SoupFormat::adamix, "uses expert 0 of every bank and none of the other 2", "convert the merged soup");
    Soup other = make_soup("bert", "adakron", 1, true);
    other.factor_order = "large_outer";
    refused(other, SoupFormat::adamix, "order large_outer", "convert to model");
    other.factor_order = "small_outer";
    other.factor_size = 2;
    refused(other, SoupFormat::adamix, "this soup has factor 2", "convert to model");
    refused(kron, SoupFormat::adapters, "product of two projections", "convert to model");
    refused(kron, SoupFormat::peft, "multiplies two projections", "convert to model");
    const Soup lora = make_soup("bert", "adamix-lora", 3, true);
    refused(lora, SoupFormat::adamix, "sits on projections", "or this one to safetensors");
    refused(lora, SoupFormat::adapters, "LoRA", "convert the merged soup");
    refused(lora, SoupFormat::peft, "it holds 3 experts", "convert the merged soup");
    refused(ladle::merge_experts(lora), SoupFormat::adapters, "LoRA", "convert to peft");
    refused(make_soup("bert", "houlsby", 1, false), SoupFormat::peft, "no bottleneck adapters", "convert to adapters");
    refused(make_soup("bert", "head", 1, false), SoupFormat::peft, "no adapter", "convert to safetensors");
    refused(lora, SoupFormat::model, "the directory holds the whole model", "--model.path");
    BOOST_TEST(std::filesystem::is_empty(scratch.directory()));
}

BOOST_AUTO_TEST_CASE(the_automatic_format_is_the_first_exact_one) {
    const auto chosen = [](const Soup& soup) { return ladle::choose_format(soup, false).format; };
    const Soup adamix = make_soup("bert", "adamix", 4, true);
    const Soup lora = make_soup("bert", "adamix-lora", 4, true);
    BOOST_TEST((chosen(ladle::merge_experts(adamix)) == SoupFormat::adapters));
    BOOST_TEST((chosen(adamix) == SoupFormat::safetensors));
    BOOST_TEST((ladle::choose_format(adamix, true).format == SoupFormat::adapters));
    BOOST_TEST((chosen(ladle::merge_experts(lora)) == SoupFormat::peft));
    BOOST_TEST((chosen(lora) == SoupFormat::safetensors));
    BOOST_TEST((chosen(make_soup("bert", "adakron", 1, true)) == SoupFormat::safetensors));
    BOOST_TEST(ladle::choose_format(make_soup("bert", "adakron", 1, true), false).why.find("not peft") !=
               std::string::npos);
    BOOST_TEST(ladle::choose_format(make_soup("bert", "head", 1, true), false).why.find("no adapter") !=
               std::string::npos);
}

BOOST_AUTO_TEST_CASE(every_export_has_a_readme_with_labels_and_digests) {
    const Scratch scratch;
    Soup soup = ladle::merge_experts(make_soup("bert", "adamix-lora", 2, true));
    soup.backbone_digest = std::string(64, 'b');
    ladle::export_soup(soup, {SoupFormat::peft, scratch.path("p"), false, false});
    ladle::export_soup(soup, {SoupFormat::safetensors, scratch.path("s"), false, false});
    for (const char* file : {"p/README.md", "s.README.md"}) {
        const std::string text = slurp(scratch.path(file));
        for (const std::string& part : {std::string("num_labels=3"), std::string("entailment, neutral, contradiction"),
                                        soup.backbone_digest, ladle::tensor_digest(soup), std::string("Licence")}) {
            BOOST_TEST(text.find(part) != std::string::npos, file << " lacks " << part);
        }
    }
}

BOOST_AUTO_TEST_SUITE_END()

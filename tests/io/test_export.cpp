// Foreign formats of soups: every pair there and back, golden names, refusals, damaged and foreign files.
#include <boost/test/unit_test.hpp>

#include "ladle/io/export.hpp"
#include "ladle/io/inspect.hpp"
#include "ladle/io/pytorch.hpp"
#include "ladle/io/safetensors.hpp"
#include "names.hpp"
#include "scratch.hpp"
#include "soups.hpp"

using ladle::ConfigError;
using ladle::DataError;
using ladle::Shape;
using ladle::Soup;
using ladle::SoupFormat;
using ladle::Tensor;

BOOST_AUTO_TEST_SUITE(export_formats)

BOOST_AUTO_TEST_CASE(every_possible_pair_comes_back_bitwise) {
    for (const char* architecture : {"bert", "roberta"}) {
        for (const bool share_up : {false, true}) {
            const Soup experts = make_soup(architecture, "adamix", 4, share_up);
            const Soup merged = ladle::merge_experts(experts);
            BOOST_TEST_CONTEXT(architecture << " shared up " << share_up) {
                check_round_trip(experts, {SoupFormat::adamix, "", false, false});
                check_round_trip(experts, {SoupFormat::safetensors, "", false, false});
                check_round_trip(experts, {SoupFormat::adapters, "", false, true});
                check_round_trip(merged, {SoupFormat::adamix, "", false, false});
                check_round_trip(merged, {SoupFormat::adamix, "", true, false});
                check_round_trip(merged, {SoupFormat::safetensors, "", false, false});
                check_round_trip(merged, {SoupFormat::adapters, "", false, false});
            }
        }
        check_round_trip(make_soup(architecture, "pfeiffer", 1, false), {SoupFormat::adapters, "", false, false});
        check_round_trip(make_soup(architecture, "houlsby", 1, false), {SoupFormat::adapters, "", false, false});
        check_round_trip(make_soup(architecture, "houlsby", 1, false), {SoupFormat::adamix, "", false, false});
        check_round_trip(make_soup(architecture, "head", 1, false), {SoupFormat::safetensors, "", false, false});
    }
}

BOOST_AUTO_TEST_CASE(adamix_file_has_the_published_names_in_order) {
    const Scratch scratch;
    const Soup soup = make_soup("bert", "adamix", 2, true);
    ladle::export_soup(soup, {SoupFormat::adamix, scratch.path("s.bin"), false, false});
    std::vector<std::string> names;
    for (const auto& [name, tensor] : ladle::read_torch(scratch.path("s.bin"))) {
        names.push_back(name);
    }
    std::vector<std::string> expected;
    for (const std::string layer : {"0", "1"}) {
        const std::string block = "bert.encoder.layer." + layer + ".output.ExpertSoup.";
        for (const std::string name :
             {"MoA_A.expert_score_weight", "MoA_A.deepspeed_experts.0.weight", "MoA_A.deepspeed_experts.0.bias",
              "MoA_A.deepspeed_experts.1.weight", "MoA_A.deepspeed_experts.1.bias", "MoA_B.expert_score_weight",
              "MoA_B.deepspeed_experts.0.weight", "MoA_B.deepspeed_experts.0.bias"}) {
            expected.push_back(block + name);
        }
    }
    expected.insert(expected.end(), {"classifier.weight", "classifier.bias"});
    BOOST_TEST(names == expected, boost::test_tools::per_element());
    const std::string readme = slurp(scratch.path("s.bin.README.txt"));
    BOOST_TEST(readme.find("--adapter_size 3 --num_experts 2 --sharing_down 0 --sharing_up 1") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(merged_adamix_file_holds_copies_or_one) {
    const Scratch scratch;
    const Soup merged = ladle::merge_experts(make_soup("roberta", "adamix", 4, true));
    ladle::export_soup(merged, {SoupFormat::adamix, scratch.path("copies.bin"), false, false});
    ladle::export_soup(merged, {SoupFormat::adamix, scratch.path("one.bin"), true, false});
    // 2 layers x (score + 4 x 2 and score + 1 x 2) + 4 of the head; with one expert 2 x 2 x 3 + 4
    BOOST_TEST(ladle::read_torch(scratch.path("copies.bin")).size() == 28U);
    BOOST_TEST(ladle::read_torch(scratch.path("one.bin")).size() == 16U);
    BOOST_TEST(slurp(scratch.path("one.bin.README.txt")).find("--num_experts 1 --sharing_down 0 --sharing_up 0") !=
               std::string::npos);
}

BOOST_AUTO_TEST_CASE(adamix_file_of_others_is_understood) {
    const Scratch scratch;
    const Soup soup = make_soup("roberta", "adamix", 4, true);
    ladle::export_soup(soup, {SoupFormat::adamix, scratch.path("s.bin"), false, false});
    std::filesystem::remove(scratch.path("s.bin.json"));
    const Soup back = ladle::import_soup(scratch.path("s.bin"));
    BOOST_TEST(ladle::tensor_digest(back) == ladle::tensor_digest(soup));
    BOOST_TEST(back.architecture == "roberta");
    BOOST_TEST(back.num_layers == 2);
    BOOST_TEST(back.hidden_size == 6);
    BOOST_TEST(back.adapter_size == 3);
    BOOST_TEST(back.num_experts == 4);
    BOOST_TEST((back.share_up && !back.share_down && !back.merged && !back.regression));
    BOOST_TEST(back.label_names == (std::vector<std::string>{"LABEL_0", "LABEL_1", "LABEL_2"}),
               boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(adapters_directory_has_what_the_library_needs) {
    const Scratch scratch;
    const Soup merged = ladle::merge_experts(make_soup("bert", "adamix", 4, true));
    ladle::export_soup(merged, {SoupFormat::adapters, scratch.path("d"), false, false});
    const auto config = read_json(scratch.path("d/adapter_config.json"));
    BOOST_TEST(config["version"] == "adapters.1.3.0");
    BOOST_TEST(config["name"] == "soup");
    BOOST_TEST(config["model_type"] == "bert");
    BOOST_TEST(config["config"]["original_ln_before"] == false);
    BOOST_TEST(config["config"]["non_linearity"] == "gelu");
    BOOST_TEST(config["config"]["reduction_factor"].get<double>() == 6 / 3.5);
    // The library distinguishes 1.0 and 1.
    BOOST_TEST(slurp(scratch.path("d/adapter_config.json")).find("\"scaling\": 1.0") != std::string::npos);
    const auto head = read_json(scratch.path("d/head_config.json"));
    BOOST_TEST(head["model_class"] == "BertForSequenceClassification");
    BOOST_TEST(head["num_labels"] == 3);
    BOOST_TEST(head["label2id"]["contradiction"] == 2);
    const auto tensors = ladle::read_torch(scratch.path("d/pytorch_adapter.bin"));
    BOOST_TEST(tensors.size() == 8U);
    BOOST_TEST(tensors[0].first == "bert.encoder.layer.0.output.adapters.soup.adapter_down.0.weight");
    BOOST_TEST(tensors[3].first == "bert.encoder.layer.0.output.adapters.soup.adapter_up.bias");
    BOOST_TEST(ladle::read_torch(scratch.path("d/pytorch_model_head.bin"))[0].first == "classifier.weight");
    BOOST_TEST(ladle::read_safetensors(scratch.path("d/model_head.safetensors")).tensors.size() == 2U);
}

BOOST_AUTO_TEST_CASE(bottleneck_survives_the_librarys_rounding) {
    // int(H // factor) in double, for every bottleneck of two common hidden sizes
    for (const int hidden : {768, 1024}) {
        for (int size = 1; size <= hidden; ++size) {
            const double factor = hidden / (size + 0.5);
            BOOST_TEST_REQUIRE(static_cast<int>(std::floor(hidden / factor)) == size);
        }
    }
}

BOOST_AUTO_TEST_CASE(adapters_directory_of_others_is_understood) {
    const Scratch scratch;
    const Soup merged = ladle::merge_experts(make_soup("bert", "adamix", 4, true));
    ladle::export_soup(merged, {SoupFormat::adapters, scratch.path("d"), false, false});
    auto config = read_json(scratch.path("d/adapter_config.json"));
    config.erase("ladle");
    spill(scratch.path("d/adapter_config.json"), config.dump());
    const Soup back = ladle::import_soup(scratch.path("d"));
    BOOST_TEST(back.adapter_kind == "houlsby");
    BOOST_TEST(back.num_experts == 1);
    BOOST_TEST(back.label_names[2] == "contradiction");
    BOOST_TEST((back.tensor("bert.encoder.layer.1.output.ExpertSoup.MoA_B.deepspeed_experts.0.bias").bytes ==
                merged.tensor("bert.encoder.layer.1.output.soup.up.bias").bytes));
    for (const auto& [key, value] : {std::pair<const char*, nlohmann::json>{"non_linearity", "relu"},
                                     {"scaling", 2.0},
                                     {"residual_before_ln", false},
                                     {"is_parallel", true},
                                     {"leave_out", {1}}}) {
        auto other = config;
        other["config"][key] = value;
        spill(scratch.path("d/adapter_config.json"), other.dump());
        BOOST_CHECK_EXCEPTION(ladle::import_soup(scratch.path("d")), DataError, names(key));
    }
    auto old = config;
    old.erase("version");
    spill(scratch.path("d/adapter_config.json"), old.dump());
    BOOST_CHECK_EXCEPTION(ladle::import_soup(scratch.path("d")), DataError, names("tanh"));
    old["name"] = 5;
    spill(scratch.path("d/adapter_config.json"), old.dump());
    BOOST_CHECK_EXCEPTION(ladle::import_soup(scratch.path("d")), DataError, names("no name"));
}

BOOST_AUTO_TEST_CASE(impossible_pairs_say_why_and_what_else) {
    const Scratch scratch;
    const std::string path = scratch.path("x");
    const Soup experts = make_soup("bert", "adamix", 4, true);
    const Soup merged = ladle::merge_experts(experts);
    const auto refused = [&](const Soup& soup, const ladle::SoupExport& target, const char* reason) {
        BOOST_CHECK_EXCEPTION(ladle::export_soup(soup, target), ConfigError, names(reason));
    };
    refused(experts, {SoupFormat::adapters, path, false, false}, "holds 4 experts");
    refused(merged, {SoupFormat::adapters, path, false, true}, "merged");
    refused(make_soup("bert", "head", 1, false), {SoupFormat::adapters, path, false, false}, "convert to safetensors");
    refused(make_soup("bert", "head", 1, false), {SoupFormat::adamix, path, false, false}, "convert to safetensors");
    refused(make_soup("bert", "pfeiffer", 1, false), {SoupFormat::adamix, path, false, false}, "convert to adapters");
    refused(experts, {SoupFormat::adamix, path, true, false}, "one expert");
    refused(merged, {SoupFormat::safetensors, path, false, true}, "single experts");
    BOOST_CHECK_EXCEPTION(ladle::soup_format("onnx"), ConfigError, names("safetensors"));
    BOOST_TEST(std::filesystem::is_empty(scratch.directory()));
}

BOOST_AUTO_TEST_CASE(damaged_and_foreign_files_name_the_tensor) {
    const Scratch scratch;
    const Soup soup = make_soup("bert", "adamix", 2, true);
    const std::string bin = scratch.path("s.bin");
    const auto rewrite = [&](auto change) {
        ladle::export_soup(soup, {SoupFormat::adamix, bin, false, false});
        auto tensors = ladle::read_torch(bin);
        change(tensors);
        ladle::write_torch(bin, tensors);
    };
    const float one = 1.0F;
    rewrite([](auto& tensors) { tensors.pop_back(); });
    BOOST_CHECK_EXCEPTION(ladle::import_soup(bin), DataError, names("classifier.bias is missing"));
    rewrite([&](auto& tensors) { tensors.emplace_back("pooler", Tensor::from_floats({1}, &one)); });
    BOOST_CHECK_EXCEPTION(ladle::import_soup(bin), DataError, names("pooler is surplus"));
    rewrite([&](auto& tensors) { tensors.back().second = Tensor::from_floats({1}, &one); });
    BOOST_CHECK_EXCEPTION(ladle::import_soup(bin), DataError, names("expected [3]"));
    rewrite([&](auto& tensors) {
        const float scores[] = {0.0F, 0.5F};
        tensors.front().second = Tensor::from_floats({2}, scores);
    });
    BOOST_CHECK_EXCEPTION(ladle::import_soup(bin), DataError, names("expert_score_weight"));
    const Soup merged = ladle::merge_experts(soup);
    ladle::export_soup(merged, {SoupFormat::adamix, bin, false, false});
    auto tensors = ladle::read_torch(bin);
    tensors[1].second.bytes[0] ^= std::byte{1};
    ladle::write_torch(bin, tensors);
    BOOST_CHECK_EXCEPTION(ladle::import_soup(bin), DataError, names("copies"));

    ladle::write_safetensors(scratch.path("other"), {{"x", Tensor::from_floats({1}, &one)}}, {});
    BOOST_CHECK_EXCEPTION(ladle::import_soup(scratch.path("other")), DataError, names("no AdaMix experts"));
    ladle::export_soup(soup, {SoupFormat::safetensors, scratch.path("s"), false, false});
    std::string bytes = slurp(scratch.path("s"));
    bytes.back() = static_cast<char>(bytes.back() ^ 1);
    spill(scratch.path("s"), bytes);
    BOOST_CHECK_EXCEPTION(ladle::import_soup(scratch.path("s")), DataError, names("ladle.sha256"));
    BOOST_CHECK_EXCEPTION(ladle::verify_export(soup, {SoupFormat::safetensors, scratch.path("s"), false, false}),
                          DataError, names("ladle.sha256"));
    BOOST_CHECK_EXCEPTION(ladle::import_soup(scratch.directory()), DataError, names("neither adapter_config.json"));

    ladle::export_soup(merged, {SoupFormat::adapters, scratch.path("d"), false, false});
    ladle::export_soup(soup, {SoupFormat::adapters, scratch.path("e"), false, true});
    std::filesystem::copy(scratch.path("e/e0/pytorch_adapter.bin"), scratch.path("d/pytorch_adapter.bin"),
                          std::filesystem::copy_options::overwrite_existing);
    BOOST_CHECK_EXCEPTION(ladle::import_soup(scratch.path("d")), DataError, names("different tensors"));
}

BOOST_AUTO_TEST_CASE(one_soup_of_weight_one_is_itself_and_an_average_has_no_score) {
    const Scratch scratch;
    Soup soup = make_soup("bert", "adamix", 2, true);
    ladle::write_soup(scratch.path("a.h5"), soup);
    Soup same = ladle::average_soups({soup}, {1.0});
    ladle::write_soup(scratch.path("b.h5"), same);
    BOOST_TEST((slurp(scratch.path("a.h5")) == slurp(scratch.path("b.h5"))));
    const Soup average = ladle::average_soups({soup, soup});
    BOOST_TEST(std::isnan(average.score));
    BOOST_TEST(average.sources.size() == 2U);
    BOOST_TEST(ladle::tensor_digest(average) == ladle::tensor_digest(soup));
    check_round_trip(average, {SoupFormat::safetensors, "", false, false});
}

BOOST_AUTO_TEST_CASE(an_average_says_what_it_was_made_of_and_no_more) {
    Soup first = make_soup("bert", "adamix", 2, true);
    Soup second = first;
    first.step = second.step = 7;
    second.seed = 5;
    second.config = "a = 2\n";
    const Soup average = ladle::average_soups({first, second}, {0.25, 0.75});
    BOOST_TEST(average.weights == (std::vector<double>{0.25, 0.75}), boost::test_tools::per_element());
    BOOST_TEST(average.seed == 0U);
    BOOST_TEST(average.config.empty());
    BOOST_TEST(average.step == 7);
    BOOST_TEST(average.machine == "abacus");
    second.tensors.back().second = Tensor::from_floats({1}, std::vector<float>(1).data());
    BOOST_CHECK_EXCEPTION(ladle::average_soups({first, second}), DataError, names("classifier.bias"));
    second.tensors.pop_back();
    BOOST_CHECK_EXCEPTION(ladle::average_soups({first, second}), DataError, names("classifier.bias"));
    BOOST_CHECK_EXCEPTION(ladle::average_soups({second, first}), DataError, names("classifier.bias"));
}

BOOST_AUTO_TEST_CASE(soup_files_with_other_tensors_than_described_are_refused) {
    const Scratch scratch;
    const std::string path = scratch.path("s.h5");
    const auto refused = [&](const char* architecture, const char* name, const auto& change) {
        Soup soup = make_soup(architecture, "adamix", 2, true);
        change(soup);
        ladle::write_soup(path, soup);
        BOOST_CHECK_EXCEPTION(ladle::read_soup(path), DataError, names(name));
    };
    const float one = 1.0F;
    refused("bert", "/head/classifier.bias", [](Soup& soup) { soup.tensors.pop_back(); });
    refused("roberta", "/head/classifier.out_proj.bias",
            [&](Soup& soup) { soup.tensors.back().second = Tensor::from_floats({1}, &one); });
    refused("bert", "/head/classifier.bias", [](Soup& soup) {
        soup.tensors.back().second = {ladle::DType::i32, {3}, std::vector<std::byte>(12)};
    });
    refused("bert", "/head/classifier.dense.bias is surplus",
            [](Soup& soup) { add(soup, "classifier.dense.bias", {6}); });
    refused("bert", "/biases/bert.pooler.dense.bias is surplus",
            [](Soup& soup) { add(soup, "bert.pooler.dense.bias", {6}); });
    refused("bert", "/biases/bert.pooler.dense.bias", [](Soup& soup) {
        soup = make_soup("bert", "bias", 1, false);
        soup.tensors.emplace_back("bert.pooler.dense.bias", Tensor{ladle::DType::i32, {6}, std::vector<std::byte>(24)});
    });
    refused("bert", "activation", [](Soup& soup) { soup.activation = "relu"; });
    refused("bert", "architecture is llama", [](Soup& soup) {
        soup = make_soup("bert", "head", 1, false);
        soup.architecture = "llama";
    });
}

BOOST_AUTO_TEST_CASE(reports_tell_what_differs) {
    const Scratch scratch;
    const auto path_of = [&](const char* name) { return scratch.path(name); };
    Soup soup = make_soup("bert", "adamix", 2, true);
    ladle::write_soup(path_of("a.h5"), soup);
    ladle::export_soup(soup, {SoupFormat::adamix, path_of("a.bin"), false, false});
    ladle::export_soup(soup, {SoupFormat::safetensors, path_of("a.st"), false, false});
    ladle::export_soup(ladle::merge_experts(soup), {SoupFormat::adapters, path_of("d"), false, false});
    const auto report = ladle::inspect_path(path_of("a.h5"));
    BOOST_TEST(report.kind == "ladle.soup 1.1");
    BOOST_TEST(report.digest == "content_sha256 " + soup.digest);
    BOOST_TEST(ladle::facts_text(report).find("tensors_sha256 = " + ladle::tensor_digest(soup)) != std::string::npos);
    BOOST_TEST(ladle::facts_text(report).find("provenance.config =\n    a = 1\n") != std::string::npos);
    BOOST_TEST(report.tensors.at("adapter/layer_01/down/weight").shape[0] == 2);
    BOOST_TEST(ladle::inspect_path(path_of("a.bin")).kind == "torch");
    BOOST_TEST(ladle::inspect_path(path_of("a.st")).kind == "safetensors");
    BOOST_TEST(ladle::inspect_path(path_of("d")).kind == "adapters directory");
    BOOST_TEST(ladle::differences(report, report).empty());

    std::vector<float> values = report.tensors.at("adapter/layer_00/down/weight").to_floats();
    values[8] += 0.5F;
    values[17] += 0.25F;
    soup.tensors[0].second = Tensor::from_floats({3, 6}, values.data());
    soup.task = "rte";
    ladle::write_soup(path_of("b.h5"), soup);
    const auto lines = ladle::differences(report, ladle::inspect_path(path_of("b.h5")));
    BOOST_TEST_REQUIRE(lines.size() == 2U);
    BOOST_TEST(lines[0] == "task.name: mnli | rte");
    BOOST_TEST(lines[1] ==
               "adapter/layer_00/down/weight: 2 of 36 values differ, first [0, 1, 2]: 0.0799999982 | 0.579999983; at "
               "most by 0.5");
    spill(path_of("escape"), "\x1b[2J");
    BOOST_CHECK_EXCEPTION(ladle::inspect_path(path_of("escape")), DataError,
                          names("not a kind of file that ladle inspects"));
}

BOOST_AUTO_TEST_CASE(reports_on_json_and_json_lines) {
    const Scratch scratch;
    spill(scratch.path("a.json"), "{\"b\": {\"a\": 0.5}, \"a\": [1, 2]}\n");
    const auto facts = ladle::inspect_path(scratch.path("a.json")).facts;
    BOOST_TEST_REQUIRE(facts.size() == 2U);
    BOOST_TEST(facts[0].first == "b.a");
    BOOST_TEST(facts[0].second == "0.5");
    BOOST_TEST(facts[1].second == "[1,2]");
    spill(scratch.path("a.jsonl"), "{\"kind\": \"step\", \"loss\": 2}\n{\"kind\": \"step\", \"loss\": 1}\n{\"ki");
    const ladle::FileReport report = ladle::inspect_path(scratch.path("a.jsonl"));
    BOOST_TEST_REQUIRE(report.tables.size() == 1U);
    const std::vector<std::vector<std::string>> rows = {{"step", "loss", "2", "2", "1", "1", "2"}};
    BOOST_TEST((report.tables[0].rows == rows));
    BOOST_TEST(report.facts.size() == 2U);
    BOOST_TEST(ladle::differences(report, report).empty());
}

BOOST_AUTO_TEST_CASE(verification_notices_another_soup) {
    const Scratch scratch;
    const Soup soup = make_soup("bert", "adamix", 2, true);
    const ladle::SoupExport target{SoupFormat::safetensors, scratch.path("s"), false, false};
    ladle::export_soup(soup, target);
    Soup other = soup;
    other.tensors[0].second.bytes[0] ^= std::byte{1};
    BOOST_CHECK_EXCEPTION(ladle::verify_export(other, target), ladle::CheckpointError, names("its tensors are"));
    other = soup;
    other.task = "rte";
    BOOST_CHECK_EXCEPTION(ladle::verify_export(other, target), ladle::CheckpointError, names("description"));
}

BOOST_AUTO_TEST_SUITE_END()

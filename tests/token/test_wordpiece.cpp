// WordPiece against the Python library's expected ids: awkward texts, pairs, every code point.
#define BOOST_TEST_MODULE token
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "ladle/core/json_file.hpp"
#include "ladle/core/utf8.hpp"
#include "ladle/text/pair.hpp"
#include "ladle/text/unicode.hpp"
#include "support/token_cases.hpp"

using namespace ladle;
using nlohmann::json;
using token_test::fs::path;

namespace {

std::string bytes_of_hex(const std::string& hex) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
        bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    }
    return bytes;
}

/// The tokenizer of nasty_<name>.json: the directory <name>, or <name>_vocab.txt beside it, or the committed
/// vocabulary.
std::unique_ptr<Tokenizer> tokenizer_for(const path& cases) {
    const std::string name = cases.stem().string().substr(std::string("nasty_").size());
    if (token_test::fs::is_directory(cases.parent_path() / name)) {
        return load_tokenizer((cases.parent_path() / name).string());
    }
    const path beside = cases.parent_path() / (name + "_vocab.txt");
    WordPieceOptions options;
    options.lower_case = name.find("uncased") != std::string::npos || name.find("cased") == std::string::npos;
    options.strip_accents = options.lower_case;
    return token_test::word_piece_of(
        token_test::fs::exists(beside) ? beside : token_test::fixture_dir() / "bert_uncased_vocab.txt", options);
}

void check_case(const Tokenizer& tokenizer, const json& item) {
    const std::vector<std::int32_t> first = tokenizer.encode(bytes_of_hex(item["utf8_hex"].get<std::string>()));
    const bool is_pair = !item["pair"].is_null();
    std::vector<std::int32_t> second;
    if (is_pair) {
        second = tokenizer.encode(item["pair"].get<std::string>());
    }
    std::vector<std::int32_t> ids;
    const BuiltInput built =
        build_input(tokenizer.facts(), first, is_pair ? &second : nullptr, item["max_length"].get<int>(), ids);
    std::vector<int> types(ids.size(), 0);
    for (std::size_t i = built.sep_pos; built.sep_pos > 0 && i < ids.size(); ++i) {
        types[i] = 1;
    }
    BOOST_TEST_CONTEXT("case " << item["id"] << ": " << item["note"]) {
        BOOST_TEST(ids == item["input_ids"].get<std::vector<std::int32_t>>(), boost::test_tools::per_element());
        if (item.contains("token_type_ids") && tokenizer.facts().family == "bert") {
            BOOST_TEST(types == item["token_type_ids"].get<std::vector<int>>(), boost::test_tools::per_element());
        }
    }
}

void check_file(const path& file) {
    BOOST_TEST_MESSAGE("cases of " << file);
    const std::unique_ptr<Tokenizer> tokenizer = tokenizer_for(file);
    const json cases = read_json_file(file.string());
    for (const json& item : cases["cases"]) {
        check_case(*tokenizer, item);
    }
    BOOST_TEST(!cases["cases"].empty());
    if (cases.contains("truncation_grid")) {
        for (const json& row : cases["truncation_grid"]) {
            const auto number = [&row](std::size_t column) { return row[column].get<std::size_t>(); };
            const KeptTokens kept = truncate_longest_first(number(0), number(1), number(2) - 3);
            BOOST_TEST((kept.first == number(3) && kept.second == number(4)), "truncation " << row.dump());
        }
    }
}

/// Code points of a list of inclusive ranges.
std::set<char32_t> points_of(const json& ranges) {
    std::set<char32_t> points;
    for (const json& range : ranges) {
        for (auto c = range[0].get<char32_t>(); c <= range[1].get<char32_t>(); ++c) {
            points.insert(c);
        }
    }
    return points;
}

}  // namespace

BOOST_AUTO_TEST_CASE(awkward_texts_give_the_librarys_ids) {
    check_file(token_test::fixture_dir() / "nasty_bert_uncased.json");
}

BOOST_AUTO_TEST_CASE(cases_named_by_the_environment_give_the_librarys_ids) {
    int files = 0;
    for (const path& dir : token_test::extra_dirs()) {
        for (const auto& entry : token_test::fs::directory_iterator(dir)) {
            const std::string name = entry.path().filename().string();
            if (name.starts_with("nasty_") && name.ends_with(".json")) {
                check_file(entry.path());
                ++files;
            } else if (name.starts_with("checksums") && name.ends_with(".json")) {
                ++files;  // read by the tests on GLUE text
            }
        }
    }
    BOOST_TEST_MESSAGE("LADLE_TOKENS added " << files << " files");
    BOOST_TEST((token_test::extra_dirs().empty() || files > 0),
               "LADLE_TOKENS holds neither nasty_*.json nor checksums*.json");
}

BOOST_AUTO_TEST_CASE(every_code_point_has_the_measured_class) {
    const json measured = read_json_file((token_test::fixture_dir() / "bert_char_classes.json").string());
    const std::set<char32_t> removed = points_of(measured["removed"]);
    const std::set<char32_t> punctuation = points_of(measured["split_as_punctuation"]);
    const std::set<char32_t> cjk = points_of(measured["padded_with_spaces_cjk"]);
    const auto spaces = measured["becomes_space"].get<std::set<char32_t>>();
    std::size_t wrong = 0;
    for (char32_t c = 0; c <= 0x10FFFF; ++c) {
        if (c >= 0xD800 && c <= 0xDFFF) {
            continue;
        }
        const std::uint16_t bits = char_classes()[c];
        wrong += ((bits & (kCharRemoved | kCharMark)) != 0) != removed.contains(c);
        wrong += ((bits & kCharPunctuation) != 0) != punctuation.contains(c);
        wrong += ((bits & kCharCjk) != 0) != cjk.contains(c);
        wrong += ((bits & kCharSpace) != 0) != spaces.contains(c);
    }
    BOOST_TEST(wrong == 0U);
}

BOOST_AUTO_TEST_CASE(every_mapped_code_point_has_the_measured_image) {
    const json measured = read_json_file((token_test::fixture_dir() / "bert_char_classes.json").string());
    const json& mapped = measured["mapped"];
    const std::set<char32_t> removed = points_of(measured["removed"]);
    const auto spaces = measured["becomes_space"].get<std::set<char32_t>>();
    std::size_t wrong = 0;
    for (char32_t c = 0; c <= 0x10FFFF; ++c) {
        const bool hangul = c >= 0xAC00 && c <= 0xD7A3;
        if ((c >= 0xD800 && c <= 0xDFFF) || hangul || removed.contains(c) || spaces.contains(c)) {
            continue;
        }
        std::vector<std::string> image;
        const CharImage base = base_form(c);
        for (int i = 0; i < base.count; ++i) {
            const CharImage lower = lower_form(base.values[i]);
            for (int k = 0; k < lower.count; ++k) {
                image.push_back(fmt::format("{:04X}", static_cast<std::uint32_t>(lower.values[k])));
            }
        }
        const std::string key = fmt::format("{:04X}", static_cast<std::uint32_t>(c));
        wrong += image != (mapped.contains(key) ? mapped[key].get<std::vector<std::string>>() : std::vector{key});
    }
    BOOST_TEST(wrong == 0U);
}

BOOST_AUTO_TEST_CASE(surviving_marks_take_canonical_order) {
    const path dir = token_test::fresh_dir("marks");
    const std::string late = "\xF0\x9D\x85\xAD";  // U+1D16D, class 226
    const std::string early = "\xE3\x80\xAE";     // U+302E, class 224
    token_test::write_text(dir / "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na" + early + late + "\na\n");
    const auto tokenizer = token_test::word_piece_of(dir / "vocab.txt");
    BOOST_TEST(tokenizer->encode("a" + early + late) == std::vector<std::int32_t>{5});
    BOOST_TEST(tokenizer->encode("A" + late + early) == std::vector<std::int32_t>{5});
}

BOOST_AUTO_TEST_CASE(hangul_syllables_decompose_arithmetically) {
    const CharImage open = base_form(0xAC00);
    BOOST_TEST(open.count == 2);
    BOOST_TEST((open.values[0] == 0x1100 && open.values[1] == 0x1161));
    const CharImage closed = base_form(0xD55C);
    BOOST_TEST(closed.count == 3);
    BOOST_TEST((closed.values[0] == 0x1112 && closed.values[1] == 0x1161 && closed.values[2] == 0x11AB));
}

BOOST_AUTO_TEST_CASE(cased_text_keeps_case_and_accents) {
    WordPieceOptions cased;
    cased.lower_case = false;
    cased.strip_accents = false;
    const auto tokenizer = token_test::word_piece_of(token_test::fixture_dir() / "bert_uncased_vocab.txt", cased);
    const auto uncased = token_test::word_piece_of(token_test::fixture_dir() / "bert_uncased_vocab.txt");
    BOOST_TEST(tokenizer->encode("The") == std::vector<std::int32_t>{tokenizer->facts().special.unk});
    BOOST_TEST(uncased->encode("The") == uncased->encode("the"));
    BOOST_TEST(tokenizer->encode("cafe\xCC\x81") != uncased->encode("cafe\xCC\x81"));
    BOOST_TEST(tokenizer->facts().digest != uncased->facts().digest);
}

BOOST_AUTO_TEST_CASE(malformed_utf8_is_found_where_it_is) {
    BOOST_TEST(find_invalid_utf8("plain \xC3\xA9 \xF0\x9F\x98\x80") == std::string::npos);
    BOOST_TEST(find_invalid_utf8("ab\xC0\x80") == 2U);        // overlong
    BOOST_TEST(find_invalid_utf8("a\xED\xA0\x80") == 1U);     // surrogate
    BOOST_TEST(find_invalid_utf8("\xF4\x90\x80\x80") == 0U);  // above U+10FFFF
    BOOST_TEST(find_invalid_utf8("abc\xE2\x82") == 3U);       // cut short
}

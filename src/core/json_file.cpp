// JSON through nlohmann's parser, with the checks it does not make by itself.
#include "ladle/core/json_file.hpp"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "ladle/core/error.hpp"
#include "ladle/core/read_file.hpp"

namespace ladle {
namespace {

using nlohmann::json;

constexpr std::size_t kMostBytes = std::size_t{64} << 20U;
constexpr int kDeepest = 64;

/// Looks for what the parser itself accepts: endless nesting, and a key that occurs twice in one object. A pass of its
/// own, because the parser's callbacks visit all members of an object again whenever one of them ends.
class Inspector : public nlohmann::json_sax<json> {
public:
    std::string complaint;

    bool start_object(std::size_t) override {
        keys_.emplace_back();
        return deepen();
    }
    bool end_object() override {
        keys_.pop_back();
        --depth_;
        return true;
    }
    bool start_array(std::size_t) override { return deepen(); }
    bool end_array() override {
        --depth_;
        return true;
    }
    bool key(std::string& name) override {
        if (!keys_.back().insert(name).second) {
            complaint = "the key \"" + name + "\" occurs twice in one object";
        }
        return complaint.empty();
    }
    bool null() override { return true; }
    bool boolean(bool) override { return true; }
    bool number_integer(std::int64_t) override { return true; }
    bool number_unsigned(std::uint64_t) override { return true; }
    bool number_float(double, const std::string&) override { return true; }
    bool string(std::string&) override { return true; }
    bool binary(json::binary_t&) override { return true; }
    bool parse_error(std::size_t, const std::string&, const json::exception&) override { return false; }

private:
    bool deepen() {
        if (++depth_ > kDeepest) {
            complaint = "it is nested deeper than " + std::to_string(kDeepest) + " levels";
        }
        return complaint.empty();
    }

    std::vector<std::set<std::string>> keys_;
    int depth_ = 0;
};

[[noreturn]] void refuse(const std::string& label, const std::string& why) {
    throw DataError("cannot read " + label, why, "take the file that was published with the model or data");
}

}  // namespace

std::string try_parse_json(std::string_view text, json& value) {
    // Parsed JSON takes up to twenty times its text.
    if (text.size() > kMostBytes) {
        return "it has " + std::to_string(text.size()) + " bytes, more than " + std::to_string(kMostBytes);
    }
    Inspector inspector;
    json::sax_parse(text.begin(), text.end(), &inspector);
    if (!inspector.complaint.empty()) {
        return inspector.complaint;
    }
    try {
        value = json::parse(text.begin(), text.end());
    } catch (const json::exception& error) {
        return std::string("not valid JSON: ") + error.what();
    }
    return "";
}

std::string try_parse_json(std::string_view text, nlohmann::ordered_json& value) {
    // Objects that keep their order compare each new key with all before it.
    constexpr std::size_t kMostOrdered = std::size_t{32} << 10U;
    json sorted;
    std::string complaint = try_parse_json(text, sorted);
    if (complaint.empty()) {
        value = text.size() <= kMostOrdered ? nlohmann::ordered_json::parse(text) : nlohmann::ordered_json(sorted);
    }
    return complaint;
}

json parse_json(std::string_view text, const std::string& label) {
    json value;
    if (const std::string complaint = try_parse_json(text, value); !complaint.empty()) {
        refuse(label, complaint);
    }
    return value;
}

json read_json_file(const std::string& path) {
    return parse_json(read_file(path, kMostBytes), path);
}

}  // namespace ladle

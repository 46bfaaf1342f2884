// Reports on files, and what differs between two of them.
#include "ladle/io/inspect.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

#include "binary_file.hpp"
#include "export_parts.hpp"
#include "inspect_text.hpp"
#include "ladle/core/digest.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/json_file.hpp"
#include "ladle/core/name_values.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/hdf5.hpp"
#include "ladle/io/pretrained.hpp"
#include "ladle/io/pytorch.hpp"
#include "ladle/io/safetensors.hpp"

namespace ladle {
namespace {

constexpr const char* kContentDigest = "content_sha256";
constexpr const char* kTensorDigest = "tensors_sha256";

std::string attribute_text(const Hdf5Attribute& value) {
    if (value.type == "string") {
        return fmt::format("{}", fmt::join(value.texts, value.shape.empty() ? "" : ", "));
    }
    if (value.type == dtype_name(DType::boolean) && value.integers.size() == 1) {
        return value.integers[0] != 0 ? "true" : "false";
    }
    return value.integers.empty() ? fmt::format("{}", fmt::join(value.reals, ", "))
                                  : fmt::format("{}", fmt::join(value.integers, ", "));
}

void add_object(const Hdf5Reader& file, const std::string& path, FileReport& report) {
    const std::string shown = path == "/" ? "" : path.substr(1);
    for (const auto& [name, value] : file.attributes(path)) {
        if (name != kContentDigest) {
            report.facts.emplace_back(shown.empty() ? name : shown + "." + name, attribute_text(value));
        }
    }
    if (file.is_group(path)) {
        for (const std::string& member : file.members(path)) {
            add_object(file, (path == "/" ? "/" : path + "/") + member, report);
        }
    } else if (file.is_text(path)) {
        report.texts.emplace(shown, file.strings(path));
    } else if (file.is_number(path)) {
        report.tensors.emplace(shown, file.tensor(path));
    }
}

FileReport inspect_hdf5(const std::string& path) {
    // Ladle writes the 1.10 format (superblock 3) alone; such a file must pass all checks before the library parses it.
    // Golden fixtures and most files of other programs have the older one and are shown without verification.
    constexpr std::size_t kSuperblockVersion = 8;
    const BinaryFile bytes(path);
    const bool own = bytes.size() <= kSuperblockVersion || bytes.read(kSuperblockVersion, 1)[0] == std::byte{3};
    const Hdf5Reader file = Hdf5Reader::isolated(path, own ? Hdf5Origin::ladle : Hdf5Origin::foreign);
    FileReport report;
    report.kind = "HDF5 of another program";
    report.digest = "sha256 " + file_digest(path);
    if (own) {
        const auto version = file.integers("/", "schema_version");
        report.kind = fmt::format("{} {}", file.schema(), fmt::join(version, "."));
        report.digest = std::string(kContentDigest) + " " + file.digest();
    }
    add_object(file, "/", report);
    if (file.schema() == "ladle.soup") {
        report.facts.emplace_back(kTensorDigest, tensor_digest(soup_of(file)));
    }
    return report;
}

/// What a soup in a foreign format says beyond its tensors; nothing if the tensors are no soup.
void add_soup_facts(const std::string& path, FileReport& report) {
    try {
        const Soup soup = import_soup(path);
        add_json(describe_soup(soup), "soup", report);
        report.facts.emplace_back(kTensorDigest, tensor_digest(soup));
    } catch (const DataError&) {
        report.facts.emplace_back("soup", "no soup that ladle converts");
    }
}

FileReport inspect_safetensors(const std::string& path) {
    SafetensorsFile file = read_safetensors(path);
    FileReport report;
    report.kind = "safetensors";
    report.digest = "sha256 " + file_digest(path);
    bool has_experts = false;
    for (const auto& [key, value] : file.metadata) {
        nlohmann::ordered_json description;
        if (key == "ladle.adapter" && try_parse_json(value, description).empty()) {
            add_json(description, "experts", report);
            has_experts = true;
        } else if (key != "ladle.soup") {
            report.facts.emplace_back(key, value);
        }
    }
    report.tensors = std::move(file.tensors);
    if (!has_experts) {
        add_soup_facts(path, report);
    }
    return report;
}

FileReport inspect_torch(const std::string& path) {
    FileReport report;
    report.kind = "torch";
    report.digest = "sha256 " + file_digest(path);
    for (auto& [name, tensor] : read_torch(path)) {
        report.tensors.emplace(name, std::move(tensor));
    }
    add_soup_facts(path, report);
    return report;
}

FileReport inspect_directory(const std::string& path, const char* kind) {
    const Soup soup = import_soup(path);
    FileReport report;
    report.kind = kind;
    report.digest = std::string(kTensorDigest) + " " + tensor_digest(soup);
    add_json(describe_soup(soup), "soup", report);
    for (const auto& [name, tensor] : soup.tensors) {
        report.tensors.emplace(name, tensor);
    }
    return report;
}

FileReport inspect_model(const std::string& directory) {
    FileReport report;
    const PretrainedWeights weights = open_weights(directory);
    report.kind = "Hugging Face model directory";
    report.digest = "sha256 of the weights " + weights.digest;
    report.tensors = load_tensors(weights.tensors);
    add_json(read_json_file(directory + "/config.json"), "", report);
    return report;
}

/// Such a file starts with the length of its header in eight bytes, the last of them zero, and a JSON object.
bool starts_like_safetensors(const std::string& path) {
    const BinaryFile file(path);
    const std::string start = file.read_text(0, std::min<std::size_t>(9, file.size()));
    return start.size() == 9 && start[7] == '\0' && start[8] == '{';
}

std::string describe(const Tensor& tensor) {
    return dtype_name(tensor.dtype) + " " + shape_text(tensor.shape);
}

bool is_real(DType dtype) {
    return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16 || dtype == DType::f64;
}

/// One element in words: enough digits of a real number to tell neighbours apart, else its bytes from the last to the
/// first, so that integers read as hexadecimal numbers.
std::string element_text(const Tensor& tensor, std::size_t index) {
    const std::size_t bytes = dtype_bytes(tensor.dtype);
    if (is_real(tensor.dtype)) {
        Tensor one{tensor.dtype, {}, {}};
        const auto begin = tensor.bytes.begin() + static_cast<std::ptrdiff_t>(index * bytes);
        one.bytes.assign(begin, begin + static_cast<std::ptrdiff_t>(bytes));
        if (tensor.dtype == DType::f64) {
            double value = 0;
            std::memcpy(&value, one.bytes.data(), sizeof(value));
            return fmt::format("{:.17g}", value);
        }
        return fmt::format("{:.9g}", one.to_floats()[0]);
    }
    std::string text = "0x";
    for (std::size_t i = bytes; i > 0; --i) {
        text += fmt::format("{:02x}", static_cast<unsigned>(tensor.bytes[index * bytes + i - 1]));
    }
    return text;
}

/// Row-major index as "[i, j]".
std::string index_text(const Shape& shape, std::size_t index) {
    Shape at(shape.size());
    for (std::size_t d = shape.size(); d > 0; --d) {
        const auto extent = static_cast<std::size_t>(shape[d - 1]);
        at[d - 1] = static_cast<std::int64_t>(index % extent);
        index /= extent;
    }
    return shape_text(at);
}

std::string compare_tensors(const std::string& name, const Tensor& a, const Tensor& b) {
    if (a.dtype != b.dtype || a.shape != b.shape) {
        return fmt::format("{}: {} | {}", name, describe(a), describe(b));
    }
    const std::size_t bytes = dtype_bytes(a.dtype);
    const std::size_t count = a.elements();
    std::size_t first = count;
    std::size_t different = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if (std::memcmp(a.bytes.data() + i * bytes, b.bytes.data() + i * bytes, bytes) != 0) {
            first = std::min(first, i);
            ++different;
        }
    }
    std::string line = fmt::format("{}: {} of {} values differ, first {}: {} | {}", name, different, count,
                                   index_text(a.shape, first), element_text(a, first), element_text(b, first));
    if (is_real(a.dtype)) {
        const std::vector<float> left = a.to_floats();
        const std::vector<float> right = b.to_floats();
        float largest = 0;
        for (std::size_t i = 0; i < count; ++i) {
            largest = std::fmax(largest, std::fabs(left[i] - right[i]));
        }
        line += fmt::format("; at most by {:g}", largest);
    }
    return line;
}

/// A fact of several lines (an identity) is compared line by line.
std::string compare_facts(const std::string& key, const std::string& left, const std::string& right) {
    if (left.find('\n') == std::string::npos && right.find('\n') == std::string::npos) {
        return fmt::format("{}: {} | {}", key, left, right);
    }
    std::string text;
    for (const auto& [name, first, second] : value_differences(left, right)) {
        text += fmt::format("{}{}: {}: {} | {}", text.empty() ? "" : "\n", key, name, first, second);
    }
    return text;
}

/// A row of a table as a fact: its words are the name, its numbers the value.
std::pair<std::string, std::string> row_fact(const ReportTable& table, const std::vector<std::string>& row) {
    std::string name;
    std::string value;
    for (std::size_t c = 0; c < row.size(); ++c) {
        std::string& text = table.columns[c].is_number ? value : name;
        text += (text.empty() ? "" : ", ") + row[c];
    }
    return {name, value};
}

/// Walks two maps in key order; `compare` gives a line for values of one key, or nothing.
template <class Map, class Compare>
void compare_maps(const Map& a, const Map& b, std::vector<std::string>& lines, const Compare& compare) {
    for (const auto& [key, value] : a) {
        const auto other = b.find(key);
        if (other == b.end()) {
            lines.push_back(key + ": only in the first");
        } else if (const std::optional<std::string> line = compare(key, value, other->second)) {
            lines.push_back(*line);
        }
    }
    for (const auto& [key, value] : b) {
        if (!a.contains(key)) {
            lines.push_back(key + ": only in the second");
        }
    }
}

}  // namespace

FileReport inspect_path(const std::string& path) {
    if (directory_exists(path) && file_exists(path + "/config.json")) {
        return inspect_model(path);
    }
    const SoupFormat format = detect_soup_format(path);
    if (format == SoupFormat::safetensors && !starts_like_safetensors(path)) {
        return inspect_text(path);
    }
    switch (format) {
        case SoupFormat::soup:
            return inspect_hdf5(path);
        case SoupFormat::adamix:
            return inspect_torch(path);
        case SoupFormat::adapters:
            return inspect_directory(path, file_exists(path + "/adapter_config.json")
                                               ? "adapters directory"
                                               : "adapters directories of experts");
        case SoupFormat::peft:
            return inspect_directory(path, "PEFT directory");
        case SoupFormat::safetensors:
        case SoupFormat::model:
            break;  // a model directory was told by its config.json
    }
    return inspect_safetensors(path);
}

std::string facts_text(const FileReport& report) {
    std::string text;
    for (const auto& [name, value] : report.facts) {
        const bool long_text = value.find('\n') != std::string::npos;
        text += printable(name) + (long_text ? " =\n" : " = ");
        for (std::size_t begin = 0; begin < value.size();) {
            const std::size_t end = std::min(value.find('\n', begin), value.size());
            text += (long_text ? "    " : "") + printable(value.substr(begin, end - begin)) + (long_text ? "\n" : "");
            begin = end + 1;
        }
        text += long_text ? "" : "\n";
    }
    return text;
}

std::string short_digest(const Tensor& tensor) {
    return Digest().add(tensor.bytes.data(), tensor.bytes.size()).finish().substr(0, 16);
}

std::vector<std::string> differences(const FileReport& a, const FileReport& b) {
    using Line = std::optional<std::string>;
    std::vector<std::string> lines;
    if (a.kind != b.kind) {
        lines.push_back(fmt::format("kind: {} | {}", a.kind, b.kind));
    }
    const auto facts_of = [](const FileReport& report) {
        std::map<std::string, std::string> facts(report.facts.begin(), report.facts.end());
        facts.erase(kTensorDigest);
        for (const ReportTable& table : report.tables) {
            for (const std::vector<std::string>& row : table.rows) {
                facts.insert(row_fact(table, row));
            }
        }
        return facts;
    };
    compare_maps(facts_of(a), facts_of(b), lines, [](const auto& key, const auto& left, const auto& right) {
        return left == right ? Line() : compare_facts(key, left, right);
    });
    compare_maps(a.tensors, b.tensors, lines, [](const auto& key, const auto& left, const auto& right) {
        const bool same = left.dtype == right.dtype && left.shape == right.shape && left.bytes == right.bytes;
        return same ? Line() : compare_tensors(key, left, right);
    });
    compare_maps(a.texts, b.texts, lines, [](const auto& key, const auto& left, const auto& right) {
        return left == right ? Line() : fmt::format("{}: texts differ", key);
    });
    return lines;
}

}  // namespace ladle

// Reader of HDF5 files: everything about the structure is learnt and checked once, in the constructor.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "hdf5_tree.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/hdf5.hpp"
#include "ladle/io/run_limited.hpp"

namespace ladle {
namespace {

using hdf5_tree::Handle;
using hdf5_tree::Object;
using hdf5_tree::Tree;

[[noreturn]] void fail(const std::string& path, const std::string& why,
                       const std::string& fix = "write the file again or use another one") {
    throw DataError("cannot read " + path, why, fix);
}

/// Checks signature and superblock version before the library parses anything: only the 1.10 format (superblock 3)
/// protects its metadata by checksums.
void check_superblock(const std::string& path, Hdf5Origin origin) {
    constexpr std::array<char, 8> kSignature = {'\x89', 'H', 'D', 'F', '\r', '\n', '\x1a', '\n'};
    std::array<char, 9> start{};
    if (directory_exists(path)) {
        fail(path, "it is a directory", "name a file");
    }
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        fail(path, std::strerror(errno), "check the path and its permissions");
    }
    file.read(start.data(), start.size());
    if (file.gcount() != start.size() || std::memcmp(start.data(), kSignature.data(), kSignature.size()) != 0) {
        fail(path, "it is not an HDF5 file");
    }
    if (origin == Hdf5Origin::ladle && start[8] != 3) {
        fail(path, "it is an HDF5 file, but not in the 1.10 format that ladle writes", "use a file written by ladle");
    }
}

void check_seal(const std::string& path) {
    constexpr std::size_t kMaxFileBytes = std::size_t{1} << 36U;
    const std::string bytes = read_file(path, kMaxFileBytes);
    const std::size_t content = bytes.size() - std::min(bytes.size(), hdf5_tree::kSealBytes);
    if (hdf5_tree::seal(std::string_view(bytes).substr(0, content)) != std::string_view(bytes).substr(content)) {
        fail(path, "its bytes do not match the checksum at its end: the file is truncated, damaged or was edited",
             "restore the file from its source or write it again");
    }
}

Handle open_file(const std::string& path) {
    hdf5_tree::quiet_library();
    const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    // Reading needs no lock, and locks fail on some network file systems.
    H5Pset_file_locking(access.id(), false, true);
    Handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.id()), H5Fclose);
    if (!file.valid()) {
        fail(path, hdf5_tree::error_text());
    }
    return file;
}

}  // namespace

struct Hdf5Reader::State {
    std::string path;
    std::string digest;
    Handle file;
    Tree tree;

    const Object& object(const std::string& name) const {
        const auto found = tree.find(name);
        if (found == tree.end()) {
            fail(path, name + " is missing");
        }
        return found->second;
    }

    const Hdf5Attribute& attribute(const std::string& name, const std::string& attribute_name) const {
        const auto& attributes = object(name).attributes;
        const auto found = attributes.find(attribute_name);
        if (found == attributes.end()) {
            fail(path, "attribute " + attribute_name + " of " + name + " is missing");
        }
        return found->second;
    }

    template <class T>
    T single(const std::string& name, const std::string& attribute_name, const std::vector<T> Hdf5Attribute::*values,
             const char* expected) const {
        const Hdf5Attribute& value = attribute(name, attribute_name);
        if ((value.*values).size() != 1) {
            fail(path, "attribute " + attribute_name + " of " + name + " is not " + expected);
        }
        return (value.*values)[0];
    }

    template <class T>
    std::vector<T> list(const std::string& name, const std::string& attribute_name,
                        const std::vector<T> Hdf5Attribute::*values, const char* expected) const {
        const Hdf5Attribute& value = attribute(name, attribute_name);
        if ((value.*values).size() != shape_elements(value.shape)) {
            fail(path, "attribute " + attribute_name + " of " + name + " is not a list of " + expected);
        }
        return value.*values;
    }

    const Object& numbers(const std::string& name) const {
        const Object& found = object(name);
        if (!found.dtype) {
            fail(path, name + " is not a data set of numbers");
        }
        return found;
    }

    std::vector<std::byte> bytes_of(const std::string& name, const Object& found) const {
        return file.valid() ? hdf5_tree::read_numbers(file.id(), path, name, found) : found.numbers;
    }

    template <class T>
    std::vector<T> column(const std::string& name, DType dtype) const {
        const Object& found = numbers(name);
        if (*found.dtype != dtype || found.shape.size() != 1) {
            fail(path, name + " is " + dtype_name(*found.dtype) + " " + shape_text(found.shape) +
                           ", expected one dimension of " + dtype_name(dtype));
        }
        const auto bytes = bytes_of(name, found);
        std::vector<T> values(bytes.size() / sizeof(T));
        if (!values.empty()) {
            std::memcpy(values.data(), bytes.data(), bytes.size());
        }
        return values;
    }
};

Hdf5Reader::Hdf5Reader(const std::string& path, Hdf5Origin origin) : state_(std::make_unique<State>()) {
    check_superblock(path, origin);
    if (origin == Hdf5Origin::ladle) {
        check_seal(path);
    }
    state_->path = path;
    state_->file = open_file(path);
    state_->tree = hdf5_tree::scan(state_->file.id(), path, origin == Hdf5Origin::ladle);
    if (origin == Hdf5Origin::ladle) {
        const std::string stated = text("/", hdf5_tree::kDigestName);
        state_->digest = hdf5_tree::content_digest(state_->file.id(), path, state_->tree);
        if (state_->digest != stated) {
            fail(path, "its contents do not match its content_sha256: the file is damaged or was edited",
                 "restore the file from its source or write it again");
        }
    }
}

Hdf5Reader::Hdf5Reader(std::unique_ptr<State> state) : state_(std::move(state)) {}

Hdf5Reader Hdf5Reader::isolated(const std::string& path, Hdf5Origin origin) {
    std::error_code unreadable;
    const std::uintmax_t size = std::filesystem::file_size(path, unreadable);
    const std::size_t bytes = unreadable ? 0 : size;
    // Room for the values in the library, packed and on their way; time for a slow disk.
    constexpr std::size_t kBytesPerSecond = std::size_t{8} << 20U;
    ChildLimits limits;
    limits.memory_bytes += 8 * bytes;
    limits.cpu_seconds += static_cast<unsigned int>(bytes / kBytesPerSecond);
    limits.wall_seconds += 4 * limits.cpu_seconds;
    limits.result_bytes += 4 * bytes;
    const std::string packed = run_limited("cannot read " + path, limits, [&] {
        Hdf5Reader reader(path, origin);
        return hdf5_tree::pack(reader.state_->file.id(), path, reader.state_->tree, reader.state_->digest);
    });
    return unpacked(packed, path);
}

Hdf5Reader Hdf5Reader::unpacked(std::string_view packed, const std::string& path) {
    auto state = std::make_unique<State>();
    state->path = path;
    state->tree = hdf5_tree::unpack(packed, path, state->digest);
    return Hdf5Reader(std::move(state));
}

Hdf5Reader::~Hdf5Reader() = default;
Hdf5Reader::Hdf5Reader(Hdf5Reader&&) noexcept = default;
Hdf5Reader& Hdf5Reader::operator=(Hdf5Reader&&) noexcept = default;

const std::string& Hdf5Reader::path() const {
    return state_->path;
}

const std::string& Hdf5Reader::digest() const {
    return state_->digest;
}

std::string Hdf5Reader::schema() const {
    return has_attribute("/", "schema") ? text("/", "schema") : "";
}

void Hdf5Reader::require_schema(const std::string& schema, int major) const {
    const std::string found = this->schema();
    if (found != schema) {
        fail(path(), "it holds " + (found.empty() ? std::string("no schema name") : found) + ", expected " + schema,
             "name a file of the right kind (ladle inspect shows what a file is)");
    }
    const auto version = integers("/", "schema_version");
    if (version.size() != 2 || version[0] != major) {
        const std::string shown = version.empty() ? "?" : std::to_string(version[0]);
        fail(path(), schema + " version " + shown + " was found; this program reads version " + std::to_string(major),
             "use the release of ladle that wrote the file");
    }
}

bool Hdf5Reader::has(const std::string& object) const {
    return state_->tree.contains(object);
}

bool Hdf5Reader::is_group(const std::string& object) const {
    return state_->object(object).is_group;
}

std::vector<std::string> Hdf5Reader::members(const std::string& group) const {
    if (!is_group(group)) {
        fail(path(), group + " is not a group");
    }
    const std::string prefix = group == "/" ? "/" : group + "/";
    std::vector<std::string> names;
    for (auto at = state_->tree.upper_bound(prefix); at != state_->tree.end() && at->first.starts_with(prefix); ++at) {
        const std::string name = at->first.substr(prefix.size());
        if (name.find('/') == std::string::npos) {
            names.push_back(name);
        }
    }
    return names;
}

bool Hdf5Reader::has_attribute(const std::string& object, const std::string& name) const {
    return has(object) && state_->object(object).attributes.contains(name);
}

const std::map<std::string, Hdf5Attribute>& Hdf5Reader::attributes(const std::string& object) const {
    return state_->object(object).attributes;
}

std::string Hdf5Reader::text(const std::string& object, const std::string& name) const {
    return state_->single(object, name, &Hdf5Attribute::texts, "a text");
}

std::vector<std::string> Hdf5Reader::texts(const std::string& object, const std::string& name) const {
    return state_->list(object, name, &Hdf5Attribute::texts, "texts");
}

std::int64_t Hdf5Reader::integer(const std::string& object, const std::string& name) const {
    return state_->single(object, name, &Hdf5Attribute::integers, "an integer");
}

std::vector<std::int64_t> Hdf5Reader::integers(const std::string& object, const std::string& name) const {
    return state_->list(object, name, &Hdf5Attribute::integers, "integers");
}

double Hdf5Reader::real(const std::string& object, const std::string& name) const {
    return state_->single(object, name, &Hdf5Attribute::reals, "a real number");
}

std::vector<double> Hdf5Reader::reals(const std::string& object, const std::string& name) const {
    return state_->list(object, name, &Hdf5Attribute::reals, "real numbers");
}

bool Hdf5Reader::flag(const std::string& object, const std::string& name) const {
    if (state_->attribute(object, name).type != dtype_name(DType::boolean)) {
        fail(path(), "attribute " + name + " of " + object + " is not a boolean");
    }
    return integer(object, name) != 0;
}

Shape Hdf5Reader::shape(const std::string& dataset) const {
    return state_->object(dataset).shape;
}

bool Hdf5Reader::is_text(const std::string& dataset) const {
    return state_->object(dataset).is_text;
}

bool Hdf5Reader::is_number(const std::string& dataset) const {
    return state_->object(dataset).dtype.has_value();
}

DType Hdf5Reader::dtype(const std::string& dataset) const {
    return *state_->numbers(dataset).dtype;
}

Tensor Hdf5Reader::tensor(const std::string& dataset) const {
    const Object& found = state_->numbers(dataset);
    return {*found.dtype, found.shape, state_->bytes_of(dataset, found)};
}

Tensor Hdf5Reader::tensor(const std::string& dataset, DType dtype, const Shape& shape) const {
    const Object& found = state_->numbers(dataset);
    if (*found.dtype != dtype || found.shape != shape) {
        fail(path(), dataset + " is " + dtype_name(*found.dtype) + " " + shape_text(found.shape) + ", expected " +
                         dtype_name(dtype) + " " + shape_text(shape));
    }
    return tensor(dataset);
}

std::vector<float> Hdf5Reader::floats(const std::string& dataset) const {
    return state_->column<float>(dataset, DType::f32);
}

std::vector<double> Hdf5Reader::doubles(const std::string& dataset) const {
    return state_->column<double>(dataset, DType::f64);
}

std::vector<std::int64_t> Hdf5Reader::int64s(const std::string& dataset) const {
    return state_->column<std::int64_t>(dataset, DType::i64);
}

std::vector<std::int32_t> Hdf5Reader::int32s(const std::string& dataset) const {
    return state_->column<std::int32_t>(dataset, DType::i32);
}

std::vector<std::uint16_t> Hdf5Reader::uint16s(const std::string& dataset) const {
    return state_->column<std::uint16_t>(dataset, DType::u16);
}

std::vector<std::string> Hdf5Reader::strings(const std::string& dataset) const {
    const Object& found = state_->object(dataset);
    if (!found.is_text || found.shape.size() > 1) {
        fail(path(), dataset + " is not a list of texts");
    }
    return state_->file.valid() ? hdf5_tree::read_strings(state_->file.id(), path(), dataset, found) : found.texts;
}

}  // namespace ladle

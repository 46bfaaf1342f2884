// What reader and writer of HDF5 files share: handles, error text, types, the scan of a file and its digest.
// Internal to src/io; the only header of the program that includes hdf5.h.
#pragma once

// Later releases of the library offer the 1.10 interface under this switch.
#define H5_USE_110_API
#include <hdf5.h>

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ladle/core/tensor.hpp"
#include "ladle/io/hdf5.hpp"

namespace ladle::hdf5_tree {

inline constexpr const char* kDigestName = "content_sha256";

/// Length of seal(): "\nladle-file-sha256 ", 64 digits, line end.
inline constexpr std::size_t kSealBytes = 84;
/// The line after the end of an HDF5 file of ladle: a digest of all bytes before it. It is checked before the library
/// parses anything, because variable-length strings lie in heaps without checksums, where one flipped bit can send
/// HDF5 1.10.8 into an endless loop. Other HDF5 programs ignore it.
std::string seal(std::string_view file_bytes);

/// Owns an HDF5 identifier. A failed close cannot be reported here; writers check their file's close themselves.
class Handle {
public:
    using Close = herr_t (*)(hid_t);
    Handle() = default;
    Handle(hid_t id, Close close) : id_(id), close_(close) {}
    Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
    Handle& operator=(Handle&& other) noexcept {
        std::swap(id_, other.id_);
        std::swap(close_, other.close_);
        return *this;
    }
    ~Handle() { release(); }
    hid_t id() const { return id_; }
    bool valid() const { return id_ >= 0; }
    /// False if the library reports an error.
    bool release() { return id_ < 0 || close_(std::exchange(id_, -1)) >= 0; }

private:
    hid_t id_ = -1;
    Close close_ = nullptr;
};

/// Switches off HDF5's printing of errors and its loading of plug-ins; cheap, called by every constructor.
void quiet_library();

/// HDF5's own words about the last failure: the innermost description.
std::string error_text();

/// Variable-length UTF-8 string.
Handle text_type();

/// Throws DataError naming the file and the object in it.
[[noreturn]] void refuse(const std::string& file_name, const std::string& object, const std::string& why);
/// The same with HDF5's text unless the condition holds.
void require(bool condition, const std::string& file_name, const std::string& object, const std::string& doing);

/// Reads strings of an attribute or data set through `read` (memory type, destination), and gives the library's memory
/// back.
template <class Read>
std::optional<std::vector<std::string>> take_strings(hid_t space, std::size_t count, const Read& read) {
    std::vector<char*> raw(count, nullptr);
    const Handle type = text_type();
    if (count > 0 && read(type.id(), raw.data()) < 0) {
        return std::nullopt;
    }
    std::vector<std::string> values;
    for (const char* value : raw) {
        values.emplace_back(value == nullptr ? "" : value);
    }
    if (count > 0) {
        H5Dvlen_reclaim(type.id(), space, H5P_DEFAULT, raw.data());
    }
    return values;
}

/// A group or data set as found in a file.
struct Object {
    bool is_group = false;
    bool is_text = false;        ///< data set of strings
    std::optional<DType> dtype;  ///< data set of numbers
    Shape shape;
    std::map<std::string, Hdf5Attribute> attributes;
    /// The values of a data set, kept only where a child process has read the file.
    std::vector<std::byte> numbers;
    std::vector<std::string> texts;
};

/// All objects of a file by absolute path; "/" is the root group.
using Tree = std::map<std::string, Object>;

/// Walks a whole file. `file_name` is for messages; `strict` refuses types ladle never writes.
/// Throws DataError on anything a plain file of arrays does not contain.
Tree scan(hid_t file, const std::string& file_name, bool strict);

/// Reads a whole data set of numbers or of strings.
std::vector<std::byte> read_numbers(hid_t file, const std::string& file_name, const std::string& path,
                                    const Object& object);
std::vector<std::string> read_strings(hid_t file, const std::string& file_name, const std::string& path,
                                      const Object& object);

/// A whole file with its digest as one text, and back. unpack throws DataError unless all sizes agree.
std::string pack(hid_t file, const std::string& file_name, Tree& tree, const std::string& digest);
Tree unpack(std::string_view text, const std::string& file_name, std::string& digest);

/// SHA-256 over path, kind, attributes and values of every object in path order, without the root's content_sha256.
std::string content_digest(hid_t file, const std::string& file_name, const Tree& tree);

/// Type of a number as stored in files and held in memory (both little endian).
Handle number_type(DType dtype);

}  // namespace ladle::hdf5_tree

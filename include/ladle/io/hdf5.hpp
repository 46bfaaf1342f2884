// HDF5 files as ladle writes and reads them: a thin checked layer over the C API, with a digest over all contents.
// Used by shards, checkpoints, soups and the golden fixtures.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "ladle/core/tensor.hpp"

namespace ladle {

/// Value of an attribute; only the vector that fits `type` is filled, row-major.
struct Hdf5Attribute {
    std::string type;  ///< "string", "bool", or a name of dtype_name()
    Shape shape;       ///< [] for a single value
    std::vector<std::string> texts;
    std::vector<std::int64_t> integers;  ///< of integers and bool
    std::vector<double> reals;           ///< of float32 and float64
};

/// Builds a file in memory and writes it atomically. Paths are absolute ("/examples/labels"); the parent group of an
/// attribute or data set must have been made with group(), "/" is there from the start. Equal calls give equal bytes:
/// no time stamps, fixed chunking, creation order tracked. Throws CheckpointError carrying HDF5's text.
class Hdf5Writer {
public:
    /// Sets the root attributes `schema` and `schema_version` (int32 [2]).
    Hdf5Writer(const std::string& schema, int major, int minor);
    ~Hdf5Writer();
    Hdf5Writer(const Hdf5Writer&) = delete;
    Hdf5Writer& operator=(const Hdf5Writer&) = delete;

    void group(const std::string& path);
    void text(const std::string& object, const std::string& name, const std::string& value);
    void texts(const std::string& object, const std::string& name, const std::vector<std::string>& values);
    void integer(const std::string& object, const std::string& name, std::int64_t value);
    void integers(const std::string& object, const std::string& name, const std::vector<std::int64_t>& values);
    void real(const std::string& object, const std::string& name, double value);
    void reals(const std::string& object, const std::string& name, const std::vector<double>& values);
    void flag(const std::string& object, const std::string& name, bool value);

    /// A data set of f32, f64, i64, i32, u16 or u8 numbers, row-major.
    void dataset(const std::string& path, DType dtype, const Shape& shape, const void* values);
    void dataset(const std::string& path, const std::vector<float>& values);
    void dataset(const std::string& path, const std::vector<double>& values);
    void dataset(const std::string& path, const std::vector<std::int64_t>& values);
    void dataset(const std::string& path, const std::vector<std::int32_t>& values);
    void dataset(const std::string& path, const std::vector<std::uint16_t>& values);
    void tensor(const std::string& path, const Tensor& tensor);
    void strings(const std::string& path, const std::vector<std::string>& values);

    /// Adds the root attribute `content_sha256` and, after the end of the HDF5 file, a line with a checksum of its
    /// bytes; writes the file and returns the content digest. Call once, last.
    std::string save(const std::string& path);

private:
    struct State;
    std::unique_ptr<State> state_;
};

/// Where a file comes from: ladle's own files must have the 1.10 format (whose metadata carry checksums), the checksum
/// line at their end and a digest that holds; other files (golden fixtures) are read without, and objects of unknown
/// type are skipped.
enum class Hdf5Origin { ladle, foreign };

/// A file opened read-only without locking. The constructor checks the whole structure (no links but plain ones, no
/// external or virtual storage, no filters but fletcher32, shuffle and deflate, no array larger than the file can hold)
/// and, for ladle's files, the digest. Everything throws DataError naming file and object.
class Hdf5Reader {
public:
    explicit Hdf5Reader(const std::string& path, Hdf5Origin origin = Hdf5Origin::ladle);
    /// The same for a file that may be hostile, whose checksums may be forged as well: a child process reads all of it
    /// (see run_limited.hpp), and this process never shows it to the HDF5 library.
    static Hdf5Reader isolated(const std::string& path, Hdf5Origin origin);
    /// What such a child process has sent; throws DataError unless all its sizes agree.
    static Hdf5Reader unpacked(std::string_view packed, const std::string& path);
    ~Hdf5Reader();
    Hdf5Reader(Hdf5Reader&&) noexcept;
    Hdf5Reader& operator=(Hdf5Reader&&) noexcept;

    const std::string& path() const;
    /// The verified content digest; empty for foreign files.
    const std::string& digest() const;
    /// Schema name of the file; empty if it has none.
    std::string schema() const;
    /// Requires this schema and this major version; a higher minor version is fine.
    void require_schema(const std::string& schema, int major) const;

    bool has(const std::string& object) const;
    bool is_group(const std::string& object) const;
    /// Names of the members of a group, sorted.
    std::vector<std::string> members(const std::string& group) const;

    bool has_attribute(const std::string& object, const std::string& name) const;
    const std::map<std::string, Hdf5Attribute>& attributes(const std::string& object) const;
    std::string text(const std::string& object, const std::string& name) const;
    std::vector<std::string> texts(const std::string& object, const std::string& name) const;
    std::int64_t integer(const std::string& object, const std::string& name) const;
    std::vector<std::int64_t> integers(const std::string& object, const std::string& name) const;
    double real(const std::string& object, const std::string& name) const;
    std::vector<double> reals(const std::string& object, const std::string& name) const;
    bool flag(const std::string& object, const std::string& name) const;

    Shape shape(const std::string& dataset) const;
    /// True for a data set of strings; its dtype() throws.
    bool is_text(const std::string& dataset) const;
    /// True for a data set of numbers.
    bool is_number(const std::string& dataset) const;
    DType dtype(const std::string& dataset) const;
    Tensor tensor(const std::string& dataset) const;
    /// The data set if it has this type and shape.
    Tensor tensor(const std::string& dataset, DType dtype, const Shape& shape) const;
    /// A one-dimensional data set of exactly this type.
    std::vector<float> floats(const std::string& dataset) const;
    std::vector<double> doubles(const std::string& dataset) const;
    std::vector<std::int64_t> int64s(const std::string& dataset) const;
    std::vector<std::int32_t> int32s(const std::string& dataset) const;
    std::vector<std::uint16_t> uint16s(const std::string& dataset) const;
    /// A data set of strings, [] or one-dimensional.
    std::vector<std::string> strings(const std::string& dataset) const;

private:
    struct State;
    explicit Hdf5Reader(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace ladle

// Writer of HDF5 files: built in memory by the library, digested, then written atomically as plain bytes.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "hdf5_tree.hpp"
#include "ladle/core/check.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "ladle/io/hdf5.hpp"

namespace ladle {
namespace {

using hdf5_tree::Handle;

constexpr std::size_t kChunkBytes = std::size_t{1} << 20U;

[[noreturn]] void fail(const std::string& object, const std::string& doing) {
    throw CheckpointError("cannot build an HDF5 file", object + ": " + doing + " failed: " + hdf5_tree::error_text(),
                          "check free memory");
}

void require(bool condition, const std::string& object, const char* doing) {
    if (!condition) {
        fail(object, doing);
    }
}

Handle make_space(const Shape& shape) {
    if (shape.empty()) {
        return {H5Screate(H5S_SCALAR), H5Sclose};
    }
    const std::vector<hsize_t> extents(shape.begin(), shape.end());
    return {H5Screate_simple(static_cast<int>(extents.size()), extents.data(), nullptr), H5Sclose};
}

/// Chunks of whole rows near 1 MiB with checksums; HDF5 offers neither for scalars, empty arrays and strings, which the
/// content digest alone protects.
Handle make_dataset_properties(const Shape& shape, hid_t type) {
    Handle properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
    H5Pset_obj_track_times(properties.id(), false);
    const std::size_t count = shape_elements(shape);
    if (shape.empty() || count == 0 || H5Tget_class(type) == H5T_STRING) {
        return properties;
    }
    std::vector<hsize_t> chunk(shape.begin(), shape.end());
    const std::size_t row_bytes = count / static_cast<std::size_t>(shape[0]) * H5Tget_size(type);
    chunk[0] = std::clamp<hsize_t>(kChunkBytes / row_bytes, 1, chunk[0]);
    H5Pset_chunk(properties.id(), static_cast<int>(chunk.size()), chunk.data());
    H5Pset_fletcher32(properties.id());
    return properties;
}

/// The bytes of a file that HDF5 builds in memory. HDF5 notices a full disk only when it closes a file and does not
/// recover from it, so the library never writes to the disk itself.
class MemoryFile {
public:
    MemoryFile() = default;
    ~MemoryFile() { std::free(bytes_); }
    MemoryFile(const MemoryFile&) = delete;
    MemoryFile& operator=(const MemoryFile&) = delete;

    /// The library's allocations of the file go through this object; its bytes stay when the library closes the file.
    H5FD_file_image_callbacks_t callbacks() {
        const auto allocate = [](std::size_t size, H5FD_file_image_op_t, void* self) {
            return resize(self, nullptr, size);
        };
        const auto copy = [](void* to, const void* from, std::size_t size, H5FD_file_image_op_t, void*) {
            return std::memcpy(to, from, size);
        };
        const auto reallocate = [](void* bytes, std::size_t size, H5FD_file_image_op_t, void* self) {
            return resize(self, bytes, size);
        };
        const auto keep = [](void*, H5FD_file_image_op_t, void*) -> herr_t { return 0; };
        const auto share = [](void* self) { return self; };
        const auto leave = [](void*) -> herr_t { return 0; };
        return {allocate, copy, reallocate, keep, share, leave, this};
    }

    /// Valid once the file is closed: the superblock's end-of-file address says how much of the buffer is the file.
    std::string_view content() const {
        constexpr std::size_t kEndOfFileAddress = 28;
        std::uint64_t size = 0;
        std::memcpy(&size, static_cast<const char*>(bytes_) + kEndOfFileAddress, sizeof(size));
        check(size <= capacity_, "an HDF5 file ends inside its buffer");
        return {static_cast<const char*>(bytes_), size};
    }

private:
    static void* resize(void* self, void* bytes, std::size_t size) {
        void* grown = std::realloc(bytes, size);
        if (grown != nullptr) {
            static_cast<MemoryFile*>(self)->bytes_ = grown;
            static_cast<MemoryFile*>(self)->capacity_ = size;
        }
        return grown;
    }

    void* bytes_ = nullptr;
    std::size_t capacity_ = 0;
};

Handle create_file(MemoryFile& memory) {
    hdf5_tree::quiet_library();
    const Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
    const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose);
    H5Pset_obj_track_times(creation.id(), false);
    H5Pset_link_creation_order(creation.id(), H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    // The 1.10 format carries checksums in its metadata: no flipped bit there goes unnoticed.
    H5Pset_libver_bounds(access.id(), H5F_LIBVER_V110, H5F_LIBVER_V110);
    H5Pset_fapl_core(access.id(), kChunkBytes, false);
    auto callbacks = memory.callbacks();
    H5Pset_file_image_callbacks(access.id(), &callbacks);
    Handle file(H5Fcreate("ladle", H5F_ACC_TRUNC, creation.id(), access.id()), H5Fclose);
    require(file.valid(), "/", "creating");
    return file;
}

std::vector<const char*> pointers_to(const std::vector<std::string>& values, const std::string& object) {
    std::vector<const char*> pointers;
    for (const std::string& value : values) {
        if (value.find('\0') != std::string::npos) {
            throw InternalError("cannot store a text in " + object, "it contains a zero byte");
        }
        pointers.push_back(value.c_str());
    }
    return pointers;
}

}  // namespace

struct Hdf5Writer::State {
    MemoryFile memory;
    Handle file = create_file(memory);

    void write_attribute(const std::string& object, const std::string& name, const Shape& shape, const Handle& type,
                         const void* values) {
        const Handle space = make_space(shape);
        const Handle attribute(H5Acreate_by_name(file.id(), object.c_str(), name.c_str(), type.id(), space.id(),
                                                 H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                               H5Aclose);
        require(attribute.valid(), object + " attribute " + name, "creating");
        require(shape_elements(shape) == 0 || H5Awrite(attribute.id(), type.id(), values) >= 0,
                object + " attribute " + name, "writing");
    }

    void write_dataset(const std::string& path, const Shape& shape, const Handle& type, const void* values) {
        const Handle space = make_space(shape);
        const Handle properties = make_dataset_properties(shape, type.id());
        const Handle dataset(
            H5Dcreate2(file.id(), path.c_str(), type.id(), space.id(), H5P_DEFAULT, properties.id(), H5P_DEFAULT),
            H5Dclose);
        require(dataset.valid(), path, "creating");
        require(
            shape_elements(shape) == 0 || H5Dwrite(dataset.id(), type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, values) >= 0,
            path, "writing");
    }
};

Hdf5Writer::Hdf5Writer(const std::string& schema, int major, int minor) : state_(std::make_unique<State>()) {
    text("/", "schema", schema);
    const std::vector<std::int32_t> version = {major, minor};
    state_->write_attribute("/", "schema_version", {2}, hdf5_tree::number_type(DType::i32), version.data());
}

Hdf5Writer::~Hdf5Writer() = default;

void Hdf5Writer::group(const std::string& path) {
    const Handle properties(H5Pcreate(H5P_GROUP_CREATE), H5Pclose);
    H5Pset_obj_track_times(properties.id(), false);
    H5Pset_link_creation_order(properties.id(), H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    const Handle group(H5Gcreate2(state_->file.id(), path.c_str(), H5P_DEFAULT, properties.id(), H5P_DEFAULT),
                       H5Gclose);
    require(group.valid(), path, "creating the group");
}

void Hdf5Writer::text(const std::string& object, const std::string& name, const std::string& value) {
    state_->write_attribute(object, name, {}, hdf5_tree::text_type(), pointers_to({value}, object).data());
}

void Hdf5Writer::texts(const std::string& object, const std::string& name, const std::vector<std::string>& values) {
    state_->write_attribute(object, name, {static_cast<std::int64_t>(values.size())}, hdf5_tree::text_type(),
                            pointers_to(values, object).data());
}

void Hdf5Writer::integer(const std::string& object, const std::string& name, std::int64_t value) {
    state_->write_attribute(object, name, {}, hdf5_tree::number_type(DType::i64), &value);
}

void Hdf5Writer::integers(const std::string& object, const std::string& name, const std::vector<std::int64_t>& values) {
    state_->write_attribute(object, name, {static_cast<std::int64_t>(values.size())},
                            hdf5_tree::number_type(DType::i64), values.data());
}

void Hdf5Writer::real(const std::string& object, const std::string& name, double value) {
    state_->write_attribute(object, name, {}, hdf5_tree::number_type(DType::f64), &value);
}

void Hdf5Writer::reals(const std::string& object, const std::string& name, const std::vector<double>& values) {
    state_->write_attribute(object, name, {static_cast<std::int64_t>(values.size())},
                            hdf5_tree::number_type(DType::f64), values.data());
}

void Hdf5Writer::flag(const std::string& object, const std::string& name, bool value) {
    const std::int8_t stored = value ? 1 : 0;
    state_->write_attribute(object, name, {}, hdf5_tree::number_type(DType::boolean), &stored);
}

void Hdf5Writer::dataset(const std::string& path, DType dtype, const Shape& shape, const void* values) {
    state_->write_dataset(path, shape, hdf5_tree::number_type(dtype), values);
}

void Hdf5Writer::dataset(const std::string& path, const std::vector<float>& values) {
    dataset(path, DType::f32, {static_cast<std::int64_t>(values.size())}, values.data());
}

void Hdf5Writer::dataset(const std::string& path, const std::vector<double>& values) {
    dataset(path, DType::f64, {static_cast<std::int64_t>(values.size())}, values.data());
}

void Hdf5Writer::dataset(const std::string& path, const std::vector<std::int64_t>& values) {
    dataset(path, DType::i64, {static_cast<std::int64_t>(values.size())}, values.data());
}

void Hdf5Writer::dataset(const std::string& path, const std::vector<std::int32_t>& values) {
    dataset(path, DType::i32, {static_cast<std::int64_t>(values.size())}, values.data());
}

void Hdf5Writer::dataset(const std::string& path, const std::vector<std::uint16_t>& values) {
    dataset(path, DType::u16, {static_cast<std::int64_t>(values.size())}, values.data());
}

void Hdf5Writer::tensor(const std::string& path, const Tensor& tensor) {
    dataset(path, tensor.dtype, tensor.shape, tensor.bytes.data());
}

void Hdf5Writer::strings(const std::string& path, const std::vector<std::string>& values) {
    state_->write_dataset(path, {static_cast<std::int64_t>(values.size())}, hdf5_tree::text_type(),
                          pointers_to(values, path).data());
}

std::string Hdf5Writer::save(const std::string& path) {
    require(H5Fflush(state_->file.id(), H5F_SCOPE_GLOBAL) >= 0, path, "flushing");
    const auto tree = hdf5_tree::scan(state_->file.id(), path, true);
    const std::string digest = hdf5_tree::content_digest(state_->file.id(), path, tree);
    text("/", hdf5_tree::kDigestName, digest);
    require(state_->file.release(), path, "closing");
    const std::string_view content = state_->memory.content();
    AtomicFile file(path);
    file.add(content);
    file.add(hdf5_tree::seal(content));
    file.commit();
    return digest;
}

}  // namespace ladle

// Error text, types, values and the content digest of HDF5 files.
#include "hdf5_tree.hpp"

#include <algorithm>

#include "ladle/core/digest.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/utf8.hpp"

namespace ladle::hdf5_tree {
namespace {

herr_t keep_innermost(unsigned int, const H5E_error2_t* error, void* text) {
    *static_cast<std::string*>(text) = std::string(error->desc) + " (" + error->func_name + ")";
    return 1;
}

}  // namespace

[[noreturn]] void refuse(const std::string& file_name, const std::string& object, const std::string& why) {
    throw DataError("cannot read " + file_name, object + ": " + why, "write the file again or use another one");
}

void require(bool condition, const std::string& file_name, const std::string& object, const std::string& doing) {
    if (!condition) {
        refuse(file_name, object, doing + " failed: " + error_text());
    }
}

void quiet_library() {
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    H5PLset_loading_state(0);
}

std::string seal(std::string_view file_bytes) {
    Digest digest;
    digest.add(file_bytes.data(), file_bytes.size());
    return "\nladle-file-sha256 " + digest.finish() + "\n";
}

std::string error_text() {
    std::string text = "HDF5 gives no reason";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_innermost, &text);
    H5Eclear2(H5E_DEFAULT);
    return text;
}

Handle number_type(DType dtype) {
    const auto copy = [](hid_t type) { return Handle(H5Tcopy(type), H5Tclose); };
    switch (dtype) {
        case DType::f32:
            return copy(H5T_IEEE_F32LE);
        case DType::f64:
            return copy(H5T_IEEE_F64LE);
        case DType::i64:
            return copy(H5T_STD_I64LE);
        case DType::i32:
            return copy(H5T_STD_I32LE);
        case DType::u16:
            return copy(H5T_STD_U16LE);
        case DType::u8:
            return copy(H5T_STD_U8LE);
        case DType::boolean: {
            Handle type(H5Tenum_create(H5T_STD_I8LE), H5Tclose);
            const std::int8_t no = 0;
            const std::int8_t yes = 1;
            H5Tenum_insert(type.id(), "FALSE", &no);
            H5Tenum_insert(type.id(), "TRUE", &yes);
            return type;
        }
        default:
            throw InternalError("no HDF5 type for " + dtype_name(dtype), "convert to float32 before writing");
    }
}

Handle text_type() {
    Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
    H5Tset_size(type.id(), H5T_VARIABLE);
    H5Tset_cset(type.id(), H5T_CSET_UTF8);
    return type;
}

std::vector<std::byte> read_numbers(hid_t file, const std::string& file_name, const std::string& path,
                                    const Object& object) {
    const Handle id(H5Dopen2(file, path.c_str(), H5P_DEFAULT), H5Dclose);
    require(id.valid(), file_name, path, "opening");
    std::vector<std::byte> bytes(shape_elements(object.shape) * dtype_bytes(*object.dtype));
    const Handle type = number_type(*object.dtype);
    require(bytes.empty() || H5Dread(id.id(), type.id(), H5S_ALL, H5S_ALL, H5P_DEFAULT, bytes.data()) >= 0, file_name,
            path, "reading");
    return bytes;
}

std::vector<std::string> read_strings(hid_t file, const std::string& file_name, const std::string& path,
                                      const Object& object) {
    const Handle id(H5Dopen2(file, path.c_str(), H5P_DEFAULT), H5Dclose);
    require(id.valid(), file_name, path, "opening");
    const Handle space(H5Dget_space(id.id()), H5Sclose);
    auto texts = take_strings(space.id(), shape_elements(object.shape), [&](hid_t memory, void* raw) {
        return H5Dread(id.id(), memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, raw);
    });
    require(texts.has_value(), file_name, path, "reading");
    if (!std::all_of(texts->begin(), texts->end(), is_plain_text)) {
        refuse(file_name, path, "a text is malformed UTF-8");
    }
    return std::move(*texts);
}

std::string content_digest(hid_t file, const std::string& file_name, const Tree& tree) {
    Digest digest;
    for (const auto& [path, object] : tree) {
        digest.add_text(path).add_text(object.is_group ? "group" : "dataset");
        for (const auto& [name, value] : object.attributes) {
            if (path == "/" && name == kDigestName) {
                continue;
            }
            digest.add_text("attribute").add_text(name).add_text(value.type).add_text(shape_text(value.shape));
            for (const std::string& text : value.texts) {
                digest.add_text(text);
            }
            digest.add(value.integers.data(), value.integers.size() * sizeof(std::int64_t));
            digest.add(value.reals.data(), value.reals.size() * sizeof(double));
        }
        if (object.is_group) {
            continue;
        }
        digest.add_text(object.is_text ? "string" : dtype_name(*object.dtype)).add_text(shape_text(object.shape));
        if (object.is_text) {
            for (const std::string& text : read_strings(file, file_name, path, object)) {
                digest.add_text(text);
            }
        } else {
            const auto bytes = read_numbers(file, file_name, path, object);
            digest.add(bytes.data(), bytes.size());
        }
    }
    return digest.finish();
}

}  // namespace ladle::hdf5_tree

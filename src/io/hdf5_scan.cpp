// Scan of an HDF5 file: its objects and attributes, and the refusal of everything that a plain file of arrays lacks.
#include <algorithm>
#include <array>
#include <cstring>

#include "hdf5_tree.hpp"
#include "ladle/core/utf8.hpp"

namespace ladle::hdf5_tree {
namespace {

constexpr std::size_t kMaxDepth = 16;
constexpr std::size_t kMaxObjects = 1000000;
constexpr std::size_t kMaxAttributeBytes = std::size_t{1} << 24U;
/// Deflate cannot shrink more than 1032-fold, so no honest data set is larger than this times its bytes on disk.
constexpr std::size_t kMaxInflation = 1032;

struct Where {
    hid_t file;
    const std::string& file_name;
    bool strict;
};

bool is_flag_type(hid_t type) {
    if (H5Tget_class(type) != H5T_ENUM || H5Tget_size(type) != 1 || H5Tget_nmembers(type) != 2) {
        return false;
    }
    std::int8_t false_value = -1;
    std::int8_t true_value = -1;
    return H5Tenum_valueof(type, "FALSE", &false_value) >= 0 && H5Tenum_valueof(type, "TRUE", &true_value) >= 0 &&
           false_value == 0 && true_value == 1;
}

std::optional<DType> dtype_of(hid_t type) {
    if (is_flag_type(type)) {
        return DType::boolean;
    }
    for (const DType dtype : {DType::f32, DType::f64, DType::i64, DType::i32, DType::u16, DType::u8}) {
        if (H5Tequal(type, number_type(dtype).id()) > 0) {
            return dtype;
        }
    }
    return std::nullopt;
}

bool is_text_type(hid_t type) {
    return H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) > 0;
}

/// The extents of a simple or scalar space; nothing for a null space. Refuses extents whose product is no number.
std::optional<Shape> shape_of(const Where& where, const std::string& path, hid_t space) {
    if (H5Sget_simple_extent_type(space) == H5S_NULL) {
        return std::nullopt;
    }
    const int rank = H5Sget_simple_extent_ndims(space);
    if (rank < 0 || rank > H5S_MAX_RANK) {
        return std::nullopt;
    }
    std::array<hsize_t, H5S_MAX_RANK> extents{};
    H5Sget_simple_extent_dims(space, extents.data(), nullptr);
    constexpr hsize_t kMostElements = hsize_t{1} << 48U;
    hsize_t count = 1;
    Shape shape;
    for (std::size_t i = 0; i < static_cast<std::size_t>(rank); ++i) {
        if (extents[i] > kMostElements || count > kMostElements / std::max<hsize_t>(extents[i], 1)) {
            refuse(where.file_name, path, "its extents are not possible");
        }
        count *= extents[i];
        shape.push_back(static_cast<std::int64_t>(extents[i]));
    }
    return shape;
}

template <class T>
void widen(const std::vector<std::byte>& bytes, Hdf5Attribute& into) {
    for (std::size_t i = 0; i < bytes.size(); i += sizeof(T)) {
        T value;
        std::memcpy(&value, bytes.data() + i, sizeof(T));
        if constexpr (std::is_floating_point_v<T>) {
            into.reals.push_back(static_cast<double>(value));
        } else {
            into.integers.push_back(static_cast<std::int64_t>(value));
        }
    }
}

void widen(DType dtype, const std::vector<std::byte>& bytes, Hdf5Attribute& into) {
    switch (dtype) {
        case DType::f32:
            return widen<float>(bytes, into);
        case DType::f64:
            return widen<double>(bytes, into);
        case DType::i64:
            return widen<std::int64_t>(bytes, into);
        case DType::i32:
            return widen<std::int32_t>(bytes, into);
        case DType::u16:
            return widen<std::uint16_t>(bytes, into);
        default:
            return widen<std::uint8_t>(bytes, into);
    }
}

std::optional<Hdf5Attribute> read_attribute(const Where& where, const std::string& path, hid_t attribute) {
    const Handle type(H5Aget_type(attribute), H5Tclose);
    const Handle space(H5Aget_space(attribute), H5Sclose);
    const auto shape = shape_of(where, path, space.id());
    const auto dtype = dtype_of(type.id());
    // An attribute is held in one object header or heap block: more than this is no attribute of an honest file.
    if (!shape || H5Aget_storage_size(attribute) > kMaxAttributeBytes) {
        return std::nullopt;
    }
    const std::size_t count = shape_elements(*shape);
    Hdf5Attribute value;
    value.shape = *shape;
    if (dtype) {
        std::vector<std::byte> bytes(count * dtype_bytes(*dtype));
        // Read in the file's own type: enumerations have no fixed native type.
        if (count > 0 && H5Aread(attribute, type.id(), bytes.data()) < 0) {
            return std::nullopt;
        }
        value.type = dtype_name(*dtype);
        widen(*dtype, bytes, value);
        return value;
    }
    if (is_text_type(type.id())) {
        auto texts =
            take_strings(space.id(), count, [&](hid_t memory, void* raw) { return H5Aread(attribute, memory, raw); });
        if (texts && std::all_of(texts->begin(), texts->end(), is_plain_text)) {
            value.type = "string";
            value.texts = std::move(*texts);
            return value;
        }
    }
    return std::nullopt;
}

void read_attributes(const Where& where, hid_t id, const std::string& path, Object& object) {
    H5O_info_t info;
    require(H5Oget_info2(id, &info, H5O_INFO_NUM_ATTRS) >= 0, where.file_name, path, "listing attributes");
    for (hsize_t i = 0; i < info.num_attrs; ++i) {
        const Handle attribute(H5Aopen_by_idx(id, ".", H5_INDEX_NAME, H5_ITER_INC, i, H5P_DEFAULT, H5P_DEFAULT),
                               H5Aclose);
        require(attribute.valid(), where.file_name, path, "opening an attribute");
        const ssize_t length = H5Aget_name(attribute.id(), 0, nullptr);
        require(length > 0 && length < 4096, where.file_name, path, "reading the name of an attribute");
        std::string name(static_cast<std::size_t>(length), '\0');
        H5Aget_name(attribute.id(), name.size() + 1, name.data());
        require(is_plain_text(name), where.file_name, path, "reading the name of an attribute");
        auto value = read_attribute(where, path + " attribute " + name, attribute.id());
        if (value) {
            object.attributes.emplace(name, std::move(*value));
        } else if (where.strict) {
            refuse(where.file_name, path + " attribute " + name, "damaged, or of a type ladle does not use");
        }
    }
}

bool has_deflate(const Where& where, hid_t properties, const std::string& path) {
    bool deflates = false;
    const int filters = H5Pget_nfilters(properties);
    require(filters >= 0, where.file_name, path, "listing filters");
    for (int i = 0; i < filters; ++i) {
        unsigned int flags = 0;
        unsigned int configuration = 0;
        std::size_t values = 0;
        const H5Z_filter_t filter = H5Pget_filter2(properties, static_cast<unsigned int>(i), &flags, &values, nullptr,
                                                   0, nullptr, &configuration);
        if (filter != H5Z_FILTER_FLETCHER32 && filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_DEFLATE) {
            refuse(where.file_name, path, "filter " + std::to_string(filter) + " is not accepted");
        }
        deflates = deflates || filter == H5Z_FILTER_DEFLATE;
    }
    return deflates;
}

/// Refuses storage outside the file and arrays larger than their bytes on disk can stand for.
void check_storage(const Where& where, hid_t id, const std::string& path, const Object& object, std::size_t element) {
    const Handle properties(H5Dget_create_plist(id), H5Pclose);
    const H5D_layout_t layout = H5Pget_layout(properties.id());
    require(layout >= 0, where.file_name, path, "reading the layout");
    if (layout == H5D_VIRTUAL || H5Pget_external_count(properties.id()) != 0) {
        refuse(where.file_name, path, "its values lie in another file");
    }
    // HDF5 1.10.8 reads such a data set, beyond the ends of its chunks.
    if (layout == H5D_CHUNKED && H5Pget_chunk(properties.id(), 0, nullptr) != static_cast<int>(object.shape.size())) {
        refuse(where.file_name, path, "its chunks have another number of dimensions than its shape");
    }
    const std::size_t inflation = has_deflate(where, properties.id(), path) ? kMaxInflation : 1;
    const std::size_t needed = shape_elements(object.shape) * element;
    if (needed / inflation > H5Dget_storage_size(id)) {
        refuse(where.file_name, path, "shape " + shape_text(object.shape) + " is larger than its bytes in the file");
    }
}

Object describe_dataset(const Where& where, hid_t id, const std::string& path) {
    Object object;
    const Handle type(H5Dget_type(id), H5Tclose);
    const Handle space(H5Dget_space(id), H5Sclose);
    require(type.valid() && space.valid(), where.file_name, path, "reading type and shape");
    const auto shape = shape_of(where, path, space.id());
    object.dtype = dtype_of(type.id());
    object.is_text = is_text_type(type.id());
    if (!shape || (!object.dtype && !object.is_text)) {
        if (where.strict) {
            refuse(where.file_name, path, "of a type ladle does not use");
        }
        object.dtype.reset();
        object.is_text = false;
        return object;
    }
    object.shape = *shape;
    check_storage(where, id, path, object, H5Tget_size(type.id()));
    return object;
}

struct Members {
    std::vector<std::string> names;
    std::string refused;  ///< a member that is no plain link
};

herr_t collect_member(hid_t, const char* name, const H5L_info_t* link, void* context) {
    auto& members = *static_cast<Members*>(context);
    members.names.emplace_back(name);
    // A name with a slash, or the name ".", would lead to another object than the link.
    const bool is_name = !members.names.back().empty() && members.names.back() != "." &&
                         members.names.back().find('/') == std::string::npos && is_plain_text(members.names.back());
    if (link->type != H5L_TYPE_HARD || !is_name || members.names.size() > kMaxObjects) {
        members.refused = name;
        return 1;
    }
    return 0;
}

std::vector<std::string> link_names(const Where& where, hid_t group, const std::string& path) {
    Members members;
    require(H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, nullptr, collect_member, &members) >= 0, where.file_name,
            path, "listing a group");
    if (!members.refused.empty()) {
        refuse(where.file_name, path + " member " + members.refused,
               "soft and external links, odd names, or too many members, are not accepted");
    }
    return members.names;
}

std::string child_path(const std::string& group, const std::string& name) {
    return group == "/" ? "/" + name : group + "/" + name;
}

/// One object; members of a group are put on the list of paths still to visit.
Object visit(const Where& where, const std::string& path, std::vector<std::string>& pending) {
    const Handle id(H5Oopen(where.file, path.c_str(), H5P_DEFAULT), H5Oclose);
    require(id.valid(), where.file_name, path, "opening");
    H5O_info_t info;
    require(H5Oget_info2(id.id(), &info, H5O_INFO_BASIC) >= 0, where.file_name, path, "reading its header");
    if (info.rc > 1) {
        refuse(where.file_name, path, "it is linked more than once");
    }
    Object object;
    if (info.type == H5O_TYPE_GROUP) {
        object.is_group = true;
        for (const std::string& name : link_names(where, id.id(), path)) {
            pending.push_back(child_path(path, name));
        }
    } else if (info.type == H5O_TYPE_DATASET) {
        object = describe_dataset(where, id.id(), path);
    } else {
        refuse(where.file_name, path, "neither a group nor a data set");
    }
    read_attributes(where, id.id(), path, object);
    return object;
}

}  // namespace

Tree scan(hid_t file, const std::string& file_name, bool strict) {
    const Where where{file, file_name, strict};
    Tree tree;
    std::vector<std::string> pending = {"/"};
    while (!pending.empty()) {
        const std::string path = pending.back();
        pending.pop_back();
        if (static_cast<std::size_t>(std::count(path.begin(), path.end(), '/')) > kMaxDepth ||
            tree.size() >= kMaxObjects) {
            refuse(file_name, path, "groups are nested too deeply or too many");
        }
        tree.emplace(path, visit(where, path, pending));
    }
    return tree;
}

}  // namespace ladle::hdf5_tree

// torch.save files: archive, pickle and storages put together, both ways.
#include "ladle/io/pytorch.hpp"

#include <array>
#include <cstring>
#include <limits>
#include <memory>

#include "binary_file.hpp"
#include "ladle/core/error.hpp"
#include "ladle/io/files.hpp"
#include "pickle_reader.hpp"
#include "zip_archive.hpp"

namespace ladle {
namespace {

constexpr std::size_t kMaxPickleBytes = std::size_t{64} << 20U;
/// Tied weights share a storage; more than this many copies of a file's bytes are no model.
constexpr std::size_t kMaxSharing = 8;
constexpr std::size_t kMaxArchiveBytes = 0xfffffff0;

/// Files of torch < 1.6 start with the pickle of a magic number.
void refuse_legacy(const BinaryFile& file) {
    constexpr std::array<unsigned char, 12> kMagic = {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc,
                                                      0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8};
    if (file.contains(0, kMagic.size()) && std::memcmp(file.read(0, kMagic.size()).data(), kMagic.data(), 12) == 0) {
        file.refuse("it is in the format of torch before 1.6",
                    "load it with torch and save it again with torch.save of torch >= 1.6");
    }
}

/// Throws unless every element of the view lies inside its storage. A view larger than its storage (stride 0) would let
/// a small file ask for any amount of memory.
void check_view(const PickledTensor& view, std::size_t storage_bytes, const std::string& name, const BinaryFile& file) {
    const auto limit = static_cast<std::uint64_t>(view.storage_elements);
    if (limit != storage_bytes / dtype_bytes(view.dtype) || storage_bytes % dtype_bytes(view.dtype) != 0) {
        file.refuse("tensor " + name + ": its storage does not have the stated number of elements");
    }
    const std::size_t count = shape_elements(view.shape);
    auto last = static_cast<std::uint64_t>(view.offset);
    bool inside = last <= limit && count <= limit;
    for (std::size_t i = 0; inside && count > 0 && i < view.shape.size(); ++i) {
        const auto steps = static_cast<std::uint64_t>(view.shape[i] - 1);
        const auto stride = static_cast<std::uint64_t>(view.strides[i]);
        inside = steps == 0 || stride <= (limit - last) / steps;
        last += inside ? steps * stride : 0;
    }
    if (!inside || (count > 0 && last >= limit)) {
        file.refuse("tensor " + name + ": shape " + shape_text(view.shape) + " with strides " +
                    shape_text(view.strides) + " reaches outside its storage");
    }
}

/// Gathers elements first .. first + count - 1 of a view that check_view has accepted, in row-major order.
std::vector<std::byte> gather_view(const PickledTensor& view, const std::vector<std::byte>& storage, std::size_t first,
                                   std::size_t count) {
    const std::size_t element = dtype_bytes(view.dtype);
    std::vector<std::byte> bytes(count * element);
    std::vector<std::int64_t> index(view.shape.size(), 0);
    std::int64_t source = view.offset;
    auto rest = static_cast<std::int64_t>(first);
    for (std::size_t axis = index.size(); axis > 0 && rest > 0; --axis) {
        index[axis - 1] = rest % view.shape[axis - 1];
        source += index[axis - 1] * view.strides[axis - 1];
        rest /= view.shape[axis - 1];
    }
    for (std::size_t i = 0; i < count; ++i) {
        std::memcpy(bytes.data() + i * element, storage.data() + static_cast<std::size_t>(source) * element, element);
        for (std::size_t axis = index.size(); axis > 0; --axis) {
            source += view.strides[axis - 1];
            if (++index[axis - 1] < view.shape[axis - 1]) {
                break;
            }
            source -= view.strides[axis - 1] * view.shape[axis - 1];
            index[axis - 1] = 0;
        }
    }
    return bytes;
}

/// An open file and the storage that was read last: tensors that share a storage usually follow each other.
struct TorchFile {
    explicit TorchFile(const std::string& path) : file(path), archive((refuse_legacy(file), file)) {}
    const std::vector<std::byte>& storage(const std::string& member) {
        if (member != loaded_member) {
            loaded = archive.read(member);
            loaded_member = member;
            read_bytes += loaded.size();
            if (read_bytes > kMaxSharing * file.size()) {
                file.refuse("its tensors name the same storages by turns too often");
            }
        }
        return loaded;
    }
    BinaryFile file;
    ZipReader archive;
    std::string loaded_member;
    std::vector<std::byte> loaded;
    std::size_t read_bytes = 0;
};

void put_text(std::string& pickle, const std::string& text) {
    const auto size = static_cast<std::uint32_t>(text.size());
    pickle += 'X';
    pickle.append(reinterpret_cast<const char*>(&size), sizeof(size));
    pickle += text;
}

void put_integer(std::string& pickle, std::int64_t value) {
    if (value <= std::numeric_limits<std::int32_t>::max()) {
        const auto small = static_cast<std::int32_t>(value);
        pickle += 'J';
        pickle.append(reinterpret_cast<const char*>(&small), sizeof(small));
    } else {
        pickle += "\x8a\x08";
        pickle.append(reinterpret_cast<const char*>(&value), sizeof(value));
    }
}

void put_tuple(std::string& pickle, const Shape& values) {
    pickle += '(';
    for (const std::int64_t value : values) {
        put_integer(pickle, value);
    }
    pickle += 't';
}

/// Key and _rebuild_tensor_v2 call of one tensor whose storage is member data/<number>.
void put_tensor(std::string& pickle, const std::string& name, const Tensor& tensor, std::size_t number) {
    Shape strides(tensor.shape.size(), 1);
    for (std::size_t i = strides.size(); i > 1; --i) {
        strides[i - 2] = strides[i - 1] * std::max<std::int64_t>(1, tensor.shape[i - 1]);
    }
    put_text(pickle, name);
    pickle += "ctorch._utils\n_rebuild_tensor_v2\n((";
    put_text(pickle, "storage");
    pickle += "ctorch\n" + storage_class(tensor.dtype) + "\n";
    put_text(pickle, std::to_string(number));
    put_text(pickle, "cpu");
    put_integer(pickle, static_cast<std::int64_t>(tensor.elements()));
    pickle += "tQ";
    put_integer(pickle, 0);
    put_tuple(pickle, tensor.shape);
    put_tuple(pickle, strides);
    pickle +=
        "\x89"
        "ccollections\nOrderedDict\n)RtR";
}

/// The pickle of an archive whose numbers are little endian.
std::string pickle_of(const TorchFile& torch) {
    const BinaryFile& file = torch.file;
    const ZipReader& archive = torch.archive;
    if (archive.has("byteorder")) {
        const auto order = archive.read("byteorder");
        if (order.size() != 6 || std::memcmp(order.data(), "little", 6) != 0) {
            file.refuse("it was written on a big-endian machine", "re-save it on a little-endian machine");
        }
    }
    if (archive.size_of("data.pkl") > kMaxPickleBytes) {
        file.refuse("its pickle is larger than 64 MiB");
    }
    const std::vector<std::byte> pickle = archive.read("data.pkl");
    return {reinterpret_cast<const char*>(pickle.data()), pickle.size()};
}

std::vector<std::pair<std::string, StoredTensor>> stored_tensors(const std::shared_ptr<TorchFile>& torch,
                                                                 const PickledTensors& views) {
    std::vector<std::pair<std::string, StoredTensor>> tensors;
    std::size_t total = 0;
    for (const auto& [name, view] : views) {
        const std::string member = "data/" + view.storage;
        check_view(view, torch->archive.size_of(member), name, torch->file);
        total += shape_elements(view.shape) * dtype_bytes(view.dtype);
        if (total > kMaxSharing * torch->file.size()) {
            torch->file.refuse("its tensors share storages too often");
        }
        const auto read = [torch, member, view = view](std::size_t first, std::size_t count) {
            return gather_view(view, torch->storage(member), first, count);
        };
        tensors.emplace_back(name, StoredTensor{view.dtype, view.shape, read});
    }
    return tensors;
}

}  // namespace

std::vector<std::pair<std::string, StoredTensor>> open_torch(const std::string& path) {
    const auto torch = std::make_shared<TorchFile>(path);
    return stored_tensors(torch, read_tensor_pickle(pickle_of(*torch), path));
}

std::vector<std::pair<std::string, StoredTensor>> open_torch_entry(const std::string& path, const std::string& entry) {
    const auto torch = std::make_shared<TorchFile>(path);
    return stored_tensors(torch, read_tensor_pickle_entry(pickle_of(*torch), path, entry));
}

nlohmann::json read_torch_arguments(const std::string& path, const std::string& entry) {
    return read_pickle_arguments(pickle_of(TorchFile(path)), path, entry);
}

TensorList read_torch(const std::string& path) {
    TensorList tensors;
    for (const auto& [name, stored] : open_torch(path)) {
        tensors.emplace_back(name, stored.load());
    }
    return tensors;
}

void write_torch(const std::string& path, const TensorList& tensors) {
    std::size_t total = 0;
    std::string pickle = "\x80\x02}(";
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        put_tensor(pickle, tensors[i].first, tensors[i].second, i);
        total += tensors[i].second.bytes.size() + 512;
    }
    pickle += "u.";
    if (total + pickle.size() > kMaxArchiveBytes) {
        throw ConfigError("cannot write " + path, "the tensors take more than 4 GiB", "convert to safetensors instead");
    }
    ZipWriter archive("archive");
    archive.add("data.pkl", pickle);
    archive.add(".format_version", "1");
    archive.add(".storage_alignment", "64");
    archive.add("byteorder", "little");
    for (std::size_t i = 0; i < tensors.size(); ++i) {
        const auto& bytes = tensors[i].second.bytes;
        archive.add("data/" + std::to_string(i), {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    }
    archive.add("version", "3\n");
    write_file(path, archive.finish());
}

}  // namespace ladle

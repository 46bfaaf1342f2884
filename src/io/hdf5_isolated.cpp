// An HDF5 file read by a child process: its objects with all their values as one text, and that text taken apart with
// every size checked, because a child that a file has subverted may send anything.
#include <cstring>
#include <limits>
#include <type_traits>

#include "hdf5_tree.hpp"
#include "ladle/core/error.hpp"
#include "ladle/core/utf8.hpp"

namespace ladle::hdf5_tree {
namespace {

/// Appends fields to a text. `visit_*` below are written once for both directions.
class Sender {
public:
    static constexpr bool kSends = true;
    std::string packed;

    template <class T>
    void number(const T& value) {
        packed.append(reinterpret_cast<const char*>(&value), sizeof(T));
    }
    template <class List>
    void bytes(const List& list) {
        number(std::uint64_t{list.size()});
        packed.append(reinterpret_cast<const char*>(list.data()), list.size() * sizeof(typename List::value_type));
    }
    void text(const std::string& value) { bytes(value); }
    std::size_t count(std::size_t size) {
        number(std::uint64_t{size});
        return size;
    }
};

/// Takes the same fields from a text.
class Receiver {
public:
    static constexpr bool kSends = false;
    Receiver(std::string_view text, const std::string& file_name) : rest_(text), file_name_(file_name) {}

    template <class T>
    void number(T& value) {
        static_assert(std::is_trivially_copyable_v<T>);
        std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    }
    template <class List>
    void bytes(List& list) {
        using Item = typename List::value_type;
        std::uint64_t items = 0;
        number(items);
        if (items > rest_.size() / sizeof(Item)) {
            refuse_nonsense();
        }
        const std::string_view taken = take(items * sizeof(Item));
        list.resize(items);
        if (items > 0) {
            std::memcpy(list.data(), taken.data(), taken.size());
        }
    }
    void text(std::string& value) {
        bytes(value);
        if (!is_plain_text(value)) {
            refuse_nonsense();
        }
    }
    /// A number of items each of which starts with a length.
    std::size_t count(std::size_t) {
        std::uint64_t items = 0;
        number(items);
        if (items > rest_.size() / sizeof(std::uint64_t)) {
            refuse_nonsense();
        }
        return items;
    }
    bool is_empty() const { return rest_.empty(); }

private:
    [[noreturn]] void refuse_nonsense() const { refuse(file_name_, "/", "the process that reads it sent nonsense"); }
    std::string_view take(std::size_t size) {
        if (size > rest_.size()) {
            refuse_nonsense();
        }
        const std::string_view taken = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return taken;
    }

    std::string_view rest_;
    const std::string& file_name_;
};

template <class Way, class Texts>
void visit_texts(Way& way, Texts& texts) {
    const std::size_t count = way.count(texts.size());
    if constexpr (!Way::kSends) {
        texts.resize(count);
    }
    for (auto& text : texts) {
        way.text(text);
    }
}

template <class Way, class Value>
void visit_attribute(Way& way, Value& value) {
    way.text(value.type);
    way.bytes(value.shape);
    visit_texts(way, value.texts);
    way.bytes(value.integers);
    way.bytes(value.reals);
}

template <class Way, class Item>
void visit_object(Way& way, Item& object) {
    // A flag is one byte: any other bits than 0 and 1 in a bool would be undefined.
    std::uint8_t flags = (object.is_group ? 1U : 0U) | (object.is_text ? 2U : 0U) | (object.dtype ? 4U : 0U);
    std::uint8_t dtype = object.dtype ? static_cast<std::uint8_t>(*object.dtype) : 0;
    way.number(flags);
    way.number(dtype);
    if constexpr (!Way::kSends) {
        object.is_group = (flags & 1U) != 0;
        object.is_text = (flags & 2U) != 0;
        if ((flags & 4U) != 0 && dtype <= static_cast<std::uint8_t>(DType::boolean)) {
            object.dtype = static_cast<DType>(dtype);
        }
    }
    way.bytes(object.shape);
    way.bytes(object.numbers);
    visit_texts(way, object.texts);
}

/// What the readers of values rely on.
void check_object(const std::string& file_name, const std::string& path, const Object& object) {
    bool fits = true;
    for (const auto& [name, value] : object.attributes) {
        const std::size_t values = value.texts.size() + value.integers.size() + value.reals.size();
        fits = fits && values == shape_elements(value.shape);
    }
    if (object.dtype) {
        fits = fits && object.numbers.size() == shape_elements(object.shape) * dtype_bytes(*object.dtype);
    }
    if (object.is_text) {
        fits = fits && object.texts.size() == shape_elements(object.shape);
    }
    if (!fits) {
        refuse(file_name, path, "the process that reads it sent nonsense");
    }
}

}  // namespace

std::string pack(hid_t file, const std::string& file_name, Tree& tree, const std::string& digest) {
    Sender way;
    way.text(digest);
    way.count(tree.size());
    for (auto& [path, object] : tree) {
        if (object.dtype) {
            object.numbers = read_numbers(file, file_name, path, object);
        } else if (object.is_text) {
            object.texts = read_strings(file, file_name, path, object);
        }
        way.text(path);
        visit_object(way, object);
        way.count(object.attributes.size());
        for (const auto& [name, value] : object.attributes) {
            way.text(name);
            visit_attribute(way, value);
        }
        object.numbers = {};
        object.texts = {};
    }
    return std::move(way.packed);
}

Tree unpack(std::string_view text, const std::string& file_name, std::string& digest) {
    Receiver way(text, file_name);
    Tree tree;
    way.text(digest);
    for (std::size_t objects = way.count(0); objects > 0; --objects) {
        std::string path;
        way.text(path);
        Object& object = tree[path];
        visit_object(way, object);
        for (std::size_t attributes = way.count(0); attributes > 0; --attributes) {
            std::string name;
            way.text(name);
            visit_attribute(way, object.attributes[name]);
        }
        check_object(file_name, path, object);
    }
    if (!way.is_empty()) {
        refuse(file_name, "/", "the process that reads it sent nonsense");
    }
    return tree;
}

}  // namespace ladle::hdf5_tree

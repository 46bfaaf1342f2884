// A stack machine over immutable values. Dictionaries are numbered, so that no value can contain itself.
#include "pickle_reader.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <unordered_map>

#include "ladle/core/error.hpp"

namespace ladle {
namespace {

constexpr std::size_t kMaxDepth = 16;
constexpr std::size_t kMaxRank = 32;

struct StorageClass {
    DType dtype;
    const char* name;
};
constexpr std::array<StorageClass, 8> kStorageClasses = {{{DType::f32, "FloatStorage"},
                                                          {DType::f16, "HalfStorage"},
                                                          {DType::bf16, "BFloat16Storage"},
                                                          {DType::f64, "DoubleStorage"},
                                                          {DType::i64, "LongStorage"},
                                                          {DType::i32, "IntStorage"},
                                                          {DType::u8, "ByteStorage"},
                                                          {DType::boolean, "BoolStorage"}}};

enum class Kind {
    mark,
    none,
    integer,
    text,
    tuple,
    dictionary,
    list,
    storage_type,
    rebuild,
    parameter,
    ordered,
    storage,
    tensor
};

struct Value;
using ValuePtr = std::shared_ptr<const Value>;

struct Value {
    Kind kind = Kind::none;
    std::int64_t integer = 0;  ///< integers and booleans; the number of a dictionary
    std::string text;
    std::vector<ValuePtr> items;  ///< of a tuple
    std::size_t depth = 0;        ///< nesting of tuples
    PickledTensor tensor;         ///< of storage_type (dtype), storage and tensor
};

using Entries = std::vector<std::pair<std::string, ValuePtr>>;

class Machine {
public:
    Machine(std::string_view pickle, const std::string& label) : rest_(pickle), label_(label) {}

    Entries run() {
        while (step(take<std::uint8_t>())) {
        }
        const ValuePtr result = pop(Kind::dictionary);
        if (!stack_.empty() || !rest_.empty()) {
            refuse("something follows the dictionary");
        }
        return std::move(dictionaries_[static_cast<std::size_t>(result->integer)]);
    }

private:
    [[noreturn]] void refuse(const std::string& why) const {
        throw DataError("cannot read " + label_, "its pickle is not a plain dictionary of tensors: " + why,
                        "save {name: tensor} with torch.save, or use safetensors");
    }

    std::string_view take_bytes(std::size_t count) {
        if (count > rest_.size()) {
            refuse("it ends early");
        }
        const std::string_view taken = rest_.substr(0, count);
        rest_.remove_prefix(count);
        return taken;
    }
    template <class T>
    T take() {
        T value{};
        std::memcpy(&value, take_bytes(sizeof(T)).data(), sizeof(T));
        return value;
    }
    std::string take_line() {
        const std::size_t end = rest_.find('\n');
        if (end == std::string_view::npos || end > 256) {
            refuse("a name does not end");
        }
        std::string line(take_bytes(end));
        take_bytes(1);
        return line;
    }

    void push(Value value) { stack_.push_back(std::make_shared<const Value>(std::move(value))); }
    void push_integer(std::int64_t value) { push({Kind::integer, value, {}, {}, 0, {}}); }
    void push_plain(Kind kind) { push({kind, 0, {}, {}, 0, {}}); }
    void push_dictionary() {
        push({Kind::dictionary, static_cast<std::int64_t>(dictionaries_.size()), {}, {}, 0, {}});
        dictionaries_.emplace_back();
    }
    void push_tuple(std::vector<ValuePtr> items) {
        std::size_t depth = 0;
        for (const ValuePtr& item : items) {
            depth = std::max(depth, item->depth);
        }
        if (depth >= kMaxDepth) {
            refuse("tuples are nested too deeply");
        }
        push({Kind::tuple, 0, {}, std::move(items), depth + 1, {}});
    }
    ValuePtr pop() {
        if (stack_.empty() || stack_.back()->kind == Kind::mark) {
            refuse("an operation finds nothing on the stack");
        }
        ValuePtr value = std::move(stack_.back());
        stack_.pop_back();
        return value;
    }
    ValuePtr pop(Kind kind) {
        ValuePtr value = pop();
        if (value->kind != kind) {
            refuse("an object is of the wrong kind");
        }
        return value;
    }
    std::vector<ValuePtr> pop_count(std::size_t count) {
        std::vector<ValuePtr> items(count);
        for (std::size_t i = count; i > 0; --i) {
            items[i - 1] = pop();
        }
        return items;
    }
    std::vector<ValuePtr> pop_to_mark() {
        const auto mark = std::find_if(stack_.rbegin(), stack_.rend(),
                                       [](const ValuePtr& value) { return value->kind == Kind::mark; });
        if (mark == stack_.rend()) {
            refuse("a mark is missing");
        }
        std::vector<ValuePtr> items(mark.base(), stack_.end());
        stack_.erase(mark.base() - 1, stack_.end());
        return items;
    }

    void remember(std::uint32_t slot) {
        const ValuePtr value = pop();
        memo_[slot] = value;
        stack_.push_back(value);
    }
    void recall(std::uint32_t slot) {
        const auto found = memo_.find(slot);
        if (found == memo_.end()) {
            refuse("it recalls an object that was never stored");
        }
        stack_.push_back(found->second);
    }

    bool step(std::uint8_t operation);
    void push_global();
    void push_long();
    void reduce();
    void push_storage();
    void push_tensor(const Value& arguments);
    void set_items(const std::vector<ValuePtr>& items);
    void build();
    std::int64_t integer_of(const Value& value, const char* what) const;
    Shape extents_of(const Value& value, const char* what) const;

    std::string_view rest_;
    const std::string& label_;
    std::vector<ValuePtr> stack_;
    std::unordered_map<std::uint32_t, ValuePtr> memo_;
    std::vector<Entries> dictionaries_;
};

/// One operation; false at the end.
bool Machine::step(std::uint8_t operation) {
    switch (operation) {
        case 0x80: {  // PROTO
            const auto protocol = take<std::uint8_t>();
            if (protocol < 2 || protocol > 3) {
                refuse("it has pickle protocol " + std::to_string(protocol) + ", torch.save writes 2");
            }
            return true;
        }
        case '.':
            return false;
        case '(':
            push_plain(Kind::mark);
            return true;
        case '}':
            push_dictionary();
            return true;
        case ']':
            push_plain(Kind::list);
            return true;
        case ')':
            push_tuple({});
            return true;
        case 't':
            push_tuple(pop_to_mark());
            return true;
        case 0x85:
        case 0x86:
        case 0x87:
            push_tuple(pop_count(operation - 0x84U));
            return true;
        case 'N':
            push_plain(Kind::none);
            return true;
        case 0x88:
        case 0x89:
            push_integer(operation == 0x88 ? 1 : 0);
            return true;
        case 'K':
            push_integer(take<std::uint8_t>());
            return true;
        case 'M':
            push_integer(take<std::uint16_t>());
            return true;
        case 'J':
            push_integer(take<std::int32_t>());
            return true;
        case 0x8a:
            push_long();
            return true;
        case 'X':
            push({Kind::text, 0, std::string(take_bytes(take<std::uint32_t>())), {}, 0, {}});
            return true;
        case 'q':
            remember(take<std::uint8_t>());
            return true;
        case 'r':
            remember(take<std::uint32_t>());
            return true;
        case 'h':
            recall(take<std::uint8_t>());
            return true;
        case 'j':
            recall(take<std::uint32_t>());
            return true;
        case 'c':
            push_global();
            return true;
        case 'R':
            reduce();
            return true;
        case 'Q':
            push_storage();
            return true;
        case 's':
            set_items(pop_count(2));
            return true;
        case 'u':
            set_items(pop_to_mark());
            return true;
        case 'b':
            build();
            return true;
        default:
            refuse("operation " + std::to_string(operation) + " is not accepted");
    }
}

void Machine::push_global() {
    const std::string module = take_line();
    const std::string name = take_line();
    if (module == "collections" && name == "OrderedDict") {
        return push_plain(Kind::ordered);
    }
    if (module == "torch._utils" && name == "_rebuild_tensor_v2") {
        return push_plain(Kind::rebuild);
    }
    if (module == "torch._utils" && name == "_rebuild_parameter") {
        return push_plain(Kind::parameter);
    }
    for (const StorageClass& known : kStorageClasses) {
        if (module == "torch" && name == known.name) {
            Value value{Kind::storage_type, 0, {}, {}, 0, {}};
            value.tensor.dtype = known.dtype;
            return push(std::move(value));
        }
    }
    refuse("it names " + module + "." + name + ", which is not a tensor and is never executed");
}

void Machine::push_long() {
    const std::string_view bytes = take_bytes(take<std::uint8_t>());
    if (bytes.size() > sizeof(std::int64_t)) {
        refuse("a number is too large");
    }
    // Two's complement of any length: the last byte carries the sign.
    std::int64_t value = !bytes.empty() && (static_cast<std::uint8_t>(bytes.back()) & 0x80U) != 0 ? -1 : 0;
    std::memcpy(&value, bytes.data(), bytes.size());
    push_integer(value);
}

void Machine::reduce() {
    const ValuePtr arguments = pop(Kind::tuple);
    const ValuePtr callable = pop();
    if (callable->kind == Kind::ordered && arguments->items.empty()) {
        return push_dictionary();
    }
    if (callable->kind == Kind::rebuild) {
        return push_tensor(*arguments);
    }
    if (callable->kind == Kind::parameter && !arguments->items.empty() && arguments->items[0]->kind == Kind::tensor) {
        stack_.push_back(arguments->items[0]);
        return;
    }
    refuse("it calls something with unexpected arguments");
}

/// ("storage", class, member, location, number of elements)
void Machine::push_storage() {
    const ValuePtr id = pop(Kind::tuple);
    const auto& items = id->items;
    if (items.size() != 5 || items[0]->text != "storage" || items[1]->kind != Kind::storage_type ||
        items[2]->kind != Kind::text || items[3]->kind != Kind::text) {
        refuse("a storage is described in an unknown way");
    }
    Value value{Kind::storage, 0, {}, {}, 0, {}};
    value.tensor.dtype = items[1]->tensor.dtype;
    value.tensor.storage = items[2]->text;
    value.tensor.storage_elements = integer_of(*items[4], "the size of a storage");
    push(std::move(value));
}

/// (storage, offset, shape, strides, requires_grad, hooks[, metadata])
void Machine::push_tensor(const Value& arguments) {
    const auto& items = arguments.items;
    if (items.size() < 6 || items[0]->kind != Kind::storage) {
        refuse("a tensor is described in an unknown way");
    }
    Value value{Kind::tensor, 0, {}, {}, 0, items[0]->tensor};
    value.tensor.offset = integer_of(*items[1], "the offset of a tensor");
    value.tensor.shape = extents_of(*items[2], "the shape of a tensor");
    value.tensor.strides = extents_of(*items[3], "the strides of a tensor");
    if (value.tensor.shape.size() != value.tensor.strides.size()) {
        refuse("shape and strides of a tensor differ in length");
    }
    push(std::move(value));
}

std::int64_t Machine::integer_of(const Value& value, const char* what) const {
    if (value.kind != Kind::integer || value.integer < 0) {
        refuse(std::string(what) + " is not a whole number from 0 on");
    }
    return value.integer;
}

Shape Machine::extents_of(const Value& value, const char* what) const {
    if (value.kind != Kind::tuple || value.items.size() > kMaxRank) {
        refuse(std::string(what) + " is not a short tuple");
    }
    Shape extents;
    for (const ValuePtr& item : value.items) {
        extents.push_back(integer_of(*item, what));
    }
    return extents;
}

void Machine::set_items(const std::vector<ValuePtr>& items) {
    const ValuePtr target = pop(Kind::dictionary);
    stack_.push_back(target);
    if (items.size() % 2 != 0) {
        refuse("a key has no value");
    }
    Entries& entries = dictionaries_[static_cast<std::size_t>(target->integer)];
    for (std::size_t i = 0; i < items.size(); i += 2) {
        if (items[i]->kind != Kind::text) {
            refuse("a key is not a text");
        }
        entries.emplace_back(items[i]->text, items[i + 1]);
    }
}

/// Attributes of a dictionary (state_dict() adds _metadata) say nothing about tensors.
void Machine::build() {
    pop();
    const ValuePtr target = pop(Kind::dictionary);
    stack_.push_back(target);
}

}  // namespace

std::string storage_class(DType dtype) {
    for (const StorageClass& known : kStorageClasses) {
        if (known.dtype == dtype) {
            return known.name;
        }
    }
    throw InternalError("no torch storage holds " + dtype_name(dtype), "convert it before writing");
}

std::vector<std::pair<std::string, PickledTensor>> read_tensor_pickle(std::string_view pickle,
                                                                      const std::string& label) {
    std::vector<std::pair<std::string, PickledTensor>> tensors;
    for (auto& [name, value] : Machine(pickle, label).run()) {
        if (value->kind != Kind::tensor) {
            throw DataError("cannot read " + label, "its entry \"" + name + "\" is not a tensor",
                            "save a flat dictionary {name: tensor}, e.g. model.state_dict()");
        }
        tensors.emplace_back(name, value->tensor);
    }
    return tensors;
}

}  // namespace ladle

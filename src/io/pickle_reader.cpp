// The objects that a pickle of tensors names, and the tensors put together from them.
#include "pickle_reader.hpp"

#include <fmt/format.h>

#include <array>
#include <set>

#include "ladle/core/error.hpp"
#include "pickle_machine.hpp"

namespace ladle {
namespace {

constexpr std::size_t kMaxRank = 32;
constexpr std::size_t kMaxStorageName = 64;

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

PickledTensors tensors_of(const PickleEntries& entries, const std::string& label) {
    PickledTensors tensors;
    std::set<std::string> names;
    for (const auto& [key, value] : entries) {
        const std::string& name = key->text;
        if (key->kind != PickleKind::text) {
            throw DataError("cannot read " + label, "a tensor's name is not a text", "save {name: tensor}");
        }
        if (!names.insert(name).second) {
            throw DataError("cannot read " + label, "the name " + name + " occurs twice",
                            "give each tensor its own name");
        }
        if (value->kind != PickleKind::tensor) {
            throw DataError("cannot read " + label, "its entry \"" + name + "\" is not a tensor",
                            "save a flat dictionary {name: tensor}, e.g. model.state_dict()");
        }
        tensors.emplace_back(name, value->tensor);
    }
    return tensors;
}

/// Runs the machine; the value under the key, or null.
PickleValuePtr find_entry(PickleMachine& machine, const std::string& label, const std::string& entry) {
    PickleValuePtr wanted;
    for (const auto& [key, value] : machine.entries_of(*machine.run())) {
        if (key->kind == PickleKind::text && key->text == entry) {
            if (wanted != nullptr) {
                throw DataError("cannot read " + label, "its entry \"" + entry + "\" occurs twice",
                                "save the file again");
            }
            wanted = value;
        }
    }
    return wanted;
}

// Far above any program's command line.
constexpr std::size_t kMostArgumentBytes = std::size_t{1} << 20U;

/// What is no number, text or truth value becomes an empty list.
nlohmann::json plain_value(const PickleValue& value) {
    switch (value.kind) {
        case PickleKind::none:
            return nullptr;
        case PickleKind::boolean:
            return value.integer != 0;
        case PickleKind::integer:
            return value.integer;
        case PickleKind::real:
            return value.real;
        case PickleKind::text:
            return value.text;
        default:
            return nlohmann::json::array();
    }
}

}  // namespace

void PickleMachine::push_global() {
    const std::string module = take_line();
    const std::string name = take_line();
    if (module == "collections" && name == "OrderedDict") {
        return push_plain(PickleKind::ordered);
    }
    if (module == "torch._utils" && name == "_rebuild_tensor_v2") {
        return push_plain(PickleKind::rebuild);
    }
    if (module == "torch._utils" && name == "_rebuild_parameter") {
        return push_plain(PickleKind::parameter);
    }
    for (const StorageClass& known : kStorageClasses) {
        if (module == "torch" && name == known.name) {
            PickleValue value{PickleKind::storage_type, 0, {}, {}, 0, {}, 0};
            value.tensor.dtype = known.dtype;
            return push(std::move(value));
        }
    }
    if (extras_ == PickleExtras::opaque) {
        const bool arguments = module == "argparse" && name == "Namespace";
        return push_plain(arguments ? PickleKind::arguments_class : PickleKind::opaque);
    }
    refuse("it names " + module + "." + name + ", which is not a tensor and is never executed");
}

void PickleMachine::reduce() {
    const PickleValuePtr arguments = pop(PickleKind::tuple);
    const PickleValuePtr callable = pop();
    if (callable->kind == PickleKind::ordered && arguments->items.empty()) {
        return push_dictionary();
    }
    if (callable->kind == PickleKind::rebuild) {
        return push_tensor(*arguments);
    }
    if (callable->kind == PickleKind::parameter && !arguments->items.empty() &&
        arguments->items[0]->kind == PickleKind::tensor) {
        stack_.push_back(arguments->items[0]);
        return;
    }
    if (callable->kind == PickleKind::opaque || callable->kind == PickleKind::arguments_class) {
        return push_plain(PickleKind::opaque);
    }
    refuse("it calls something with unexpected arguments");
}

/// ("storage", class, member, location, number of elements)
void PickleMachine::push_storage() {
    const PickleValuePtr id = pop(PickleKind::tuple);
    const auto& items = id->items;
    if (items.size() != 5 || items[0]->text != "storage" || items[1]->kind != PickleKind::storage_type ||
        items[2]->kind != PickleKind::text || items[3]->kind != PickleKind::text) {
        refuse("a storage is described in an unknown way");
    }
    PickleValue value{PickleKind::storage, 0, {}, {}, 0, {}, 0};
    value.tensor.dtype = items[1]->tensor.dtype;
    value.tensor.storage = items[2]->text;
    if (value.tensor.storage.size() > kMaxStorageName) {
        refuse("the name of a storage is longer than " + std::to_string(kMaxStorageName) + " bytes");
    }
    value.tensor.storage_elements = integer_of(*items[4], "the size of a storage");
    push(std::move(value));
}

/// (storage, offset, shape, strides, requires_grad, hooks[, metadata])
void PickleMachine::push_tensor(const PickleValue& arguments) {
    const auto& items = arguments.items;
    if (items.size() < 6 || items[0]->kind != PickleKind::storage) {
        refuse("a tensor is described in an unknown way");
    }
    PickleValue value{PickleKind::tensor, 0, {}, {}, 0, items[0]->tensor, 0};
    value.tensor.offset = integer_of(*items[1], "the offset of a tensor");
    value.tensor.shape = extents_of(*items[2], "the shape of a tensor");
    value.tensor.strides = extents_of(*items[3], "the strides of a tensor");
    if (value.tensor.shape.size() != value.tensor.strides.size()) {
        refuse("shape and strides of a tensor differ in length");
    }
    push(std::move(value));
}

std::int64_t PickleMachine::integer_of(const PickleValue& value, const char* what) const {
    if (value.kind != PickleKind::integer || value.integer < 0) {
        refuse(std::string(what) + " is not a whole number from 0 on");
    }
    return value.integer;
}

Shape PickleMachine::extents_of(const PickleValue& value, const char* what) const {
    if (value.kind != PickleKind::tuple || value.items.size() > kMaxRank) {
        refuse(std::string(what) + " is not a short tuple");
    }
    Shape extents;
    for (const PickleValuePtr& item : value.items) {
        extents.push_back(integer_of(*item, what));
    }
    return extents;
}

std::string storage_class(DType dtype) {
    for (const StorageClass& known : kStorageClasses) {
        if (known.dtype == dtype) {
            return known.name;
        }
    }
    throw InternalError("no torch storage holds " + dtype_name(dtype), "convert it before writing");
}

PickledTensors read_tensor_pickle(std::string_view pickle, const std::string& label) {
    PickleMachine machine(pickle, label, PickleExtras::refused);
    return tensors_of(machine.entries_of(*machine.run()), label);
}

PickledTensors read_tensor_pickle_entry(std::string_view pickle, const std::string& label, const std::string& entry) {
    PickleMachine machine(pickle, label, PickleExtras::opaque);
    const PickleValuePtr wanted = find_entry(machine, label, entry);
    if (wanted == nullptr || wanted->kind != PickleKind::dictionary) {
        throw DataError("cannot read " + label, "it has no dictionary under \"" + entry + "\"",
                        "name a training checkpoint, or read it as a flat dictionary of tensors");
    }
    return tensors_of(machine.entries_of(*wanted), label);
}

nlohmann::json read_pickle_arguments(std::string_view pickle, const std::string& label, const std::string& entry) {
    PickleMachine machine(pickle, label, PickleExtras::opaque);
    const PickleValuePtr wanted = find_entry(machine, label, entry);
    const PickleValuePtr state =
        wanted == nullptr || wanted->kind != PickleKind::arguments ? nullptr : machine.state_of(*wanted);
    if (state == nullptr) {
        throw DataError("cannot read " + label, "it has no arguments of a program under \"" + entry + "\"",
                        "name a training checkpoint");
    }
    // A text may stand under many keys, and each of them gets a copy.
    std::size_t copied = 0;
    nlohmann::json arguments = nlohmann::json::object();
    for (const auto& [key, value] : machine.entries_of(*state)) {
        if (key->kind == PickleKind::text) {
            copied += key->text.size() + value->text.size() + sizeof(nlohmann::json);
            if (copied > kMostArgumentBytes) {
                throw DataError("cannot read " + label,
                                fmt::format("its arguments take more than {} bytes", kMostArgumentBytes),
                                "name a checkpoint that the published program wrote");
            }
            arguments[key->text] = plain_value(*value);
        }
    }
    return arguments;
}

}  // namespace ladle

// The machine that reads pickles of tensors; see pickle_reader.hpp. Internal to src/io.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "ladle/core/error.hpp"
#include "pickle_reader.hpp"

namespace ladle {

enum class PickleKind {
    mark,
    none,
    boolean,
    integer,
    real,
    text,
    tuple,
    dictionary,
    list,
    storage_type,
    rebuild,
    parameter,
    ordered,
    storage,
    tensor,
    arguments_class,  ///< argparse.Namespace
    arguments,        ///< an object of that class
    opaque            ///< something that is not understood; it can be passed on, and nothing is taken from it
};

/// What a pickle may hold beside dictionaries of tensors.
enum class PickleExtras { refused, opaque };

struct PickleValue;
using PickleValuePtr = std::shared_ptr<const PickleValue>;

struct PickleValue {
    PickleKind kind = PickleKind::none;
    std::int64_t integer = 0;  ///< integers and booleans; the number of a dictionary or of arguments
    std::string text;
    std::vector<PickleValuePtr> items;  ///< of a tuple
    std::size_t depth = 0;              ///< nesting of tuples
    PickledTensor tensor;               ///< of storage_type (dtype), storage and tensor
    double real = 0;
};

/// Keys are texts, shared and not copied: a pickle can store one text and name it any number of times.
using PickleEntries = std::vector<std::pair<PickleValuePtr, PickleValuePtr>>;

/// A stack machine over immutable values. Dictionaries are numbered, so that no value can contain itself.
class PickleMachine {
public:
    PickleMachine(std::string_view pickle, const std::string& label, PickleExtras extras)
        : rest_(pickle), label_(label), extras_(extras) {}

    /// Runs the whole pickle, which must leave one dictionary.
    PickleValuePtr run() {
        std::size_t steps = 0;
        while (step(take<std::uint8_t>())) {
            if (++steps > kMaxSteps) {
                refuse("it has more than " + std::to_string(kMaxSteps) + " operations");
            }
        }
        PickleValuePtr result = pop(PickleKind::dictionary);
        if (!stack_.empty() || !rest_.empty()) {
            refuse("something follows the dictionary");
        }
        return result;
    }

    /// Of a dictionary that run() gave, or that is one of its entries. With opaque extras keys may be other than texts.
    const PickleEntries& entries_of(const PickleValue& dictionary) const {
        return dictionaries_[static_cast<std::size_t>(dictionary.integer)];
    }
    /// The dictionary that an object of argparse.Namespace was given; null if there was none.
    PickleValuePtr state_of(const PickleValue& arguments) const {
        return states_[static_cast<std::size_t>(arguments.integer)];
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

    /// A model of ten thousand tensors takes about a quarter of a million steps; a step takes at most a few hundred
    /// bytes of memory.
    static constexpr std::size_t kMaxSteps = std::size_t{1} << 20U;

    void push(PickleValue value) { stack_.push_back(std::make_shared<const PickleValue>(std::move(value))); }
    void push_number(PickleKind kind, std::int64_t value) { push({kind, value, {}, {}, 0, {}, 0}); }
    void push_plain(PickleKind kind) { push_number(kind, 0); }
    void push_dictionary() {
        push_number(PickleKind::dictionary, static_cast<std::int64_t>(dictionaries_.size()));
        dictionaries_.emplace_back();
    }
    void push_arguments() {
        push_number(PickleKind::arguments, static_cast<std::int64_t>(states_.size()));
        states_.emplace_back();
    }
    void push_tuple(std::vector<PickleValuePtr> items) {
        std::size_t depth = 0;
        for (const PickleValuePtr& item : items) {
            depth = std::max(depth, item->depth);
        }
        if (depth >= 16) {
            refuse("tuples are nested too deeply");
        }
        push({PickleKind::tuple, 0, {}, std::move(items), depth + 1, {}, 0});
    }
    PickleValuePtr pop() {
        if (stack_.empty() || stack_.back()->kind == PickleKind::mark) {
            refuse("an operation finds nothing on the stack");
        }
        PickleValuePtr value = std::move(stack_.back());
        stack_.pop_back();
        return value;
    }
    PickleValuePtr pop(PickleKind kind) {
        PickleValuePtr value = pop();
        if (value->kind != kind) {
            refuse("an object is of the wrong kind");
        }
        return value;
    }
    std::vector<PickleValuePtr> pop_count(std::size_t count) {
        std::vector<PickleValuePtr> items(count);
        for (std::size_t i = count; i > 0; --i) {
            items[i - 1] = pop();
        }
        return items;
    }
    std::vector<PickleValuePtr> pop_to_mark() {
        const auto mark = std::find_if(stack_.rbegin(), stack_.rend(),
                                       [](const PickleValuePtr& value) { return value->kind == PickleKind::mark; });
        if (mark == stack_.rend()) {
            refuse("a mark is missing");
        }
        std::vector<PickleValuePtr> items(mark.base(), stack_.end());
        stack_.erase(mark.base() - 1, stack_.end());
        return items;
    }

    void remember(std::uint32_t slot) {
        const PickleValuePtr value = pop();
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
    bool push_constant(std::uint8_t operation);
    bool use_memo(std::uint8_t operation);
    bool use_opaque(std::uint8_t operation);
    void expect_list();
    PickleValuePtr target();
    void push_global();
    void push_long();
    void push_text();
    void reduce();
    void push_storage();
    void push_tensor(const PickleValue& arguments);
    void set_items(const std::vector<PickleValuePtr>& items);
    void push_real();
    void push_object();
    void build();
    std::int64_t integer_of(const PickleValue& value, const char* what) const;
    Shape extents_of(const PickleValue& value, const char* what) const;

    std::string_view rest_;
    const std::string& label_;
    PickleExtras extras_;
    std::vector<PickleValuePtr> stack_;
    std::unordered_map<std::uint32_t, PickleValuePtr> memo_;
    std::vector<PickleEntries> dictionaries_;
    std::vector<PickleValuePtr> states_;
};

}  // namespace ladle

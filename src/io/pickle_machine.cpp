// Operations of the pickle machine on its stack, memo and dictionaries.
#include "pickle_machine.hpp"

#include <algorithm>

#include "ladle/core/utf8.hpp"

namespace ladle {

/// One operation; false at the end. Source of the numbers: CPython, Lib/pickletools.py.
bool PickleMachine::step(std::uint8_t operation) {
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
        case '}':
            push_dictionary();
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
            if (!push_constant(operation) && !use_memo(operation) && !use_opaque(operation)) {
                refuse("operation " + std::to_string(operation) + " is not accepted");
            }
            return true;
    }
}

/// Operations that push a mark, a number, a text or an empty list.
bool PickleMachine::push_constant(std::uint8_t operation) {
    switch (operation) {
        case '(':
            push_plain(PickleKind::mark);
            return true;
        case ']':
            push_plain(PickleKind::list);
            return true;
        case 'N':
            push_plain(PickleKind::none);
            return true;
        case 0x88:
        case 0x89:
            push_number(PickleKind::boolean, operation == 0x88 ? 1 : 0);
            return true;
        case 'K':
            push_number(PickleKind::integer, take<std::uint8_t>());
            return true;
        case 'M':
            push_number(PickleKind::integer, take<std::uint16_t>());
            return true;
        case 'J':
            push_number(PickleKind::integer, take<std::int32_t>());
            return true;
        case 0x8a:
            push_long();
            return true;
        case 'X':
            push_text();
            return true;
        default:
            return false;
    }
}

/// Operations that store the top of the stack in a numbered slot, or push what a slot holds.
bool PickleMachine::use_memo(std::uint8_t operation) {
    switch (operation) {
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
        default:
            return false;
    }
}

/// Operations on what is carried along without being understood; only with opaque extras.
bool PickleMachine::use_opaque(std::uint8_t operation) {
    if (extras_ == PickleExtras::refused) {
        return false;
    }
    switch (operation) {
        case 'G':
            push_real();
            return true;
        case 0x81:
            push_object();
            return true;
        case 'a':
            pop();
            expect_list();
            return true;
        case 'e':
            pop_to_mark();
            expect_list();
            return true;
        default:
            return false;
    }
}

/// A double with its highest byte first.
void PickleMachine::push_real() {
    auto bits = take<std::uint64_t>();
    char* bytes = reinterpret_cast<char*>(&bits);
    std::reverse(bytes, bytes + sizeof(bits));
    PickleValue value{PickleKind::real, 0, {}, {}, 0, {}, 0};
    std::memcpy(&value.real, &bits, sizeof(bits));
    push(std::move(value));
}

/// NEWOBJ: class and arguments.
void PickleMachine::push_object() {
    const auto parts = pop_count(2);
    if (parts[0]->kind == PickleKind::arguments_class) {
        push_arguments();
    } else {
        push_plain(PickleKind::opaque);
    }
}

/// What is added to a list is forgotten: no tensor is taken from one.
void PickleMachine::expect_list() {
    const PickleValuePtr target = pop();
    if (target->kind != PickleKind::list && target->kind != PickleKind::opaque) {
        refuse("something is added to what is no list");
    }
    stack_.push_back(target);
}

/// The dictionary or object on top of the stack, which stays there.
PickleValuePtr PickleMachine::target() {
    PickleValuePtr value = pop();
    if (value->kind != PickleKind::dictionary && value->kind != PickleKind::opaque &&
        value->kind != PickleKind::arguments) {
        refuse("an object is of the wrong kind");
    }
    stack_.push_back(value);
    return value;
}

void PickleMachine::push_long() {
    const std::string_view bytes = take_bytes(take<std::uint8_t>());
    if (bytes.size() > sizeof(std::int64_t)) {
        refuse("a number is too large");
    }
    // Two's complement of any length: the last byte carries the sign.
    std::int64_t value = !bytes.empty() && (static_cast<std::uint8_t>(bytes.back()) & 0x80U) != 0 ? -1 : 0;
    std::memcpy(&value, bytes.data(), bytes.size());
    push_number(PickleKind::integer, value);
}

void PickleMachine::push_text() {
    const std::string_view text = take_bytes(take<std::uint32_t>());
    if (!is_plain_text(text)) {
        refuse("a text is malformed UTF-8 or holds a NUL");
    }
    push({PickleKind::text, 0, std::string(text), {}, 0, {}, 0});
}

void PickleMachine::set_items(const std::vector<PickleValuePtr>& items) {
    const PickleValuePtr changed = target();
    if (items.size() % 2 != 0) {
        refuse("a key has no value");
    }
    if (changed->kind != PickleKind::dictionary) {
        return;
    }
    PickleEntries& entries = dictionaries_[static_cast<std::size_t>(changed->integer)];
    for (std::size_t i = 0; i < items.size(); i += 2) {
        if (items[i]->kind != PickleKind::text && extras_ == PickleExtras::refused) {
            refuse("a key is not a text");
        }
        entries.emplace_back(items[i], items[i + 1]);
    }
}

/// Attributes of arguments are what they hold; those of a dictionary (state_dict() adds _metadata) say nothing about
/// tensors.
void PickleMachine::build() {
    PickleValuePtr state = pop();
    const PickleValuePtr changed = target();
    if (changed->kind == PickleKind::arguments && state->kind == PickleKind::dictionary) {
        states_[static_cast<std::size_t>(changed->integer)] = std::move(state);
    }
}

}  // namespace ladle

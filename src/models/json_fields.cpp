// Reading descriptions strictly.
#include "json_fields.hpp"

#include <algorithm>

#include "ladle/core/error.hpp"

namespace ladle {

using nlohmann::json;

JsonFields::JsonFields(const json& object, std::string label, std::string file)
    : object_(object), label_(std::move(label)), file_(std::move(file)) {
    if (!object.is_object()) {
        refuse(file_ + " is not a JSON object", "use the " + file_ + " that was published with the model");
    }
}

void JsonFields::refuse(const std::string& why, const std::string& fix) const {
    throw DataError("cannot use the model of " + label_, why, fix);
}

void JsonFields::refuse_value(const char* name, const std::string& expected) const {
    // Texts of GGUF files need not be UTF-8.
    refuse(std::string(name) + " is " + object_[name].dump(-1, ' ', false, json::error_handler_t::replace) + ", not " +
           expected);
}

bool JsonFields::has(const char* name) const {
    return object_.contains(name) && !object_[name].is_null();
}

const json& JsonFields::field(const char* name) const {
    if (!object_.contains(name)) {
        refuse(file_ + " has no " + name, "use the " + file_ + " of a full model directory");
    }
    return object_[name];
}

int JsonFields::whole(const char* name, int smallest, int largest) const {
    const json& value = field(name);
    if (!value.is_number_integer() || value.get<double>() < smallest || value.get<double>() > largest) {
        refuse_value(name, "a whole number in " + std::to_string(smallest) + ".." + std::to_string(largest));
    }
    return value.get<int>();
}

int JsonFields::whole_or(const char* name, int standard, int smallest, int largest) const {
    return has(name) ? whole(name, smallest, largest) : standard;
}

double JsonFields::real(const char* name, double standard, double below) const {
    if (!object_.contains(name)) {
        return standard;
    }
    const json& value = object_[name];
    if (!value.is_number() || !(value.get<double>() >= 0) || !(value.get<double>() < below)) {
        refuse_value(name, "a number from 0 to " + json(below).dump());
    }
    return value.get<double>();
}

double JsonFields::positive(const char* name, double below) const {
    field(name);
    const double value = real(name, 0, below);
    if (value == 0) {
        refuse_value(name, "a number above 0");
    }
    return value;
}

std::string JsonFields::text(const char* name) const {
    if (!field(name).is_string()) {
        refuse_value(name, "a text");
    }
    return field(name).get<std::string>();
}

bool JsonFields::flag(const char* name, bool standard) const {
    if (!has(name)) {
        return standard;
    }
    if (!object_[name].is_boolean()) {
        refuse_value(name, "true or false");
    }
    return object_[name].get<bool>();
}

void JsonFields::expect(const char* name, const json& expected) const {
    if (object_.contains(name) && object_[name] != expected) {
        refuse(std::string(name) + " is " + object_[name].dump(-1, ' ', false, json::error_handler_t::replace) +
                   "; ladle computes " + expected.dump() + " only",
               "choose another backbone");
    }
}

void JsonFields::expect_keys(const std::string& prefix, const std::vector<std::string>& known) const {
    for (const auto& [key, value] : object_.items()) {
        if (key.starts_with(prefix) && std::find(known.begin(), known.end(), key) == known.end()) {
            refuse(file_ + " has the key " + key + ", which ladle does not know",
                   "choose a LLaMA model, or remove the key if it changes nothing");
        }
    }
}

}  // namespace ladle

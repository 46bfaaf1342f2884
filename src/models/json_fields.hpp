// Typed fields of a model's description, and what is wrong with them in words. Internal to src/models.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace ladle {

/// Largest width, row count or number of ids that a description may state.
inline constexpr int kMostUnits = 1 << 24;

class JsonFields {
public:
    /// `label` names the model and `file` the description in errors. Throws DataError if it is not an object. The
    /// object must outlive this.
    JsonFields(const nlohmann::json& object, std::string label, std::string file);

    /// True if the field is there and not null.
    bool has(const char* name) const;
    /// The field, which must be there.
    const nlohmann::json& field(const char* name) const;
    /// A whole number in smallest..largest.
    int whole(const char* name, int smallest, int largest) const;
    /// The same, or `standard` if it is absent or null.
    int whole_or(const char* name, int standard, int smallest, int largest) const;
    /// A number in [0, below), or `standard` if it is absent.
    double real(const char* name, double standard, double below) const;
    /// A number in (0, below).
    double positive(const char* name, double below) const;
    /// A text, which must be there.
    std::string text(const char* name) const;
    /// A boolean, or `standard` if it is absent or null.
    bool flag(const char* name, bool standard) const;
    /// Refuses any other value than the one that ladle computes, if the field is there.
    void expect(const char* name, const nlohmann::json& expected) const;
    /// Refuses every key that starts with `prefix` and is not among these.
    void expect_keys(const std::string& prefix, const std::vector<std::string>& known) const;
    [[noreturn]] void refuse(const std::string& why, const std::string& fix) const;
    /// The same with the remedy "repair <file>".
    [[noreturn]] void refuse(const std::string& why) const { refuse(why, "repair " + file_); }

private:
    [[noreturn]] void refuse_value(const char* name, const std::string& expected) const;

    const nlohmann::json& object_;
    std::string label_;
    std::string file_;
};

}  // namespace ladle

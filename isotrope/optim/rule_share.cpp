#include "isotrope/optim/rule_share.h"

#include <algorithm>

#include "isotrope/base/error.h"
#include "isotrope/base/progress.h"
#include "isotrope/io/json.h"

namespace isotrope {

namespace {

/// `model.layers.*.mlp.up_proj.weight` of a name with a number between dots.
std::string without_numbers(const std::string& name) {
  std::string pattern, part;
  const auto end_part = [&] {
    const bool number = !part.empty() && std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; });
    pattern += number ? "*" : part;
    part.clear();
  };
  for (const char c : name) {
    if (c == '.') end_part(), pattern += c;
    else part += c;
  }
  end_part();
  return pattern;
}

}  // namespace

std::string names_of(const RuleShare& share) {
  std::vector<std::pair<std::string, int>> names;
  for (const auto& name : share.parameters) {
    const auto pattern = without_numbers(name);
    const auto found = std::ranges::find(names, pattern, &std::pair<std::string, int>::first);
    if (found == names.end()) names.emplace_back(pattern, 1);
    else ++found->second;
  }
  std::string list;
  for (const auto& [name, count] : names) list += (list.empty() ? "" : ", ") + (count > 1 ? fmt::format("{} ({})", name, count) : name);
  return list;
}

std::string text_of(const RuleShare& share) {
  return fmt::format("{}: {} tensor{}, {} numbers, {}decay {}, state {}", share.rule, share.parameters.size(),
                     share.parameters.size() == 1 ? "" : "s", count_text(static_cast<double>(share.numbers)),
                     share.lr_factor == 1 ? "" : fmt::format("learning rate × {}, ", share.lr_factor), share.weight_decay,
                     bytes_text(static_cast<double>(share.state_bytes)));
}

nlohmann::json to_json(const std::vector<RuleShare>& shares) {
  auto list = nlohmann::json::array();
  for (const auto& share : shares)
    list.push_back({{"rule", share.rule},
                    {"lr_factor", share.lr_factor},
                    {"weight_decay", share.weight_decay},
                    {"numbers", share.numbers},
                    {"state_bytes", share.state_bytes},
                    {"parameters", share.parameters}});
  return list;
}

std::vector<RuleShare> rule_shares(const nlohmann::json& json, const std::string& file) {
  std::vector<RuleShare> shares;
  if (!json.is_array()) throw InputError("plan", "{}: the rules are no list", file);
  for (const auto& item : json) {
    const JsonReader reader(item, "plan", file);
    for (const auto* key : {"numbers", "state_bytes"})
      if (const auto number = reader.get_int(key); number < 0 || number > std::int64_t{1} << 60)
        throw InputError("plan", "{}: {} = {} is out of range", file, key, number);
    auto& share = shares.emplace_back(RuleShare{.rule = reader.get_string("rule"),
                                                .lr_factor = reader.get_number("lr_factor"),
                                                .weight_decay = reader.get_number("weight_decay"),
                                                .numbers = reader.get_int("numbers"),
                                                .state_bytes = reader.get_int("state_bytes")});
    const auto names = item.find("parameters");
    if (names == item.end() || !names->is_array()) throw InputError("plan", "{}: rule {} names no parameters", file, share.rule);
    for (const auto& name : *names) {
      if (!name.is_string()) throw InputError("plan", "{}: a parameter of rule {} is no name", file, share.rule);
      share.parameters.push_back(name);
    }
  }
  return shares;
}

}  // namespace isotrope

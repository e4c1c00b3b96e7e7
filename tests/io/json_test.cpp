#include "isotrope/io/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "isotrope/base/error.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using test::message_of;

nlohmann::json parse(std::string_view text, const JsonOptions& options = {}) { return parse_json(text, "config", "config.json", options); }

TEST(Json, ValuesEqualTheLibrarysOwnParser) {
  const std::string text =
      R"({"a": [1, -2, 3.5, {"b": null, "c": [true, false, []]}], "d": {}, "e": "\u00e9\n", "f": 18446744073709551615, "g": [[1], [2, 3]]})";
  EXPECT_EQ(parse(text), nlohmann::json::parse(text));
  EXPECT_EQ(parse("7"), 7);
}

TEST(Json, ErrorsAreOneLineThatNamesLineAndColumn) {
  EXPECT_EQ(message_of([] { parse("{\n  \"a\": 1,\n  b\n}"); }).find("[config] config.json: line 3, column 3: not valid JSON: "), 0u)
      << message_of([] { parse("{\n  \"a\": 1,\n  b\n}"); });
  for (const std::string text : {"", "{", "[1,]", "{} x", "\"a\nb\"", "nul", "1e999", "{\"a\" 1}", "\xff\xfe", "\"\xff\""}) {
    const auto message = message_of([&] { parse(text); });
    EXPECT_TRUE(message.starts_with("[config] config.json: line ")) << text << " → " << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_LT(message.size(), 260u);
  }
}

TEST(Json, DepthIsLimited) {
  const auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_NO_THROW(parse(nested(256)));
  EXPECT_EQ(message_of([&] { parse(nested(257)); }), "[config] config.json: JSON is nested deeper than 256 levels");
  EXPECT_THROW(parse(std::string(1 << 20, '[')), InputError);
}

TEST(Json, AKeyGivenTwiceIsRefusedWhereKeysMustBeUnique) {
  EXPECT_EQ(parse(R"({"a": 1, "a": 2})").at("a"), 2);
  EXPECT_EQ(message_of([] { parse(R"({"a": 1, "a": 2})", {.unique_keys = true}); }),
            "[config] config.json: the key \"a\" stands twice in one object");
  EXPECT_NO_THROW(parse(R"([{"a": 1}, {"a": 2}])", {.unique_keys = true}));
}

TEST(Json, GettersNameFileAndKey) {
  const auto json = parse(
      R"({"n_layer": "twelve", "n_head": 12, "eps": 1e-5, "tie": true, "act": "gelu", "scale": {"factor": []}, "width": 4.0, "half": 0.5, "none": null, "huge": 18446744073709551615})");
  const JsonReader reader(json, "config", "config.json");
  EXPECT_EQ(reader.get_int("n_head"), 12);
  EXPECT_EQ(reader.get_int("width"), 4);
  EXPECT_EQ(reader.get_number("n_head"), 12.0);
  EXPECT_EQ(reader.get_number("eps"), 1e-5);
  EXPECT_TRUE(reader.get_bool("tie"));
  EXPECT_EQ(reader.get_string("act"), "gelu");
  EXPECT_EQ(message_of([&] { reader.get_int("n_layer"); }), "[config] config.json: \"n_layer\": expected an integer, got a string");
  EXPECT_EQ(message_of([&] { reader.get_int("half"); }), "[config] config.json: \"half\": expected an integer, got a fraction");
  EXPECT_EQ(message_of([&] { reader.get_int("none"); }), "[config] config.json: \"none\": expected an integer, got null");
  EXPECT_EQ(message_of([&] { reader.get_string("vocab"); }), "[config] config.json: \"vocab\" is missing (expected a string)");
  EXPECT_EQ(message_of([&] { reader.get_object("scale").get_number("factor"); }),
            "[config] config.json: \"scale.factor\": expected a number, got an array");
  EXPECT_EQ(message_of([&] { reader.get_int("huge"); }), "[config] config.json: \"huge\": 18446744073709551615 does not fit 64 bits");
  EXPECT_THROW(JsonReader(json.at("n_head"), "config", "config.json"), InputError);
}

TEST(Json, FallbacksStandForAbsentAndNullNotForTheWrongType) {
  const auto json = parse(R"({"none": null, "wrong": "x"})");
  const JsonReader reader(json, "config", "config.json");
  EXPECT_EQ(reader.get_int("none", 3), 3);
  EXPECT_EQ(reader.get_number("absent", 0.5), 0.5);
  EXPECT_EQ(reader.get_bool("absent", true), true);
  EXPECT_EQ(reader.get_string("absent", "x"), "x");
  EXPECT_THROW(reader.get_int("wrong", 3), InputError);
  EXPECT_FALSE(reader.has("none"));
  EXPECT_TRUE(reader.has("wrong"));
}

TEST(Json, ReadsTheFloatsThatPythonWritesBare) {
  const auto read = [](std::string_view text) { return parse_json(text, "config", "config.json", {.python_floats = true}); };
  const auto json = read(R"({"limits": [0.0, Infinity], "low":-Infinity, "none": NaN, "text": "NaN, \\\"Infinity", "one": 1})");
  constexpr double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(json_number(json["limits"][1]), infinity);
  EXPECT_EQ(json_number(json["low"]), -infinity);
  EXPECT_TRUE(std::isnan(*json_number(json["none"])));
  EXPECT_EQ(json["text"], "NaN, \\\"Infinity");
  EXPECT_EQ(json_number(json["one"]), 1.0);
  // As transformers 5 writes it, and as we do: reading what was dumped gives the same.
  EXPECT_EQ(json["limits"][1], (nlohmann::json{{"__float__", "Infinity"}}));
  EXPECT_EQ(read(json.dump()), json);
  EXPECT_FALSE(json_number(json["text"]));
  EXPECT_FALSE(json_number(nlohmann::json{{"__float__", "Infinite"}}));
  for (const auto* broken : {"[Infinity, Infinit]", "[1Infinity]", "{Infinity: 1}", "[Infinity Infinity]", "[--Infinity]"})
    EXPECT_THROW(read(broken), InputError) << broken;
  EXPECT_THROW(parse_json("[Infinity]", "config", "config.json"), InputError);
}

}  // namespace
}  // namespace isotrope

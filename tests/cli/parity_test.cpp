// `isotrope parity` as a user meets it, on a dump of transformers (tests/data/dumps) and on dumps that are broken or of something else.
#include "isotrope/io/safetensors.h"
#include "tests/cli/workplace.h"

namespace isotrope {
namespace {

using namespace test;

std::string data(const std::string& path) { return std::string(ISOTROPE_TEST_SOURCE) + "/data/" + path; }

ProgramResult parity(const std::string& model, const std::string& dump, const std::string& more = "") {
  return run_program("parity '" + model + "' --against '" + dump + "' --threads 1 " + more);
}

class ParityCommand : public testing::Test {
 protected:
  /// What the program says to the good dump after `change`.
  template <class Change>
  ProgramResult changed(Change&& change) const {
    const SafetensorsFile good(dump);
    auto tensors = good.tensors();
    auto about = good.metadata();
    change(tensors, about);
    write_safetensors(place / "changed.safetensors", tensors, about);
    return parity(model, (place / "changed.safetensors").string());
  }
  static TensorView& tensor(std::vector<TensorView>& tensors, const std::string& name) {
    return *std::ranges::find(tensors, name, &TensorView::name);
  }

  const TemporaryFolder place;
  const std::string model = data("models/llama_gqa2_theta5e5"), dump = data("dumps/llama_gqa2_theta5e5.safetensors");
};

TEST_F(ParityCommand, PrintsOneRowATapAndSucceedsWhenAllAgree) {
  const auto result = parity(model, dump);
  ASSERT_EQ(result.code, 0) << result.err;
  const auto lines = lines_of(result.out);
  ASSERT_EQ(lines.size(), 13u) << result.out;
  EXPECT_TRUE(lines[1].starts_with("embed ")) << lines[1];
  EXPECT_TRUE(lines[2].starts_with("attn_out.0 ")) << lines[2];
  EXPECT_TRUE(lines[11].starts_with("logits ")) << lines[11];
  EXPECT_EQ(lines[12], "11 taps of 10 tokens compared in float32, 0 depart by more than 0.0001");
}

TEST_F(ParityCommand, NamesTheFirstDepartureAndFails) {
  const auto folder = place / "changed";
  fs::copy(model, folder);
  const SafetensorsFile good(folder / "model.safetensors");
  auto tensors = good.tensors();
  auto& weight = tensor(tensors, "model.layers.1.mlp.down_proj.weight");
  std::vector<std::byte> bytes(weight.bytes.begin(), weight.bytes.end());
  reinterpret_cast<float*>(bytes.data())[3] += 0.5F;
  weight.bytes = bytes;
  write_safetensors(place / "weights", tensors, good.metadata());
  fs::rename(place / "weights", folder / "model.safetensors");

  const auto result = parity(folder.string(), dump);
  expect_error(result, 1, {"[parity]", "mlp_out.1 is the first tap that departs", "tolerance 1.000e-04"});
  EXPECT_NE(result.out.find("4 depart by more than 0.0001"), std::string::npos) << result.out;
  const auto json = last_json(parity(folder.string(), dump, "--json"));
  EXPECT_EQ(json["first_departure"], "mlp_out.1");
  EXPECT_EQ(json["taps"].size(), 11u);
  EXPECT_GT(json["taps"][7]["relative"], 1e-4);
  EXPECT_EQ(json["tokens"], 10);
  EXPECT_EQ(parity(folder.string(), dump, "--tolerance 100").code, 0);
  EXPECT_EQ(parity(model, dump, "--tolerance 0").code, 1);
}

TEST_F(ParityCommand, ComputesInAnotherTypeWhenAsked) {
  const auto json = last_json(parity(model, dump, "--dtype bfloat16 --json"));
  EXPECT_EQ(json["dtype"], "bfloat16");
  EXPECT_EQ(json["tolerance"], 0.1);
  EXPECT_TRUE(json["first_departure"].is_null());
  EXPECT_GT(json["taps"].back()["relative"], 1e-4);
}

TEST_F(ParityCommand, SaysWhatADumpOfAnotherModelIs) {
  expect_error(parity(data("models/gpt2_tied"), dump), 3, {dump, "type llama", "is gpt2"});
  expect_error(parity(data("models/llama_mqa_biases"), dump), 3, {dump, "logits of 43 tokens", "53"});
  expect_error(parity(data("models/llama_llama3_rope"), dump), 3, {dump, "width 24", "28"});
  expect_error(parity(data("encoders/bert_bare"), data("dumps/bert_pretraining.safetensors")), 3, {"logits", "no language-modelling head"});
  expect_error(parity(data("encoders/bert_masked_lm"), data("dumps/bert_pretraining.safetensors")), 3,
               {"pair_logits", "no head for pairs"});
  expect_error(parity(data("models/llama_linear_rope_legacy"), dump), 3, {"logits of 43 tokens", "41"});
  expect_error(changed([](auto& tensors, auto&) { std::erase_if(tensors, [](const auto& t) { return t.name == "resid_post.1"; }); }), 3,
               {"has 1 layers, the model 2"});
}

TEST_F(ParityCommand, SaysWhatIsWrongInTheDump) {
  expect_error(parity(model, "absent.safetensors"), 3, {"absent.safetensors"});
  expect_error(parity(model, model + "/model.safetensors"), 3, {"is not an activation dump"});
  expect_error(parity("absent", dump), 3, {"absent", "no such file or folder"});
  put(place / "cut.safetensors", slurp(dump).substr(0, 5000));
  expect_error(parity(model, (place / "cut.safetensors").string()), 3, {"cut.safetensors"});
  expect_error(changed([](auto&, auto& about) { about["version"] = "2"; }), 3, {"version '2', this program reads 1"});

  expect_error(changed([](auto& tensors, auto&) { std::erase_if(tensors, [](const auto& t) { return t.name.starts_with("mlp_out"); }); }),
               3, {"lacks taps of this model: mlp_out.0, mlp_out.1"});
  expect_error(changed([](auto& tensors, auto&) { tensors.push_back(tensor(tensors, "embed")), tensors.back().name = "ssm_out.0"; }), 3,
               {"has taps that this model does not have: ssm_out.0"});
  const std::vector<std::int64_t> wide(12, 43), far(12, 200000);
  expect_error(changed([&](auto& tensors, auto&) { tensor(tensors, "ids").bytes = std::as_bytes(std::span(wide)); }), 3,
               {"id 43 lies past the model's vocabulary of 43"});
  expect_error(changed([&](auto& tensors, auto&) { tensor(tensors, "positions").bytes = std::as_bytes(std::span(far)); }), 3,
               {"200001 tokens", "130 positions"});
  const std::vector<std::int64_t> past_int(12, std::int64_t{1} << 40);
  expect_error(changed([&](auto& tensors, auto&) { tensor(tensors, "positions").bytes = std::as_bytes(std::span(past_int)); }), 3,
               {"changed.safetensors", "positions has a number above 2147483647"});
  const std::vector<float> numbers(12 * 24, std::numeric_limits<float>::quiet_NaN()), narrow(12 * 20);
  expect_error(changed([&](auto& tensors, auto&) { tensor(tensors, "attn_out.1").bytes = std::as_bytes(std::span(numbers)); }), 3,
               {"changed.safetensors", "attn_out.1", "not finite"});
  expect_error(changed([&](auto& tensors, auto&) {
                 tensor(tensors, "attn_out.1").shape = {2, 6, 20};
                 tensor(tensors, "attn_out.1").bytes = std::as_bytes(std::span(narrow));
               }),
               3, {"tap attn_out.1: expected shape [2, 6, 24], got [2, 6, 20]"});
}

TEST_F(ParityCommand, NamesATokenTypeThatTheModelDoesNotHave) {
  const SafetensorsFile good(data("dumps/bert_pretraining.safetensors"));
  auto tensors = good.tensors();
  const std::vector<std::int64_t> types(12, 2);
  tensor(tensors, "token_types").bytes = std::as_bytes(std::span(types));
  write_safetensors(place / "types.safetensors", tensors, good.metadata());
  expect_error(parity(data("encoders/bert_pretraining"), (place / "types.safetensors").string()), 3, {"token type 2, the model has 2"});
}

TEST_F(ParityCommand, WantsItsArguments) {
  expect_error(run_program("parity '" + model + "'"), 2, {"--against"});
  expect_error(parity(model, dump, "--tolerance -1"), 2, {"--tolerance"});
  expect_error(parity(model, dump, "--dtype int8"), 2, {"--dtype"});
}

}  // namespace
}  // namespace isotrope

// Which label a text (or two) has: cross-entropy on the logits of the model's task head.
#include <ATen/ATen.h>

#include <algorithm>

#include "isotrope/base/error.h"
#include "isotrope/base/file.h"
#include "isotrope/base/log.h"
#include "isotrope/base/random.h"
#include "isotrope/base/sha256.h"
#include "isotrope/data/labelled_records.h"
#include "isotrope/models/task_head.h"
#include "isotrope/train/objectives/encoder_rows.h"
#include "isotrope/train/step.h"

namespace isotrope {

namespace {

struct LabelledText {
  TokenSequence tokens;
  std::int64_t label;
};

/// The records of a file as the model reads them, cut at `context` tokens.
std::vector<LabelledText> encode_records(const fs::path& file, const Model& model, const Tokenizer& tokenizer, std::int64_t context) {
  std::vector<LabelledText> texts;
  std::size_t full = 0;
  const EncodeOptions options{.max_length = static_cast<std::size_t>(context)};
  for (const auto& r : read_labelled_records(file, model.task_head()->label_names)) {
    texts.push_back({r.second ? tokenizer.encode_pair(r.first, *r.second, options) : tokenizer.encode_typed(r.first, options), r.label});
    const auto tokens = texts.back().tokens.ids.size();
    if (tokens == 0) throw InputError("train", "{}: line {}: the text has no tokens", file.string(), r.line);
    full += tokens == static_cast<std::size_t>(context);
  }
  if (full > 0)
    note(fmt::format("{}: {} of {} records fill train.context = {}: longer ones are cut", file.string(), full, texts.size(), context));
  return texts;
}

/// Texts without meaning, of full length: what plans compute with.
std::vector<LabelledText> random_texts(std::int64_t count, const Model& model, std::int64_t context) {
  RandomStream random(0, "plan/ids");
  std::vector<LabelledText> texts(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    texts[i].label = static_cast<std::int64_t>(i) % model.task_head()->labels;
    texts[i].tokens.types.assign(static_cast<std::size_t>(context), 0);
    for (std::int64_t j = 0; j < context; ++j)
      texts[i].tokens.ids.push_back(static_cast<TokenId>(random.below(static_cast<std::uint64_t>(model.shape().vocab_size))));
  }
  return texts;
}

/// Lines that hold something; 0 where there is no file.
std::int64_t count_records(const std::string& file) {
  if (file.empty() || !fs::exists(file)) return 0;
  const MappedFile map(file, "train");
  std::int64_t lines = 0;
  bool something = false;
  for (const char c : map.text()) {
    if (c == '\n') lines += std::exchange(something, false);
    else something = something || (c != ' ' && c != '\t' && c != '\r');
  }
  return lines + something;
}

class Classification final : public Objective {
 public:
  explicit Classification(const ObjectiveSetup& setup)
      : seed_(static_cast<std::uint64_t>(setup.config.train.seed)),
        evaluation_batch_(setup.config.eval.batch_size),
        padding_(setup.model.config().value("pad_token_id", nlohmann::json()).is_number_integer()
                     ? setup.model.config()["pad_token_id"].get<std::int64_t>()
                     : 0),
        device_(setup.model.parameters().options().device()) {
    const auto& c = setup.config;
    if (c.data.document_mask) throw UsageError("train", "data.document_mask has no effect with classification: each row is one text");
    if (c.train.z_loss > 0) throw UsageError("train", "train.z_loss has no effect with classification");
    if (!setup.tokenizer) {
      training_ = random_texts(c.train.batch_size, setup.model, c.train.context);
      validation_ = random_texts(c.eval.batch_size, setup.model, c.train.context);
      size_.validation_rows = count_records(c.data.validation);
    } else {
      expect_same_padding(setup.model, *setup.tokenizer);
      vocabulary_ = setup.tokenizer->fingerprint();
      training_ = encode_records(c.data.train, setup.model, *setup.tokenizer, c.train.context);
      if (c.observe.evaluation > 0 && !c.data.validation.empty())
        validation_ = encode_records(c.data.validation, setup.model, *setup.tokenizer, c.train.context);
      size_ = {tokens_of_texts(training_), tokens_of_texts(validation_), static_cast<std::int64_t>(validation_.size())};
    }
    const auto all = static_cast<std::int64_t>(validation_.size());
    evaluation_rows_ = c.eval.max_windows > 0 ? std::min(all, c.eval.max_windows) : all;
  }

  std::string name() const override { return "classification"; }
  DataSize data_size() const override { return size_; }
  double head_share() const override { return 0; }

  std::string data() const override {
    Sha256 hash;
    const auto add = [&](const auto& numbers) {
      hash.add({reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(numbers[0])});
    };
    for (const auto& text : training_) add(text.tokens.ids), add(text.tokens.types), add(std::array{text.label});
    return fmt::format("{} records, SHA-256 {}, vocabulary {}", training_.size(), hash.hex(), vocabulary_);
  }

  /// An epoch takes every record once, in an order of its own.
  Batch batch(std::uint64_t position, std::int64_t rows) const override {
    std::vector<const LabelledText*> texts;
    for (std::int64_t row = 0; row < rows; ++row) {
      const auto place = position + static_cast<std::uint64_t>(row), count = static_cast<std::uint64_t>(training_.size());
      const RandomPermutation order(count, seed_, "order/records", place / count);
      texts.push_back(&training_[order(place % count)]);
    }
    return padded(texts);
  }

  at::Tensor loss(Model& model, const Batch& batch, const StepCounts& counts, const ForwardContext& context,
                  Measures& measures) const override {
    const auto hidden = model.forward_ids(batch.ids, context);
    const auto real = batch.documents.defined() ? batch.documents.ne(padding_document).to(at::kLong) : at::Tensor();
    const auto logits = (*model.task_head())(hidden, real, context.dropout).to(at::kFloat);
    const auto& targets = batch.tensors.at("labels");
    const auto nll = at::cross_entropy_loss(logits, targets, {}, at::Reduction::Sum);
    measures.add("label", nll.item<double>(), (logits.argmax(1) == targets).sum().item<double>(), targets.numel());
    return counts.share("label") * nll;
  }

  void evaluate(Model& model, const std::function<bool()>& stop_requested, Measures& measures) const override {
    const at::NoGradGuard no_grad;
    const RandomPermutation order(validation_.size(), /*seed=*/0, "order/records");
    for (std::int64_t at = 0; at < evaluation_rows_; at += evaluation_batch_) {
      if (stop_requested()) throw Interrupted("eval", "after {} of {} records", at, evaluation_rows_);
      std::vector<const LabelledText*> texts;
      for (std::int64_t i = at; i < std::min(at + evaluation_batch_, evaluation_rows_); ++i)
        texts.push_back(&validation_[order(static_cast<std::uint64_t>(i))]);
      const auto batch = padded(texts);
      loss(model, batch, StepCounts({&batch, 1}), forward_context(batch), measures);
    }
    measures.set("records", evaluation_rows_);
  }

 private:
  static std::int64_t tokens_of_texts(const std::vector<LabelledText>& texts) {
    std::int64_t sum = 0;
    for (const auto& text : texts) sum += static_cast<std::int64_t>(text.tokens.ids.size());
    return sum;
  }

  /// Rows as long as the longest text, padded on the right.
  Batch padded(const std::vector<const LabelledText*>& texts) const {
    std::size_t longest = 0;
    for (const auto* text : texts) longest = std::max(longest, text->tokens.ids.size());
    const auto rows = static_cast<std::int64_t>(texts.size()), columns = static_cast<std::int64_t>(longest);
    Batch batch{.ids = filled(rows, columns, padding_),
                .documents = filled(rows, columns, padding_document),
                .token_types = filled(rows, columns, 0)};
    const auto labels = at::empty({rows}, at::kLong);
    for (std::int64_t i = 0; i < rows; ++i) {
      const auto& [tokens, label] = *texts[static_cast<std::size_t>(i)];
      EncoderRow row{row_of(batch.ids, i), row_of(batch.token_types, i), row_of(batch.documents, i)};
      for (std::size_t j = 0; j < tokens.ids.size(); ++j) row.add(tokens.ids[j], tokens.types[j], 0);
      labels.mutable_data_ptr<std::int64_t>()[i] = label;
      batch.tokens += row.length;
    }
    if (batch.tokens == rows * columns) batch.documents = at::Tensor();  // nothing is padded
    batch.tensors["labels"] = labels;
    batch.counts["label"] = rows;
    return batch.to(device_);
  }

  std::uint64_t seed_;
  std::int64_t evaluation_batch_, evaluation_rows_, padding_;
  at::Device device_;
  std::string vocabulary_;
  DataSize size_;
  std::vector<LabelledText> training_, validation_;
};

const ObjectiveKind classification_objective{
    "classification",
    {},
    [](const Model& model) { return model.task_head() != nullptr; },
    [](const Model& model) -> std::string {
      const auto* head = model.task_head();
      if (!head) return "this architecture has no head for labels (BertForSequenceClassification, LlamaForSequenceClassification … do)";
      if (!head->problem_type.empty() && head->problem_type != "single_label_classification")
        return "config.json: problem_type = " + head->problem_type + " is not supported (only single_label_classification)";
      return head->labels < 2 ? "config.json names a single label: there is nothing to tell apart" : "";
    },
    [](const ObjectiveSetup& setup) -> std::unique_ptr<Objective> { return std::make_unique<Classification>(setup); }};

}  // namespace
}  // namespace isotrope

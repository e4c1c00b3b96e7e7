#include "isotrope/data/task_records.h"

#include <algorithm>
#include <map>

#include "isotrope/base/error.h"
#include "isotrope/io/json.h"
#include "isotrope/text/unicode/utf8.h"

namespace isotrope {

using nlohmann::json;

void for_each_line(std::string_view text, const std::function<void(std::string_view, std::size_t)>& visit) {
  std::size_t number = 1;
  for (std::size_t start = 0; start < text.size(); ++number) {
    const auto end = std::min(text.find('\n', start), text.size());
    auto line = text.substr(start, end - start);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.find_first_not_of(" \t") != std::string_view::npos) visit(line, number);
    start = end + 1;
  }
}

namespace {

/// A record, with the place that its errors name.
class Record {
 public:
  Record(const json& value, std::string place) : place_(std::move(place)), fields_(value, "task", place_) {}

  const JsonReader& fields() const { return fields_; }
  const std::string& place() const { return place_; }
  bool has(std::string_view key) const { return fields_.has(key); }
  std::string text(std::string_view key) const { return fields_.get_string(key); }

  std::vector<std::string> texts(std::string_view key) const {
    std::vector<std::string> all;
    for (const auto& value : fields_.get_array(key)) {
      if (!value.is_string()) throw InputError("task", "{}: \"{}\": expected strings, got {}", place_, key, json_kind(value));
      all.push_back(value.get<std::string>());
    }
    return all;
  }

  /// The right one of `count` choices, under the first of the usual names.
  std::size_t gold(std::size_t count) const {
    for (const char* key : {"gold", "label", "answer"}) {
      if (!has(key)) continue;
      const auto index = fields_.get_int(key);
      if (index < 0 || static_cast<std::uint64_t>(index) >= count)
        throw InputError("task", "{}: \"{}\" is {}, but there are {} choices", place_, key, index, count);
      return static_cast<std::size_t>(index);
    }
    throw InputError("task", "{}: expected the right choice as \"gold\", \"label\" or \"answer\", counted from 0", place_);
  }

 private:
  std::string place_;
  JsonReader fields_;
};

std::string without_delimiter(const std::string& continuation) {
  return continuation.starts_with(' ') ? continuation.substr(1) : continuation;
}

/// Which form of records a file holds, by what its first one has.
enum class Form { request, choices, pair, question, text };

Form form_of(const Record& record) {
  if (record.has("request")) return Form::request;
  if (record.has("choices")) return Form::choices;
  if (record.has("sentence_good")) return Form::pair;
  if (record.has("answer") && (record.has("question") || record.has("prompt"))) return Form::question;
  if (record.has("text")) return Form::text;
  throw with_hint(
      InputError("task", "{}: a record of no known form", record.place()),
      "known are: request; choices, with context and gold; sentence_good and sentence_bad; question (or prompt) and answer; text");
}

constexpr std::int64_t unconditional_from = 1'000'000;  // doc_id of rows that ask for a continuation without its question

/// Rows of ready requests, one for each choice, collected by document.
class Requests {
 public:
  void add(const Record& record) {
    const auto& fields = record.fields();
    if (const auto type = fields.get_string("request_type", "loglikelihood"); type != "loglikelihood")
      throw InputError("task", "{}: request_type {} is not supported, only loglikelihood", record.place(), type);
    const auto request = fields.get_object("request");
    const auto document = fields.get_int("doc_id"), index = fields.get_int("idx");
    if (document < 0 || index < 0 || index > 1000)
      throw InputError("task", "{}: doc_id {} and idx {} are no places", record.place(), document, index);
    TaskChoice choice{request.get_string("context"), request.get_string("continuation"), {}, {}};
    choice.text = length_text(record, index, choice.continuation);
    auto& row = rows_[{document, index}];
    if (!row.place.empty()) throw InputError("task", "{}: doc_id {}, idx {} stands in {} too", record.place(), document, index, row.place);
    row = {record.place(), std::move(choice), fields.get_int("label")};
    if (row.label < 0) throw InputError("task", "{}: label {} is no choice", record.place(), row.label);
  }

  void finish(Task& task) {
    for (const auto& [key, row] : rows_)
      if (key.first >= unconditional_from) expect_partner(key.first, key.second, row);
    for (auto& [key, row] : rows_) {
      const auto [document, index] = key;
      if (document >= unconditional_from) break;
      if (index == 0) task.items.push_back({.place = row.place, .choices = {}, .gold = static_cast<std::size_t>(row.label)});
      if (task.items.empty() || static_cast<std::size_t>(index) != task.items.back().choices.size())
        throw InputError("task", "{}: doc_id {} has no request before idx {}", row.place, document, index);
      if (static_cast<std::size_t>(row.label) != task.items.back().gold)
        throw InputError("task", "{}: label {}, and {} in another row of doc_id {}", row.place, row.label, task.items.back().gold,
                         document);
      if (const auto alone = rows_.find({document + unconditional_from, index}); alone != rows_.end())
        row.choice.unconditional = alone->second.choice.context;
      task.items.back().choices.push_back(std::move(row.choice));
    }
    for (const auto& item : task.items)
      if (item.gold >= item.choices.size())
        throw InputError("task", "{}: label {}, but there are {} choices", item.place, item.gold, item.choices.size());
  }

 private:
  struct Row {
    std::string place;
    TaskChoice choice;
    std::int64_t label = 0;
  };

  /// A continuation without its question belongs to one with it.
  void expect_partner(std::int64_t document, std::int64_t index, const Row& row) const {
    const auto partner = rows_.find({document - unconditional_from, index});
    if (partner == rows_.end() || partner->second.choice.continuation != row.choice.continuation)
      throw InputError("task", "{}: no request of doc_id {}, idx {} has this continuation", row.place, document - unconditional_from,
                       index);
  }

  /// lm-evaluation-harness counts the length of the choice as the document has it.
  static std::string length_text(const Record& record, std::int64_t index, const std::string& continuation) {
    const auto& object = record.fields().object();
    if (const auto document = object.find("doc"); document != object.end() && document->is_object())
      if (const auto choices = document->find("choices"); choices != document->end() && choices->is_array() &&
                                                          static_cast<std::size_t>(index) < choices->size() &&
                                                          (*choices)[index].is_string())
        return (*choices)[index].get<std::string>();
    return without_delimiter(continuation);
  }

  std::map<std::pair<std::int64_t, std::int64_t>, Row> rows_;
};

TaskItem read_choices(const Record& record) {
  TaskItem item{.place = record.place()};
  const auto context = record.has("query") ? record.text("query") : record.fields().get_string("context", "");
  const auto delimiter = record.fields().get_string("delimiter", " ");
  for (const auto& choice : record.texts("choices")) {
    if (delimiter.empty() && choice.empty()) throw InputError("task", "{}: an empty choice", record.place());
    TaskChoice one{context, delimiter + choice, choice, {}};
    if (record.has("unconditional")) one.unconditional = record.text("unconditional");
    item.choices.push_back(std::move(one));
  }
  if (item.choices.size() < 2) throw InputError("task", "{}: expected two choices or more, got {}", record.place(), item.choices.size());
  item.gold = record.gold(item.choices.size());
  return item;
}

/// As lm-evaluation-harness asks: a space before each sentence, which begins a text.
TaskItem read_pair(const Record& record) {
  TaskItem item{.place = record.place()};
  for (const char* key : {"sentence_good", "sentence_bad"}) {
    const auto sentence = record.text(key);
    if (sentence.empty()) throw InputError("task", "{}: \"{}\" is empty", record.place(), key);
    item.choices.push_back({"", " " + sentence, sentence, {}});
  }
  return item;
}

TaskItem read_question(const Record& record) {
  TaskItem item{.place = record.place()};
  item.prompt = record.has("prompt") ? record.text("prompt") : "Question: " + record.text("question") + "\nAnswer:";
  item.answer = record.text("answer");
  if (item.prompt.empty() || item.answer.empty()) throw InputError("task", "{}: an empty prompt or answer", record.place());
  return item;
}

TaskItem read_text_task(const Record& record) {
  TaskItem item{.place = record.place()};
  item.text = record.text("text");
  if (item.text.empty()) throw InputError("task", "{}: \"text\" is empty", record.place());
  return item;
}

}  // namespace

Task read_task_records(std::string_view text, const std::string& file) {
  Task task;
  std::optional<Form> form;
  Requests requests;
  for_each_line(text, [&](std::string_view line, std::size_t number) {
    const auto place = fmt::format("{}:{}", file, number);
    if (const auto broken = check_utf8(line)) throw InputError("task", "{}: byte {} is not UTF-8", place, *broken);
    const auto value = parse_json(line, "task", file, {.first_line = number});
    const Record record(value, place);
    const auto found = form_of(record);
    if (form && *form != found) throw InputError("task", "{}: a record of another form than the first one's", place);
    form = found;
    switch (found) {
      case Form::request: return requests.add(record);
      case Form::choices: return task.items.push_back(read_choices(record));
      case Form::pair: return task.items.push_back(read_pair(record));
      case Form::question: return task.items.push_back(read_question(record));
      case Form::text: return task.items.push_back(read_text_task(record));
    }
  });
  if (!form) throw InputError("task", "{}: no records", file);
  if (form == Form::request) requests.finish(task);
  if (task.items.empty()) throw InputError("task", "{}: no question among the requests", file);
  task.kind = form == Form::question ? TaskKind::generation : form == Form::text ? TaskKind::perplexity : TaskKind::multiple_choice;
  task.headline = task.kind == TaskKind::generation ? "exact_match" : task.kind == TaskKind::perplexity ? "word_perplexity" : "acc";
  if (task.kind == TaskKind::generation) {
    task.stop = {"Question:", "</s>", "<|im_end|>"};
    if (std::ranges::any_of(task.items, [](const TaskItem& item) { return item.answer.find("#### ") != std::string::npos; }))
      task.headline = "exact_match,strict-match";
  }
  return task;
}

std::vector<CsvRow> read_csv(std::string_view text, const std::string& file) {
  std::vector<CsvRow> rows;
  std::size_t line = 1;
  for (std::size_t i = 0; i < text.size();) {
    CsvRow row{{}, line};
    for (bool more = true; more;) {
      std::string field;
      if (i < text.size() && text[i] == '"') {
        const auto begun = line;
        for (++i;; ++i) {
          if (i >= text.size()) throw InputError("task", "{}:{}: a quoted field that never ends", file, begun);
          if (text[i] == '"' && (i + 1 >= text.size() || text[i + 1] != '"')) break;
          if (text[i] == '"') ++i;
          line += text[i] == '\n';
          field += text[i];
        }
        ++i;
      }
      while (i < text.size() && text[i] != ',' && text[i] != '\n') field += text[i++];
      if (field.ends_with('\r') && (i >= text.size() || text[i] == '\n')) field.pop_back();
      row.fields.push_back(std::move(field));
      more = i < text.size() && text[i] == ',';
      if (i < text.size()) line += text[i++] == '\n';
    }
    if (row.fields.size() > 1 || !row.fields.front().empty()) rows.push_back(std::move(row));
  }
  return rows;
}

namespace {

constexpr std::size_t mmlu_choices = 4;

std::string stripped(std::string_view text) {
  constexpr std::string_view space = " \t\n\r\v\f";
  const auto begin = text.find_first_not_of(space);
  return begin == std::string_view::npos ? std::string() : std::string(text.substr(begin, text.find_last_not_of(space) + 1 - begin));
}

std::string mmlu_question(const CsvRow& row) {
  auto text = stripped(row.fields[0]);
  for (std::size_t i = 0; i < mmlu_choices; ++i) text += fmt::format("\n{}. {}", static_cast<char>('A' + i), row.fields[i + 1]);
  return text + "\nAnswer:";
}

std::vector<CsvRow> read_mmlu_rows(std::string_view text, const std::string& file) {
  auto rows = read_csv(text, file);
  for (const auto& row : rows) {
    if (row.fields.size() != mmlu_choices + 2)
      throw InputError("task", "{}:{}: expected question, four choices and the answer, got {} fields", file, row.line, row.fields.size());
    const auto& answer = row.fields.back();
    if (answer.size() != 1 || answer[0] < 'A' || answer[0] > 'D')
      throw InputError("task", "{}:{}: expected A, B, C or D as the answer, got \"{}\"", file, row.line, answer);
  }
  return rows;
}

}  // namespace

Task read_mmlu(std::string_view text, const std::string& file, std::string_view subject, std::string_view examples, std::size_t shots) {
  std::string spoken(subject);
  std::ranges::replace(spoken, '_', ' ');
  auto before = fmt::format("The following are multiple choice questions (with answers) about {}.\n\n", spoken);
  const auto solved = read_mmlu_rows(examples, "the examples of " + spoken);
  if (solved.size() < shots) throw InputError("task", "{}: {} examples are asked for, and there are {}", file, shots, solved.size());
  for (std::size_t i = 0; i < shots; ++i) before += mmlu_question(solved[i]) + " " + solved[i].fields.back() + "\n\n";
  Task task{
      .name = "mmlu_" + std::string(subject), .group = "mmlu", .kind = TaskKind::multiple_choice, .headline = "acc", .takes_shots = true};
  for (const auto& row : read_mmlu_rows(text, file)) {
    TaskItem item{.place = fmt::format("{}:{}", file, row.line)};
    const auto context = before + mmlu_question(row);
    for (std::size_t i = 0; i < mmlu_choices; ++i) {
      const std::string letter(1, static_cast<char>('A' + i));
      item.choices.push_back({context, " " + letter, letter, {}});
    }
    item.gold = static_cast<std::size_t>(row.fields.back()[0] - 'A');
    task.items.push_back(std::move(item));
  }
  if (task.items.empty()) throw InputError("task", "{}: no questions", file);
  return task;
}

void add_worked_examples(Task& task, std::size_t shots) {
  if (task.items.size() <= shots)
    throw InputError("task", "{}: {} examples are asked for of {} questions, and one at least must be left", task.name, shots,
                     task.items.size());
  std::string before;
  for (std::size_t i = 0; i < shots; ++i) before += task.items[i].prompt + " " + task.items[i].answer + "\n\n";
  task.items.erase(task.items.begin(), task.items.begin() + static_cast<std::ptrdiff_t>(shots));
  for (auto& item : task.items) item.prompt = before + item.prompt;
}

}  // namespace isotrope

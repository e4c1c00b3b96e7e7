// Chat templates against what transformers renders (tests/data/chat, tools/oracles/chat_goldens.py), what is refused, and limits.
#include "isotrope/chat/chat_template.h"

#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <map>
#include <sstream>

#include "isotrope/base/error.h"
#include "isotrope/text/tokenizer.h"
#include "tests/io/temporary_folder.h"

namespace isotrope {
namespace {

using nlohmann::ordered_json;

std::string slurp(const std::string& name) {
  std::ifstream file(std::string(ISOTROPE_TEST_SOURCE) + "/data/chat/" + name);
  if (!file) throw std::runtime_error("no " + name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

const ordered_json& goldens() {
  static const auto all = ordered_json::parse(slurp("goldens.json"));
  return all;
}

/// The text, or null with the message kept.
ordered_json outcome(std::string_view source, const ordered_json& messages, const ChatOptions& options, std::string* message = nullptr) {
  try {
    return ChatTemplate(source).render(messages, options);
  } catch (const InputError& error) {
    if (message) *message = error.message();
    return nullptr;
  }
}

std::string message_of(std::string_view source,
                       const ordered_json& messages = ordered_json::parse(R"([{"role": "user", "content": "x"}])")) {
  std::string message;
  const auto text = outcome(source, messages, {}, &message);
  EXPECT_TRUE(text.is_null()) << source << " gives " << text;
  return message;
}

std::string rendered(std::string_view source, const ordered_json& variables = ordered_json::object()) {
  return ChatTemplate(source).render(ordered_json::parse(R"([{"role": "user", "content": "x"}])"), {.variables = variables});
}

TEST(ChatTemplate, FamiliesRenderAsInTransformers) {
  std::map<std::string, int> texts;
  for (const auto& golden : goldens()["families"]) {
    const auto name = golden["template"].get<std::string>();
    std::string message;
    ChatOptions options{.add_generation_prompt = golden["prompt"].get<bool>(), .variables = golden["variables"]};
    if (golden["tools"].get<bool>()) options.tools = goldens()["tools"];
    const auto text =
        outcome(slurp(name + ".jinja"), goldens()["conversations"][golden["conversation"].get<std::string>()], options, &message);
    EXPECT_EQ(text, golden["text"]) << name << ", " << golden["conversation"] << ": " << message;
    texts[name] += !text.is_null();
  }
  EXPECT_GE(texts.size(), 9U);
  for (const auto& [name, count] : texts) EXPECT_GE(count, 24) << name;
}

TEST(ChatTemplate, ExpressionsAndStatementsAreThoseOfJinja) {
  int texts = 0;
  for (const auto& golden : goldens()["small"]) {
    std::string message;
    const auto text =
        outcome(golden["template"].get<std::string>(), goldens()["messages"], {.variables = goldens()["variables"]}, &message);
    EXPECT_EQ(text, golden["text"]) << golden["template"] << ": " << message;
    texts += !text.is_null();
  }
  EXPECT_GE(texts, 350);
}

TEST(ChatTemplate, MistakesAreNamedWithTheirLine) {
  EXPECT_EQ(message_of("a\n{% if x %}\nb"), "line 3 of the template: a block has no {% endif %}");
  EXPECT_EQ(message_of("{{ 1 +\n }}"), "line 2 of the template: unexpected the end of the expression");
  EXPECT_EQ(message_of("\n\n{{ nothing.there }}"), "line 3 of the template: nothing is undefined");
  EXPECT_EQ(message_of("{{ raise_exception('no system here') }}"),
            "line 1 of the template: the template refuses these messages: no system here");
  EXPECT_EQ(message_of("{{ [1, 2, 3").substr(0, 24), "line 1 of the template: ");
  EXPECT_EQ(message_of("a \xff"), "byte 2 of the template is not UTF-8");
  EXPECT_EQ(message_of("{{ 9223372036854775807 + 1 }}"), "line 1 of the template: a whole number has more than 64 bits");
}

TEST(ChatTemplate, WhatIsOutsideTheSubsetIsNamed) {
  for (const auto& [source, name] : std::map<std::string, std::string>{{"{% include 'x' %}", "{% include %}"},
                                                                       {"{% import 'x' as y %}", "{% import %}"},
                                                                       {"{% extends 'x' %}", "{% extends %}"},
                                                                       {"{% block x %}{% endblock %}", "{% block %}"},
                                                                       {"{% autoescape true %}{% endautoescape %}", "{% autoescape %}"},
                                                                       {"{% for x in [] recursive %}{% endfor %}", "recursive"},
                                                                       {"{{ 'a'|urlize }}", "urlize"},
                                                                       {"{{ 'a'|e }}", "the filter e "},
                                                                       {"{{ 1 is weird }}", "weird"},
                                                                       {"{{ '%s' % 1 }}", "formatting with %"},
                                                                       {"{{ 'a'.encode() }}", "encode"},
                                                                       {"{{ 'ä'.upper() }}", "upper is only there for texts in ASCII"}}) {
    const auto message = message_of(source);
    EXPECT_NE(message.find(name), std::string::npos) << source << ": " << message;
    EXPECT_TRUE(message.starts_with("line 1 of the template: ")) << message;
  }
}

TEST(ChatTemplate, MessagesAreChecked) {
  const ChatTemplate one("{{ messages[0].content }}");
  EXPECT_THROW(one.render(ordered_json::array()), InputError);
  EXPECT_THROW(one.render(ordered_json::object()), InputError);
  EXPECT_THROW(one.render(ordered_json::parse("[3]")), InputError);
  EXPECT_THROW(one.render(ordered_json::parse(R"([{"role": "user"}])"), {.tools = ordered_json::parse("[1]")}), InputError);
  EXPECT_EQ(one.render(ordered_json::parse(R"([{"role": "user", "content": null}])")), "") << "a key that is null is none";
}

TEST(ChatTemplate, TheDateIsWhatIsAskedFor) {
  const ChatTemplate one("{{ strftime_now('%Y') }}");
  const auto messages = ordered_json::parse(R"([{"role": "user", "content": "x"}])");
  EXPECT_EQ(one.render(messages, {.now = 86400 * 200}), "1970");
  EXPECT_GE(std::stoi(one.render(messages)), 2026);
}

TEST(ChatTemplate, LongMessagesAreNoBurden) {
  std::string long_text;
  for (int i = 0; i < 40000; ++i) long_text += "Wört " + std::to_string(i) + (i % 10 == 0 ? "\n" : " ");
  const ordered_json messages{{{"role", "user"}, {"content", long_text}}};
  const ChatTemplate one(
      "{% set text = messages[0].content %}{{ text.split()|length }} {{ text.splitlines()|length }} {{ text[:-1]|length == text|length - 1 "
      "}} "
      "{{ (text | trim | replace('Wört', 'Wort')).count('Wort') }} {{ text.split('39999')[-1] | tojson }} {{ '</think>' in text }}");
  EXPECT_EQ(one.render(messages), "80000 4001 True 40000 \" \" False");
}

TEST(ChatTemplate, NamesOfTheCallerGoBeforeSpecialTokens) {
  EXPECT_EQ(rendered("{{ bos_token }}|{{ add_generation_prompt }}|{{ tools is none }}", {{"bos_token", "<x>"}}), "<x>|False|True");
}

/// A hostile template ends by a limit, soon.
TEST(ChatTemplate, CostsABoundedAmountOfEverything) {
  std::string deep_list = "0", deep_parentheses = "1", minus(5000, '-'), many_ifs, chain = "1";
  std::string many_maps;
  for (int i = 0; i < 5000; ++i) many_maps += "'map',";
  for (int i = 0; i < 5000; ++i)
    deep_list = "[" + deep_list + "]", deep_parentheses = "(" + deep_parentheses + ")", many_ifs += "{% if t %}", chain += "+1";
  const std::string sources[] = {
      "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
      "{{ 'a' * 1000000000 }}",
      "{{ [1] * 1000000000 }}",
      "{{ 9 ** 999999999 }}",
      "{{ range(1000000000)|list }}",
      "{% set ns = namespace(s='x') %}{% for i in range(100) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}",
      "{% set ns = namespace(l=[1]) %}{% for i in range(100) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}",
      "{% set ns = namespace(l=[1]) %}{% for i in range(100000) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}",
      "{% set ns = namespace(l=[1]) %}{% for i in range(60) %}{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l == ns.l[:1] + ns.l[1:] }}",
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
      "{% for i in range(100000) %}" + std::string(1000, 'x') + "{% endfor %}",
      "{{ ('a' * 1000000).replace('', 'a' * 1000) }}",
      "{{ ('a' * 1000000).replace('a', 'a' * 1000000) }}",
      "{{ ('ab,' * 300000).split(',')|map('upper')|list|length }}{% for i in range(1000) %}{{ ('ab,' * 300000).split(',')|length }}{% "
      "endfor %}",
      "{{ ''.rjust(100000000) }}",
      "{{ 'a'|indent(100000000) }}",
      "{{ [1,2]|tojson(indent=100000) if false else ([[1]] * 1000000)|tojson(indent=100) }}",
      "{{ " + deep_list + " }}",
      "{{ " + deep_parentheses + " }}",
      "{{ " + minus + "1 }}",
      "{{ " + chain + " }}",
      many_ifs,
      "{% set x = dict(a=1) %}{% for i in range(100000) %}{% set x = dict(x, b=i) %}{{ x }}{% endfor %}{{ 'a' * 40000000 }}",
      "{% for i in range(100000) %}{% macro m() %}{% endmacro %}{% endfor %}{% for i in range(100000) %}{{ loop.cycle(loop) is defined "
      "}}{% endfor %}{{ 'x' * 99999999 }}",
      "{{ ('a'*2000000).find('a'*1000000 ~ 'b') }}",
      "{{ ('a'*2000000 ~ 'c').split('a'*1000000 ~ 'b')|length }}",
      "{{ ('b'*4000000).strip(('一'*4000000) ~ 'b') }}{{ 'x' * 99999999 }}",
      "{% set a=range(100000)|list %}{% set b=range(100000)|list %}{% for i in range(100000) %}{% set q = a is eq b %}{% endfor %}x",
      "{% set a=range(100000)|list %}{% set b=range(100000)|list %}{% set l=[a]*10 %}{% for i in range(10000) %}{% set q = l.count(b) %}{% "
      "endfor %}",
      "{% set a='A'*10000000 %}{% for i in range(1000) %}{% set q=[a,a]|max %}{% endfor %}",
      "{% set a='A'*10000000 %}{% for i in range(1000) %}{% set q=[a,a]|sort|length %}{% endfor %}",
      "{% set ns = namespace(d={}) %}{% for i in range(100000) %}{% set ns.d = {'a': ns.d.get} %}{% endfor %}ok",
      "{% set ns = namespace(d=1) %}{% for i in range(100000) %}{% for j in [ns.d, 1] %}{% if loop.index == 2 %}{% set ns.d = loop %}{% "
      "endif %}{% endfor %}{% endfor %}{{ 'x' * 99999999 }}",
      "{{ ('1_' * 5000000 ~ '1')|int }}",
      "{{ ('1' * 5000000)|float }}",
      "{{ 'x'|map(" + many_maps + "'upper')|list }}{{ 'x' * 99999999 }}",
  };
  for (const auto& source : sources) {
    const auto begun = std::chrono::steady_clock::now();
    const auto message = message_of(source);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
    EXPECT_LT(seconds, 20) << source.substr(0, 100);
    EXPECT_FALSE(message.empty()) << source.substr(0, 100);
  }
}

TEST(ChatTemplate, NamespacesThatHoldThemselvesAreLetGo) {
  EXPECT_EQ(
      rendered(
          "{% set ns = namespace() %}{% set ns.me = [ns] %}{% macro f() %}{{ f is defined }}{% endmacro %}{{ f() }}{{ ns.me | length }}"),
      "True1");
  EXPECT_EQ(rendered("{% set ns = namespace(last=none) %}{% for i in range(50000) %}{% set ns.last = namespace(last=ns.last) %}{% endfor "
                     "%}{{ ns.last is none }}"),
            "False");
}

TEST(ChatTemplate, TokenizersBringTheirTemplatesAndTokens) {
  const test::TemporaryFolder folder;
  const auto put = [&](const std::string& name, const std::string& text) {
    std::filesystem::create_directories((folder.path() / name).parent_path());
    std::ofstream(folder.path() / name) << text;
  };
  const auto messages = ordered_json::parse(R"([{"role": "user", "content": "x"}])");
  byte_tokenizer()->save(folder.path());
  EXPECT_THROW(ChatTemplate(*load_tokenizer(folder.path())), InputError);

  put("chat_template.jinja", "{{ eos_token }}1");
  EXPECT_EQ(ChatTemplate(*load_tokenizer(folder.path())).render(messages), "<|endoftext|>1");
  std::filesystem::remove(folder.path() / "tokenizer_config.json");
  EXPECT_EQ(ChatTemplate(*load_tokenizer(folder.path())).render(messages), "<|endoftext|>1") << "without a configuration beside it";

  put("tokenizer_config.json",
      R"({"eos_token": {"content": "<end>"}, "chat_template": [{"name": "default", "template": "{{ eos_token }}2"}, {"name": "rag", "template": "3"}]})");
  std::filesystem::remove(folder.path() / "chat_template.jinja");
  const auto several = load_tokenizer(folder.path());
  EXPECT_EQ(ChatTemplate(*several).render(messages), "<end>2");
  EXPECT_EQ(ChatTemplate(*several, "rag").render(messages), "3");
  try {
    ChatTemplate(*several, "tools");
    FAIL();
  } catch (const InputError& error) {
    EXPECT_EQ(error.message(), "the tokenizer has no chat template tools (it has: default, rag)");
  }

  put("additional_chat_templates/tool_use.jinja", "4");
  put("chat_template.jinja", "5");
  const auto files = load_tokenizer(folder.path());
  EXPECT_EQ(ChatTemplate(*files).render(messages), "5");
  EXPECT_EQ(ChatTemplate(*files, "tool_use").render(messages), "4");
}

}  // namespace
}  // namespace isotrope

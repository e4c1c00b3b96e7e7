// isotrope completions SHELL: what bash, zsh and fish need to complete this program's commands and options. Hidden; run by the install.
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "app/commands.h"
#include "isotrope/base/error.h"

namespace isotrope::app {

namespace {

struct Word {
  std::string text, description;
  bool takes_value = false;
};

/// A command with its place in the tree: "" for the program, " data", " data pack".
struct Node {
  std::string place;
  std::vector<Word> commands, options;
};

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

/// All visible commands of the tree below `app`, itself first.
void collect(const CLI::App& app, const std::string& place, std::vector<Node>& nodes) {
  Node node{.place = place, .commands = {}, .options = {}};
  for (const auto* option : app.get_options([](const CLI::Option* each) { return each->nonpositional() && !each->get_group().empty(); })) {
    const bool takes_value = option->get_items_expected_max() > 0;
    for (const auto& name : option->get_lnames()) node.options.push_back({"--" + name, first_line(option->get_description()), takes_value});
    for (const auto& name : option->get_snames()) node.options.push_back({"-" + name, first_line(option->get_description()), takes_value});
  }
  const auto visible = app.get_subcommands([](const CLI::App* each) { return !each->get_group().empty(); });
  for (const auto* command : visible) node.commands.push_back({command->get_name(), first_line(command->get_description())});
  nodes.push_back(std::move(node));
  for (const auto* command : visible) collect(*command, place + " " + command->get_name(), nodes);
}

std::string replaced(std::string text, const std::string& what, const std::string& by) {
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + by.size())) text.replace(at, what.size(), by);
  return text;
}

std::string joined(const std::vector<Word>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : " ") + word.text;
  return text;
}

/// The lines that find, from the words before the cursor, the command they stand in. `words` is the shell's array, `first` its first index.
std::string walk(const std::vector<Node>& nodes, const std::string& words, int first, const std::string& cursor) {
  std::string places;
  for (std::size_t i = 1; i < nodes.size(); ++i) places += (i > 1 ? " | " : "") + ("\"" + nodes[i].place + "\"");
  return fmt::format(
      "  local place=\"\" i\n  for ((i = {}; i < {}; i++)); do\n    case \"$place ${{{}[i]}}\" in\n      {}) place=\"$place ${{{}[i]}}\" "
      ";;\n"
      "    esac\n  done\n",
      first, cursor, words, places, words);
}

std::string bash(const std::vector<Node>& nodes) {
  std::string text = "# bash completion for isotrope\n_isotrope() {\n  local word=${COMP_WORDS[COMP_CWORD]} commands=\"\" options=\"\"\n";
  text += walk(nodes, "COMP_WORDS", 1, "COMP_CWORD") + "  case \"$place\" in\n";
  for (const auto& node : nodes)
    text += fmt::format("    \"{}\") commands=\"{}\" options=\"{}\" ;;\n", node.place, joined(node.commands), joined(node.options));
  return text +
         "  esac\n  if [[ $word == -* ]]; then COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
         "  elif [[ -n $commands ]]; then COMPREPLY=($(compgen -W \"$commands\" -- \"$word\"))\n"
         "  else compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n  fi\n}\n"
         "complete -F _isotrope isotrope\n";
}

std::string zsh_words(const std::vector<Word>& words) {
  std::string text;
  // _describe separates a word from its description by a colon; the quotes are the shell's.
  for (const auto& word : words)
    text += fmt::format("\n        '{}:{}'", replaced(word.text, ":", "\\:"), replaced(word.description, "'", "'\\''"));
  return text;
}

std::string zsh(const std::vector<Node>& nodes) {
  std::string text = "#compdef isotrope\n_isotrope() {\n  local -a commands options\n";
  text += walk(nodes, "words", 2, "CURRENT") + "  case \"$place\" in\n";
  for (const auto& node : nodes)
    text += fmt::format("    \"{}\")\n      commands=({})\n      options=({})\n      ;;\n", node.place, zsh_words(node.commands),
                        zsh_words(node.options));
  return text +
         "  esac\n  if [[ $PREFIX == -* ]]; then _describe option options\n  elif (( $#commands )); then _describe command commands\n"
         "  else _files\n  fi\n}\n_isotrope \"$@\"\n";
}

std::string fish(const std::vector<Node>& nodes) {
  const auto quoted = [](const std::string& text) { return "'" + replaced(replaced(text, "\\", "\\\\"), "'", "\\'") + "'"; };
  // The place is the words that are no options, as far as they name commands.
  std::string text =
      "# fish completion for isotrope\nfunction __isotrope_at\n  set -l words (commandline -opc)[2..-1]\n  set -l place ''\n"
      "  for word in $words\n    if contains -- \"$place $word\"";
  for (std::size_t i = 1; i < nodes.size(); ++i) text += " " + quoted(nodes[i].place);
  text += "\n      set place \"$place $word\"\n    end\n  end\n  test \"$place\" = \"$argv[1]\"\nend\n";
  for (const auto& node : nodes) {
    const std::string at = "complete -c isotrope -n " + quoted("__isotrope_at " + quoted(node.place));
    for (const auto& word : node.commands) text += fmt::format("{} -f -a {} -d {}\n", at, word.text, quoted(word.description));
    for (const auto& word : node.options) {
      const bool is_long = word.text.starts_with("--");
      text += fmt::format("{} -{} {}{} -d {}\n", at, is_long ? "l" : "s", word.text.substr(is_long ? 2 : 1), word.takes_value ? " -r" : "",
                          quoted(word.description));
    }
  }
  return text;
}

void add_completions(CLI::App& root) {
  auto& command = *root.add_subcommand("completions", "Print the completions for a shell");
  command.group("");
  const auto shell = std::make_shared<std::string>();
  command.add_option("shell", *shell, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
  command.callback([shell, &root] {
    std::vector<Node> nodes;
    collect(root, "", nodes);
    std::fputs((*shell == "bash" ? bash(nodes) : *shell == "zsh" ? zsh(nodes) : fish(nodes)).c_str(), stdout);
  });
}

const Command completions_command{Order::completions, add_completions};

}  // namespace

}  // namespace isotrope::app

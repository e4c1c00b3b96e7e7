#include "isotrope/chat/parser.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>

#include "isotrope/chat/token_reader.h"

namespace isotrope::chat {

namespace {

using std::string_view;
using Kind = Node::Kind;
using Pointer = Node::Pointer;

constexpr int deepest_template = 100;  // of blocks and expressions in each other

class Parser : TokenReader {
 public:
  explicit Parser(std::vector<Token> tokens) : TokenReader(std::move(tokens)) {}

  Pointer run() {
    auto out = block({});
    if (now().kind != Token::Kind::end) fail("unexpected {{% {} %}}", now().text);
    return out;
  }

 private:
  /// Counts how deep the tree is, for as long as it lives.
  class Deeper {
   public:
    explicit Deeper(Parser& parser) : parser_(parser) {
      if (++parser_.depth_ > deepest_template)
        parser_.fail("blocks or expressions stand more than {} deep in each other", deepest_template);
    }
    ~Deeper() { --parser_.depth_; }
    Deeper(const Deeper&) = delete;
    Deeper& operator=(const Deeper&) = delete;

   private:
    Parser& parser_;
  };

  Pointer make(Kind kind, std::string text = {}) const {
    auto node = std::make_unique<Node>();
    node->kind = kind, node->line = now().line, node->text = std::move(text);
    return node;
  }
  template <class... Children>
  Pointer with(Pointer node, Children... children) {
    (node->children.push_back(std::move(children)), ...);
    return node;
  }
  Pointer constant(Value value) const {
    auto node = make(Kind::constant);
    node->value = std::move(value);
    return node;
  }

  // ---- statements ----

  /// Up to, not including, {% name %} with one of the names, whose block_begin is taken; or the end of the template where there are none.
  Pointer block(std::initializer_list<string_view> ends) {
    const Deeper deeper(*this);
    auto out = make(Kind::block);
    while (true) {
      switch (now().kind) {
        case Token::Kind::end:
          if (ends.size() > 0) fail("a block has no {{% {} %}}", *(ends.end() - 1));
          return out;
        case Token::Kind::data: out->children.push_back(make(Kind::data, now().text)), take(); break;
        case Token::Kind::print_begin: {
          take();
          auto node = make(Kind::print);
          node->children.push_back(tuple_or_one());
          if (now().kind != Token::Kind::print_end) fail("expected the end of the expression, found {}", found());
          take();
          out->children.push_back(std::move(node));
          break;
        }
        case Token::Kind::block_begin:
          take();
          if (now().kind == Token::Kind::name && std::ranges::find(ends, string_view(now().text)) != ends.end()) return out;
          out->children.push_back(statement());
          break;
        default: fail("unexpected {}", found());
      }
    }
  }

  Pointer statement() {
    if (now().kind != Token::Kind::name) fail("expected a statement, found {}", found());
    const auto name = take().text;
    if (name == "for") return loop();
    if (name == "if") return choice();
    if (name == "set") return assignment();
    if (name == "macro") return macro();
    if (name == "call") return call_block();
    if (name == "filter") return filter_block();
    if (name == "with") return with_block();
    if (name == "generation") {  // marks what the assistant says, for masks; the text is the same
      auto node = make(Kind::with);
      end_of_block();
      node->children.push_back(body_of("endgeneration"));
      return node;
    }
    if (name == "break" || name == "continue") {
      if (loops_ == 0) fail("{{% {} %}} stands outside of a loop", name);
      auto node = make(name == "break" ? Kind::stop : Kind::next);
      end_of_block();
      return node;
    }
    if (name.starts_with("end") || name == "else" || name == "elif") fail("unexpected {{% {} %}}", name);
    fail("{{% {} %}} is not supported", name);
  }

  /// A name, ns.name, or several in a tuple, to be assigned to.
  Pointer target(bool attributes) {
    const auto one = [&]() -> Pointer {
      if (take_sign("(")) {
        auto inner = target(false);
        expect_sign(")");
        return inner;
      }
      auto node = make(Kind::name, expect_any_name());
      for (const auto* constant : {"true", "false", "none", "True", "False", "None"})
        if (node->text == constant) fail("{} cannot be assigned to", constant);
      if (attributes && take_sign(".")) {
        auto place = make(Kind::attribute, expect_any_name());
        place->children.push_back(std::move(node));
        return place;
      }
      return node;
    };
    const Deeper deeper(*this);
    auto first = one();
    if (!at_sign(",")) return first;
    auto tuple = make(Kind::tuple);
    tuple->children.push_back(std::move(first));
    while (take_sign(",")) {
      if (now().kind != Token::Kind::name && !at_sign("(")) break;
      tuple->children.push_back(one());
    }
    return tuple;
  }

  Pointer loop() {
    auto node = make(Kind::loop);
    auto to = target(false);
    if (to->text == "loop") fail("loop is the name of the loop itself");
    expect_name("in");
    auto over = tuple_or_one(/*conditions=*/false);
    Pointer filter, other;
    if (take_name("if")) filter = expression();
    if (at_name("recursive")) fail("recursive loops are not supported");
    end_of_block();
    ++loops_;
    auto body = block({"else", "endfor"});
    --loops_;
    if (take().text == "else") {
      end_of_block();
      other = block({"endfor"});
      take();
    }
    end_of_block();
    return with(std::move(node), std::move(to), std::move(over), std::move(filter), std::move(body), std::move(other));
  }

  Pointer choice() {
    std::vector<Pointer> found;
    Pointer other;
    while (true) {
      auto node = make(Kind::choice);
      node->children.push_back(tuple_or_one(/*conditions=*/false));
      end_of_block();
      node->children.push_back(block({"elif", "else", "endif"}));
      found.push_back(std::move(node));
      const auto end = take().text;
      if (end == "elif") {
        if (found.size() > 200) fail("an if has more than 200 branches");
        continue;
      }
      if (end == "else") {
        end_of_block();
        other = block({"endif"});
        take();
      }
      end_of_block();
      break;
    }
    for (; !found.empty(); found.pop_back()) {
      found.back()->children.push_back(std::move(other));
      other = std::move(found.back());
    }
    return other;
  }

  Pointer assignment() {
    auto node = make(Kind::assign);
    auto to = target(true);
    if (take_sign("=")) {
      auto value = tuple_or_one();
      end_of_block();
      return with(std::move(node), std::move(to), std::move(value));
    }
    node->kind = Kind::assign_block;
    Pointer filters;
    if (at_sign("|")) filters = filter_chain(nullptr);
    end_of_block();
    auto body = block({"endset"});
    take(), end_of_block();
    return with(std::move(node), std::move(to), std::move(body), std::move(filters));
  }

  /// (a, b=1): names into the node, defaults returned.
  std::vector<Pointer> parameters(Node& node) {
    std::vector<Pointer> defaults;
    expect_sign("(");
    while (!at_sign(")")) {
      if (!node.names.empty()) expect_sign(",");
      node.names.push_back(expect_any_name());
      if (take_sign("=")) defaults.push_back(expression());
      else if (!defaults.empty()) fail("the parameter {} without a default stands behind one with it", node.names.back());
    }
    expect_sign(")");
    return defaults;
  }

  /// The body of a macro or call block: break and continue do not leave it.
  Pointer body_of(string_view end) {
    const auto outer = std::exchange(loops_, 0);
    auto body = block({end});
    loops_ = outer;
    take(), end_of_block();
    return body;
  }

  Pointer macro() {
    auto node = make(Kind::macro, expect_any_name());
    auto defaults = parameters(*node);
    end_of_block();
    const bool outer = std::exchange(sees_caller_, false);
    node->children.push_back(body_of("endmacro"));
    node->value = sees_caller_;
    sees_caller_ = outer || sees_caller_;
    for (auto& one : defaults) node->children.push_back(std::move(one));
    return node;
  }

  Pointer call_block() {
    auto node = make(Kind::call_block);
    std::vector<Pointer> defaults;
    if (at_sign("(")) defaults = parameters(*node);
    auto call = expression();
    if (call->kind != Kind::call) fail("{{% call %}} needs a call");
    end_of_block();
    node->children.push_back(std::move(call));
    node->children.push_back(body_of("endcall"));
    for (auto& one : defaults) node->children.push_back(std::move(one));
    return node;
  }

  Pointer filter_block() {
    auto node = make(Kind::filter_block);
    auto filters = filter_chain(nullptr, /*begun=*/true);
    end_of_block();
    auto body = block({"endfilter"});
    take(), end_of_block();
    return with(std::move(node), std::move(filters), std::move(body));
  }

  Pointer with_block() {
    auto node = make(Kind::with);
    node->children.push_back(nullptr);
    while (now().kind != Token::Kind::block_end) {
      if (!node->names.empty()) expect_sign(",");
      node->names.push_back(expect_any_name());
      expect_sign("=");
      node->children.push_back(expression());
    }
    end_of_block();
    node->children[0] = block({"endwith"});
    take(), end_of_block();
    return node;
  }

  // ---- expressions ----

  /// An expression, or several with commas: a tuple without parentheses.
  Pointer tuple_or_one(bool conditions = true) {
    auto first = conditions ? expression() : any_of();
    if (!at_sign(",")) return first;
    auto tuple = make(Kind::tuple);
    tuple->children.push_back(std::move(first));
    while (take_sign(",")) {
      if (now().kind == Token::Kind::print_end || now().kind == Token::Kind::block_end || at_sign(")")) break;
      tuple->children.push_back(conditions ? expression() : any_of());
    }
    return tuple;
  }

  Pointer expression() {
    const Deeper deeper(*this);
    auto out = any_of();
    int taken = 0;
    while (at_name("if")) {
      auto node = make(Kind::condition);
      take();
      auto test = any_of();
      auto other = take_name("else") ? expression() : nullptr;
      out = with(std::move(node), std::move(out), std::move(test), std::move(other));
      if (++taken > deepest_template) fail("an expression has too many conditions");
    }
    return out;
  }

  Pointer any_of() {
    auto out = all_of();
    if (!at_name("or")) return out;
    auto node = make(Kind::any_of);
    node->children.push_back(std::move(out));
    while (take_name("or")) node->children.push_back(all_of());
    return node;
  }

  Pointer all_of() {
    auto out = negation();
    if (!at_name("and")) return out;
    auto node = make(Kind::all_of);
    node->children.push_back(std::move(out));
    while (take_name("and")) node->children.push_back(negation());
    return node;
  }

  Pointer negation() {
    if (!at_name("not")) return comparison();
    const Deeper deeper(*this);
    auto node = make(Kind::negation);
    take();
    return with(std::move(node), negation());
  }

  Pointer comparison() {
    auto first = sum();
    auto node = make(Kind::compare);
    node->children.push_back(std::move(first));
    while (true) {
      std::string sign;
      for (const auto* one : {"==", "!=", "<=", ">=", "<", ">"})
        if (at_sign(one)) sign = one;
      if (!sign.empty()) take();
      else if (take_name("in")) sign = "in";
      else if (at_name("not") && next().kind == Token::Kind::name && next().text == "in") take(), take(), sign = "not in";
      else break;
      node->names.push_back(std::move(sign));
      node->children.push_back(sum());
    }
    return node->names.empty() ? std::move(node->children.front()) : std::move(node);
  }

  /// Operators of one rank, from the left; each takes the tree so far as its first operand, so their number counts as depth.
  Pointer operators(std::initializer_list<string_view> signs, Pointer (Parser::*operand)()) {
    auto out = (this->*operand)();
    int taken = 0;
    while (true) {
      const auto found = std::ranges::find_if(signs, [&](string_view sign) { return at_sign(sign); });
      if (found == signs.end()) break;
      if (++taken + depth_ > 4 * deepest_template) fail("an expression has too many operators");
      auto node = make(Kind::arithmetic, std::string(*found));
      take();
      out = with(std::move(node), std::move(out), (this->*operand)());
    }
    return out;
  }

  Pointer sum() { return operators({"+", "-"}, &Parser::concatenation); }
  Pointer product() { return operators({"*", "//", "/", "%"}, &Parser::power); }
  Pointer power() { return operators({"**"}, &Parser::signed_one); }

  Pointer concatenation() {
    auto first = product();
    if (!at_sign("~")) return first;
    auto node = make(Kind::concat);
    node->children.push_back(std::move(first));
    while (take_sign("~")) node->children.push_back(product());
    return node;
  }

  Pointer signed_one() { return signed_one(true); }
  Pointer signed_one(bool filters) {
    const Deeper deeper(*this);
    Pointer out;
    if (at_sign("-") || at_sign("+")) {
      auto node = make(at_sign("-") ? Kind::negative : Kind::positive);
      take();
      out = with(std::move(node), signed_one(false));
    } else out = primary();
    out = postfix(std::move(out));
    return filters ? filter_chain(std::move(out)) : std::move(out);
  }

  Pointer primary() {
    const auto token = now();
    switch (token.kind) {
      case Token::Kind::name:
        take();
        sees_caller_ = sees_caller_ || token.text == "caller";
        if (token.text == "true" || token.text == "True") return constant(true);
        if (token.text == "false" || token.text == "False") return constant(false);
        if (token.text == "none" || token.text == "None") return constant({});
        return make(Kind::name, token.text);
      case Token::Kind::text: {
        std::string text;
        while (now().kind == Token::Kind::text) text += take().text;
        return constant(std::move(text));
      }
      case Token::Kind::integer: {
        std::int64_t value = 0;
        if (std::from_chars(token.text.data(), token.text.data() + token.text.size(), value).ec != std::errc())
          fail("the number {} is too large", token.text);
        take();
        return constant(value);
      }
      case Token::Kind::number: take(); return constant(std::strtod(token.text.c_str(), nullptr));
      default: break;
    }
    if (take_sign("(")) return parentheses();
    if (take_sign("[")) {
      auto node = make(Kind::list);
      while (!at_sign("]")) {
        if (!node->children.empty()) expect_sign(",");
        if (at_sign("]")) break;
        node->children.push_back(expression());
      }
      expect_sign("]");
      return node;
    }
    if (take_sign("{")) {
      auto node = make(Kind::dict);
      while (!at_sign("}")) {
        if (!node->children.empty()) expect_sign(",");
        if (at_sign("}")) break;
        node->children.push_back(expression());
        expect_sign(":");
        node->children.push_back(expression());
      }
      expect_sign("}");
      return node;
    }
    fail("unexpected {}", found());
  }

  Pointer parentheses() {
    if (take_sign(")")) return make(Kind::tuple);
    auto inner = tuple_or_one();
    expect_sign(")");
    return inner;
  }

  Pointer postfix(Pointer out) {
    for (int taken = 0;; ++taken) {
      if (taken > deepest_template) fail("an expression has too many accesses");
      if (take_sign(".")) {
        if (now().kind == Token::Kind::integer) {
          auto node = make(Kind::item);
          auto index = primary();
          out = with(std::move(node), std::move(out), std::move(index));
          continue;
        }
        auto node = make(Kind::attribute, expect_any_name());
        out = with(std::move(node), std::move(out));
      } else if (take_sign("[")) out = subscript(std::move(out));
      else if (at_sign("(")) {
        auto node = make(Kind::call);
        node->children.push_back(std::move(out));
        arguments(*node);
        out = std::move(node);
      } else return out;
    }
  }

  Pointer subscript(Pointer of) {
    auto node = make(Kind::slice);
    Pointer parts[3];
    int count = 0;
    bool colon = false;
    while (true) {
      if (!at_sign(":") && !at_sign("]")) parts[count] = expression();
      if (!take_sign(":")) break;
      colon = true;
      if (++count > 2) fail("a slice has three parts at most");
    }
    if (at_sign(",")) fail("several indices at once are not supported");
    expect_sign("]");
    if (colon) return with(std::move(node), std::move(of), std::move(parts[0]), std::move(parts[1]), std::move(parts[2]));
    if (!parts[0]) fail("an index is missing");
    node->kind = Kind::item;
    return with(std::move(node), std::move(of), std::move(parts[0]));
  }

  void arguments(Node& node) {
    expect_sign("(");
    while (!at_sign(")")) {
      if (!node.arguments.empty()) expect_sign(",");
      if (at_sign(")")) break;
      if (at_sign("*") || at_sign("**")) {
        auto name = take().text;
        node.arguments.push_back({std::move(name), expression()});
      } else if (now().kind == Token::Kind::name && next().kind == Token::Kind::sign && next().text == "=") {
        auto name = take().text;
        take();
        node.arguments.push_back({std::move(name), expression()});
      } else {
        if (!node.arguments.empty() && !node.arguments.back().name.empty() && node.arguments.back().name != "*")
          fail("an argument by place stands behind a named one");
        node.arguments.push_back({"", expression()});
      }
    }
    expect_sign(")");
  }

  /// "| name(…)", "is name …" and calls, as often as they stand.
  Pointer filter_chain(Pointer out, bool begun = false) {
    for (int taken = 0;; ++taken) {
      if (taken > deepest_template) fail("an expression has too many filters");
      if (begun || take_sign("|")) {
        begun = false;
        auto node = make(Kind::filter, dotted_name());
        node->children.push_back(std::move(out));
        if (at_sign("(")) arguments(*node);
        out = std::move(node);
      } else if (out && take_name("is")) out = test(std::move(out));
      else if (out && at_sign("(")) {
        auto node = make(Kind::call);
        node->children.push_back(std::move(out));
        arguments(*node);
        out = std::move(node);
      } else return out;
    }
  }

  std::string dotted_name() {
    auto name = expect_any_name();
    while (take_sign(".")) name += "." + expect_any_name();
    return name;
  }

  Pointer test(Pointer of) {
    auto negated = at_name("not") ? make(Kind::negation) : nullptr;
    if (negated) take();
    auto node = make(Kind::test, dotted_name());
    node->children.push_back(std::move(of));
    const auto& next = now();
    if (at_sign("(")) arguments(*node);
    else if (next.kind == Token::Kind::text || next.kind == Token::Kind::integer || next.kind == Token::Kind::number || at_sign("[") ||
             at_sign("{") ||
             (next.kind == Token::Kind::name && next.text != "else" && next.text != "or" && next.text != "and" && next.text != "is" &&
              next.text != "if" && next.text != "in" && next.text != "not" && next.text != "recursive")) {
      node->arguments.push_back({"", postfix(primary())});
    } else if (at_name("is")) fail("tests cannot be chained with is");
    return negated ? with(std::move(negated), std::move(node)) : std::move(node);
  }

  int depth_ = 0, loops_ = 0;
  bool sees_caller_ = false;  ///< the macro that is read names its caller
};

}  // namespace

Node::Pointer parse_template(string_view source) { return Parser(read_tokens(source)).run(); }

}  // namespace isotrope::chat

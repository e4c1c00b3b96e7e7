// + - * / // % ** of a template's expressions, as Python has them; whole numbers of 64 bits.
#include <algorithm>
#include <cmath>

#include "isotrope/chat/interpreter_state.h"

namespace isotrope::chat {

namespace {

std::int64_t power_of(std::int64_t base, std::int64_t exponent) {
  std::int64_t out = 1;
  bool overflows = false;
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) overflows |= __builtin_mul_overflow(out, base, &out);
    if (exponent > 1 && (base > 1 || base < -1)) overflows |= __builtin_mul_overflow(base, base, &base);
  }
  return whole(overflows, out);
}

double real_power(double x, double y) {
  if (x == 0 && y < 0) throw InputError("chat", "division by zero");
  if (x < 0 && std::isfinite(y) && y != std::floor(y)) throw InputError("chat", "a power of a negative number is no real number");
  const auto out = std::pow(x, y);
  if (std::isinf(out) && std::isfinite(x) && std::isfinite(y)) throw InputError("chat", "a number is too large");
  return out;
}

/// Python's // and % of real numbers: the rest has the sign of the divisor.
std::pair<double, double> divided(double x, double y) {
  auto rest = std::fmod(x, y), quotient = (x - rest) / y;
  if (rest == 0) rest = std::copysign(0.0, y);
  else if ((rest < 0) != (y < 0)) rest += y, quotient -= 1;
  if (quotient == 0) return {std::copysign(0.0, x / y), rest};
  const auto down = std::floor(quotient);
  return {quotient - down > 0.5 ? down + 1 : down, rest};
}

}  // namespace

Value Interpreter::arithmetic(const std::string& sign, const Value& a, const Value& b) {
  expect_defined(a), expect_defined(b);
  const auto refuse = [&]() -> Value { throw InputError("chat", "{} {} {} has no meaning", a.type_name(), sign, b.type_name()); };
  if (a.is_text() && b.is_text() && sign == "+") {
    if (a.text().size() + b.text().size() > options_.longest_output)
      throw InputError("chat", "a text has more than {} bytes", options_.longest_output);
    budget_.spend_bytes(a.text().size() + b.text().size());
    return a.text() + b.text();
  }
  if (const auto *x = a.as_sequence(), *y = b.as_sequence();
      x && y && sign == "+" && x->kind == y->kind && (x->kind == Sequence::Kind::list || x->kind == Sequence::Kind::tuple)) {
    budget_.spend(x->items.size() + y->items.size());
    auto items = x->items;
    items.insert(items.end(), y->items.begin(), y->items.end());
    return Value::sequence(std::move(items), x->kind);
  }
  if (sign == "*" && (a.is_integer() != b.is_integer()) && !(a.is_number() && b.is_number())) {
    const auto &times = a.is_integer() ? a : b, &what = a.is_integer() ? b : a;
    const auto count = static_cast<std::size_t>(std::max<std::int64_t>(0, times.integer()));
    const auto* sequence = what.as_sequence();
    if (!what.is_text() && !(sequence && (sequence->kind == Sequence::Kind::list || sequence->kind == Sequence::Kind::tuple)))
      return refuse();
    if (count > 0 && what.extent().size > options_.longest_output / count) throw InputError("chat", "a text or list is repeated too often");
    budget_.spend_bytes(count * what.extent().size);
    if (what.is_text()) {
      std::string out;
      for (std::size_t i = 0; i < count; ++i) out += what.text();
      return out;
    }
    std::vector<Value> items;
    for (std::size_t i = 0; i < count; ++i) items.insert(items.end(), sequence->items.begin(), sequence->items.end());
    return Value::sequence(std::move(items), sequence->kind);
  }
  if (a.is_text() && sign == "%") throw InputError("chat", "formatting with % is not supported");
  if (!a.is_number() || !b.is_number()) return refuse();
  const auto divisor = [&] {
    if (b.number() == 0) throw InputError("chat", "division by zero");
  };
  if (a.is_integer() && b.is_integer() && sign != "/") {
    const auto x = a.integer(), y = b.integer();
    std::int64_t out = 0;
    if (sign == "+") return whole(__builtin_add_overflow(x, y, &out), 0), out;
    if (sign == "-") return whole(__builtin_sub_overflow(x, y, &out), 0), out;
    if (sign == "*") return whole(__builtin_mul_overflow(x, y, &out), 0), out;
    if (sign == "**") return y >= 0 ? Value(power_of(x, y)) : Value(real_power(a.number(), b.number()));
    divisor();
    whole(y == -1 && x == INT64_MIN, 0);
    const auto quotient = x / y, rest = x % y;
    const bool down = rest != 0 && (rest < 0) != (y < 0);
    return sign == "//" ? quotient - down : rest + (down ? y : 0);
  }
  const auto x = a.number(), y = b.number();
  if (sign == "+") return x + y;
  if (sign == "-") return x - y;
  if (sign == "*") return x * y;
  if (sign == "**") return real_power(x, y);
  divisor();
  if (sign == "/") return x / y;
  const auto [quotient, rest] = divided(x, y);
  return sign == "%" ? rest : quotient;
}

}  // namespace isotrope::chat

#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace isotrope {

/// SHA-256 (FIPS 180-4) of bytes that arrive piece by piece, by OpenSSL.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void add(std::string_view bytes);
  std::string hex();  ///< of everything added; ends the computation

 private:
  struct State;
  std::unique_ptr<State> state_;
};

std::string sha256_hex(std::string_view bytes);

}  // namespace isotrope

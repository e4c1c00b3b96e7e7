#include "isotrope/text/models/piece_trie.h"

#include <string>

namespace isotrope {

std::uint32_t PieceTrie::code_of_rank(std::uint32_t rank) {
  constexpr std::uint32_t singles = first_of_two - 1, pairs = (first_of_three - first_of_two) << 8;
  if (rank < singles) return 1u << 24 | (rank + 1);
  rank -= singles;
  if (rank < pairs) return 2u << 24 | (rank & 0xFF) << 8 | (first_of_two + (rank >> 8));
  rank -= pairs;
  return 3u << 24 | (rank & 0xFF) << 16 | (rank >> 8 & 0xFF) << 8 | (first_of_three + (rank >> 16));
}

PieceTrie::PieceTrie(Pieces pieces, std::string_view file) : trie_((give_codes(pieces), trie_of(pieces, file))) {}

void PieceTrie::give_codes(const Pieces& pieces) {
  struct Use {
    std::uint32_t count = 0;
    char32_t character = 0;
  };
  std::vector<Use> uses;
  std::vector<std::uint32_t> places(codes_.size());  // by place in codes_: that in uses, and 1
  for (const auto& [piece, value] : pieces)
    for (std::size_t at = 0; at < piece.size();) {
      const auto character = next_code_point(piece, at);
      auto& page = pages_[character >> 8];
      if (page == 0) {
        page = static_cast<std::uint16_t>(codes_.size() >> 8);
        codes_.resize(codes_.size() + 256, no_code);
        places.resize(codes_.size());
      }
      auto& place = places[std::size_t{page} << 8 | (character & 0xFF)];
      if (place == 0) {
        uses.push_back({.character = character});
        place = static_cast<std::uint32_t>(uses.size());
      }
      ++uses[place - 1].count;
    }
  std::ranges::sort(uses, [](const Use& a, const Use& b) { return a.count != b.count ? a.count > b.count : a.character < b.character; });
  for (std::uint32_t rank = 0; rank < uses.size(); ++rank) {
    const auto character = uses[rank].character;
    codes_[std::size_t{pages_[character >> 8]} << 8 | (character & 0xFF)] = code_of_rank(rank);
  }
}

DoubleArray PieceTrie::trie_of(const Pieces& pieces, std::string_view file) const {
  std::vector<unsigned char> codes;
  std::string all;
  std::vector<std::size_t> ends;
  for (const auto& [piece, value] : pieces) {
    const auto size = read(piece, codes);
    all.append(reinterpret_cast<const char*>(codes.data()), size);
    ends.push_back(all.size());
  }
  Pieces coded;
  for (std::size_t i = 0, begin = 0; i < pieces.size(); begin = ends[i++])
    coded.emplace_back(std::string_view(all).substr(begin, ends[i] - begin), pieces[i].second);
  return {std::move(coded), file};
}

std::int32_t PieceTrie::find(std::string_view piece) const {
  auto state = root();
  std::int32_t value = -1;
  for (std::size_t at = 0; at < piece.size();) {
    auto code = code_of(next_code_point(piece, at));
    for (auto left = code >> 24; left > 0; --left, code >>= 8)
      if (!step(state, static_cast<unsigned char>(code), value)) return -1;
  }
  return value;
}

}  // namespace isotrope

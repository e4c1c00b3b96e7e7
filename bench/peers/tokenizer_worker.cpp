// Our side of bench/peers/tokenizer.py: tokenizer_worker TOKENIZER, then a command a line, answered by a line of numbers.
//   encode FILE THREADS        from the text in memory to its ids in memory: seconds, seconds of processor time, number of ids
//   write FILE OUTPUT          the ids as 32-bit numbers into a file, and their number
//   lines FILE OUTPUT          the same for each line by itself, −1 behind each
//   plain FILE OUTPUT          as write, without special tokens; plain_encode FILE as encode on one thread
//   save FOLDER                writes tokenizer.json there
//   train FILE VOCAB THREADS bpe|wordpiece   to learn a vocabulary from the text: seconds, seconds of processor time
#include <chrono>
#include <ctime>
#include <fstream>
#include <iostream>
#include <sstream>

#include "isotrope/base/file.h"
#include "isotrope/text/tokenizer.h"
#include "isotrope/text/train/bpe_train.h"
#include "isotrope/text/train/word_piece_train.h"

namespace {

using namespace isotrope;

struct Seconds {
  double wall, processor;
};

template <class Work>
Seconds seconds_of(Work&& work) {
  const auto processor = [] {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const auto start = std::chrono::steady_clock::now();
  const double busy = processor();
  work();
  return {std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), processor() - busy};
}

void answer(const Tokenizer& tokenizer, std::istream& line) {
  std::string command, file;
  line >> command >> file;
  if (command == "save") {
    tokenizer.save(file);
    std::cout << 0 << std::endl;
    return;
  }
  const auto text = read_file(file, "bench");
  if (command == "encode") {
    int threads = 1;
    line >> threads;
    std::vector<TokenId> ids;
    const auto [wall, processor] = seconds_of([&] { ids = tokenizer.encode_parallel(text, threads); });
    std::cout << wall << ' ' << processor << ' ' << ids.size() << std::endl;
  } else if (command == "plain_encode") {
    std::vector<TokenId> ids;
    const auto [wall, processor] =
        seconds_of([&] { ids = tokenizer.encode(text, {.add_special_tokens = false, .parse_special_tokens = false}); });
    std::cout << wall << ' ' << processor << ' ' << ids.size() << std::endl;
  } else if (command == "write" || command == "lines" || command == "plain") {
    std::string output;
    line >> output;
    const EncodeOptions plain{.add_special_tokens = false, .parse_special_tokens = false};
    std::vector<TokenId> ids;
    if (command == "lines") {
      for (std::size_t start = 0; start < text.size();) {
        const auto end = std::min(text.find('\n', start), text.size());
        const auto more = tokenizer.encode(std::string_view(text).substr(start, end - start), plain);
        ids.insert(ids.end(), more.begin(), more.end());
        ids.push_back(-1);
        start = end + 1;
      }
    } else {
      ids = command == "plain" ? tokenizer.encode(text, plain) : tokenizer.encode(text);
    }
    std::ofstream(output, std::ios::binary).write(reinterpret_cast<const char*>(ids.data()), static_cast<std::streamsize>(ids.size() * 4));
    std::cout << ids.size() << std::endl;
  } else if (command == "train") {
    std::size_t size = 0;
    int threads = 1;
    std::string kind;
    line >> size >> threads >> kind;
    const auto train = [&](auto&& trainer) {
      trainer.add(text);
      (void)trainer.train();
    };
    const auto [wall, processor] = seconds_of([&] {
      if (kind == "wordpiece") train(WordPieceTrainer({.vocab_size = size, .threads = threads}));
      else train(BpeTrainer({.vocab_size = size, .special_tokens = {"<|endoftext|>"}, .threads = threads}));
    });
    std::cout << wall << ' ' << processor << std::endl;
  }
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return std::cerr << "tokenizer_worker TOKENIZER\n", 2;
  const auto tokenizer = isotrope::load_tokenizer(arguments[1]);
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    answer(*tokenizer, words);
  }
}

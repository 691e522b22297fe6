// synthetic:text: sentences of a small grammar. What makes them worth a language model: words that
// agree over a distance (number of subject and verb, pronoun and name), brackets that close, names
// that come back within a paragraph, and spelling.
#include <array>

#include "base/rng.h"
#include "data/text.h"

namespace espalier {
namespace {

constexpr std::array kNames = {"Anna",  "Bruno", "Clara", "David", "Elena", "Felix",
                               "Greta", "Hugo",  "Irene", "Jonas", "Karla", "Leon"};
constexpr std::array kNouns = {"gardener", "miller", "captain", "weaver", "scholar", "baker",
                               "hunter",   "sister", "brother", "judge",  "pilot",   "farmer"};
constexpr std::array kThings = {"ladder", "lantern", "letter", "basket", "hammer",  "window",
                                "garden", "mirror",  "kettle", "bridge", "orchard", "harbour"};
constexpr std::array kTraits = {"old",   "young",   "quiet", "clever", "tired", "proud",
                                "small", "patient", "cold",  "broken", "green", "narrow"};
constexpr std::array kVerbs = {"watch", "follow", "carry",  "mend", "remember", "paint",
                               "find",  "leave",  "praise", "sell", "guard",    "visit"};
constexpr std::array kSayings = {"say", "think", "know", "hope"};
constexpr std::array kPlaces = {"near the river",  "before the winter", "in the morning",
                                "behind the wall", "without a word",    "at the market"};

/// Writes one sentence after another; each choice is the next draw of a counter.
class Writer {
 public:
  Writer(uint64_t seed) : rng_(seed, stream_of("sentences")) {}

  void paragraph(std::string& out) {
    subject_ = pick(kNames);
    she_ = subject_.back() == 'a' || subject_ == "Irene";
    const uint64_t sentences = 3 + below(4);
    for (uint64_t s = 0; s < sentences; ++s) {
      std::string text = sentence(2);
      text[0] = char(std::toupper(uint8_t(text[0])));
      out += text + (s + 1 == sentences ? ".\n\n" : ". ");
    }
  }

 private:
  uint64_t below(uint64_t n) { return rng_.below(next_++, n); }
  template <size_t N>
  std::string pick(const std::array<const char*, N>& words) {
    return words[below(N)];
  }

  struct Phrase {
    std::string text;
    bool plural = false;
  };
  Phrase noun_phrase(int depth) {
    switch (below(4)) {
      case 0: return {subject_};
      case 1: return {she_ ? "she" : "he"};
      default: break;
    }
    Phrase p;
    p.plural = below(2) == 1;
    const std::string noun = pick(kNouns);
    p.text = (p.plural ? std::array{"the ", "some ", "two "}
                       : std::array{"the ", "that ", "every "})[below(3)];
    if (below(3) == 0) p.text += pick(kTraits) + " ";
    p.text += noun + (p.plural ? "s" : "");
    if (depth > 0 && below(4) == 0)
      p.text += " who " + conjugated(pick(kVerbs), p.plural) + " " + object();
    return p;
  }

  std::string object() {
    const bool plural = below(3) == 0;
    std::string text = plural ? "the " : "a ";
    std::string word = below(2) == 0 ? pick(kTraits) + " " + pick(kThings) : pick(kThings);
    if (!plural && std::string("aeiou").find(word[0]) != std::string::npos) text = "an ";
    return text + word + (plural ? "s" : "");
  }

  static std::string conjugated(std::string verb, bool plural) {
    if (plural) return verb;
    const char last = verb.back();
    const bool hisses = verb.ends_with("ch") || verb.ends_with("sh") || last == 's';
    if (last == 'y' && verb != "say") return verb.substr(0, verb.size() - 1) + "ies";
    return verb + (hisses ? "es" : "s");
  }

  std::string sentence(int depth) {
    const Phrase subject = noun_phrase(depth);
    if (depth > 0 && below(4) == 0)
      return subject.text + " " + conjugated(pick(kSayings), subject.plural) + " that " +
             sentence(depth - 1);
    std::string text =
        subject.text + " " + conjugated(pick(kVerbs), subject.plural) + " " + object();
    if (below(3) == 0) text += " " + pick(kPlaces);
    if (depth > 0 && below(5) == 0) text += " (" + sentence(0) + ")";
    return text;
  }

  Rng rng_;
  uint64_t next_ = 0;
  std::string subject_;
  bool she_ = false;
};

}  // namespace

std::string write_sentences(uint64_t seed, int64_t size) {
  Writer writer(seed);
  std::string text;
  while (int64_t(text.size()) < size) writer.paragraph(text);
  return text;
}

}  // namespace espalier

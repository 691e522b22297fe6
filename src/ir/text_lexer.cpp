#include "ir/text_lexer.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "base/error.h"

namespace espalier {
namespace {

bool word_char(char c) { return isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.'; }

}  // namespace

bool TextLexer::next_line() {
  const size_t end = text_.find('\n', at_);
  if (end == std::string_view::npos) return false;
  at_ = end + 1;
  return true;
}

size_t TextLexer::line() const {
  const auto end = text_.begin() + std::ptrdiff_t(std::min(at_, text_.size()));
  return 1 + size_t(std::count(text_.begin(), end, '\n'));
}

bool TextLexer::at_end() {
  skip_space();
  return at_ >= text_.size();
}

void TextLexer::fail(const std::string& what, const std::string& hint) const {
  const size_t begin = at_ == 0 ? std::string_view::npos : text_.rfind('\n', at_ - 1);
  const size_t column = at_ - (begin == std::string_view::npos ? 0 : begin + 1) + 1;
  throw bad_input(file_ + ":" + std::to_string(line()) + ":" + std::to_string(column), what, hint);
}

void TextLexer::skip_space() {
  while (at_ < text_.size()) {
    if (isspace(static_cast<unsigned char>(text_[at_]))) {
      ++at_;
    } else if (text_.substr(at_, 2) == "//") {
      while (at_ < text_.size() && text_[at_] != '\n') ++at_;
    } else {
      return;
    }
  }
}

bool TextLexer::peek(std::string_view token) {
  skip_space();
  return text_.substr(at_, token.size()) == token;
}

bool TextLexer::accept(std::string_view token) {
  if (!peek(token)) return false;
  at_ += token.size();
  return true;
}

void TextLexer::expect(std::string_view token) {
  if (!accept(token)) fail("expected '" + std::string(token) + "'");
}

std::string TextLexer::word() {
  skip_space();
  const size_t start = at_;
  while (at_ < text_.size() && word_char(text_[at_])) ++at_;
  if (at_ == start) fail("expected a word");
  return std::string(text_.substr(start, at_ - start));
}

bool TextLexer::accept_word(std::string_view w) {
  if (!peek(w)) return false;
  const size_t end = at_ + w.size();
  if (end < text_.size() && word_char(text_[end])) return false;
  at_ = end;
  return true;
}

std::string TextLexer::string() {
  expect("\"");
  std::string s;
  while (at_ < text_.size() && text_[at_] != '"') {
    if (text_[at_] != '\\') {
      s += text_[at_++];
      continue;
    }
    if (++at_ >= text_.size()) break;
    if (text_[at_] == 'x' && at_ + 2 < text_.size()) {
      unsigned code = 0;
      const char* digits = text_.data() + at_ + 1;
      const auto [end, status] = std::from_chars(digits, digits + 2, code, 16);
      if (status != std::errc{} || end != digits + 2) fail("malformed escape");
      s += char(code);
      at_ += 3;
    } else {
      s += text_[at_++];
    }
  }
  if (at_ >= text_.size()) fail("the string is not closed");
  ++at_;
  return s;
}

std::string TextLexer::reference() {
  expect("%");
  if (at_ < text_.size() && text_[at_] == '"') return string();
  const size_t start = at_;
  while (at_ < text_.size() && (word_char(text_[at_]) || strchr("/:-", text_[at_]))) {
    // A colon ends the name when a type follows it.
    if (text_[at_] == ':' &&
        (at_ + 1 >= text_.size() || isspace(static_cast<unsigned char>(text_[at_ + 1]))))
      break;
    ++at_;
  }
  if (at_ == start) fail("expected a name after %");
  return std::string(text_.substr(start, at_ - start));
}

Type TextLexer::type() {
  skip_space();
  const size_t start = at_;
  int depth = 0;
  while (at_ < text_.size()) {
    const char c = text_[at_];
    if (c == '(' || c == '[') ++depth;
    if (c == ')' || c == ']') {
      if (depth == 0) break;
      ++at_;
      if (--depth == 0) break;
      continue;
    }
    if (depth == 0 && (isspace(static_cast<unsigned char>(c)) || c == ',')) break;
    ++at_;
  }
  try {
    return parse_type(text_.substr(start, at_ - start));
  } catch (const UserError& e) {
    at_ = start;
    fail(e.problem(), e.hint());
  }
}

std::string_view TextLexer::numeral() {
  skip_space();
  const size_t start = at_;
  if (at_ < text_.size() && strchr("+-", text_[at_])) ++at_;
  while (at_ < text_.size() &&
         (word_char(text_[at_]) || (strchr("+-", text_[at_]) && strchr("eE", text_[at_ - 1]))))
    ++at_;
  if (at_ == start) fail("expected a number");
  return text_.substr(start, at_ - start);
}

int64_t TextLexer::integer(std::string_view s) const {
  int64_t v = 0;
  const auto [end, status] = std::from_chars(s.data(), s.data() + s.size(), v);
  if (status != std::errc{} || end != s.data() + s.size())
    fail("'" + std::string(s) + "' is no integer");
  return v;
}

double TextLexer::real(std::string_view s) const {
  const std::string copy(s);
  char* end = nullptr;
  const double v = std::strtod(copy.c_str(), &end);
  if (end != copy.c_str() + copy.size()) fail("'" + copy + "' is no number");
  return v;
}

float TextLexer::real32(std::string_view s) const {
  const std::string copy(s);
  char* end = nullptr;
  const float v = std::strtof(copy.c_str(), &end);
  if (end != copy.c_str() + copy.size()) fail("'" + copy + "' is no number");
  return v;
}

}  // namespace espalier

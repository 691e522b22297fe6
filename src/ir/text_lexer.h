// The words of the .esp text form: a place in a text, and what can be read there.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "ir/type.h"

namespace espalier {

/// What does not read as asked is a UserError naming the file, the line and the column.
class TextLexer {
 public:
  /// `text` must outlive this; errors call it `file`.
  TextLexer(std::string_view text, std::string file) : text_(text), file_(std::move(file)) {}

  const std::string& file() const { return file_; }
  /// In characters from the start.
  size_t position() const { return at_; }
  void go_to(size_t position) { at_ = position; }
  /// Goes to the start of the next line; false where this is the last one.
  bool next_line();
  /// Counted from 1.
  size_t line() const;
  bool at_end();

  [[noreturn]] void fail(const std::string& what, const std::string& hint = "") const;

  /// Space and comments before a token are skipped.
  bool peek(std::string_view token);
  bool accept(std::string_view token);
  void expect(std::string_view token);
  /// Like accept, of a whole word.
  bool accept_word(std::string_view word);

  std::string word();
  /// Between double quotes, with its escapes resolved.
  std::string string();
  /// The name in %name or %"name".
  std::string reference();
  Type type();
  /// The characters of a number.
  std::string_view numeral();

  /// Of characters that were read here; what is none fails here.
  int64_t integer(std::string_view digits) const;
  double real(std::string_view digits) const;
  float real32(std::string_view digits) const;

 private:
  void skip_space();

  std::string_view text_;
  std::string file_;
  size_t at_ = 0;
};

}  // namespace espalier

#include "worker/tokenizer/utf8.h"

#include <string>

#include "gtest/gtest.h"

namespace pixelrec::tokenizer {
namespace {

TEST(Utf8, WellFormed) {
  for (const char* text : {"", "a", "plain ascii longer than eight", "\xC2\x80", "\xDF\xBF", "\xE0\xA0\x80", "\xED\x9F\xBF",
                           "\xEE\x80\x80", "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF", "seven77\xC3\xA9"}) {
    EXPECT_TRUE(IsUtf8(text)) << text;
  }
}

TEST(Utf8, MalformedAndWhere) {
  for (const char* bad : {"\x80", "\xBF", "\xC0\x80", "\xC1\xBF", "\xC3", "\xC3(", "\xE0\x9F\xBF", "\xE2\x82", "\xED\xA0\x80",
                          "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFE", "\xFF", "\xF0\x9F\x98"}) {
    for (size_t before : {0, 1, 7, 8, 9, 16, 17}) {
      const std::string text = std::string(before, 'x') + bad;
      EXPECT_EQ(ValidUtf8Prefix(text), before);
      EXPECT_EQ(ValidUtf8Prefix(text + std::string(20, 'y')), before);
    }
  }
}

// Every sequence of up to three bytes against a decoder written from the definition.
bool Decodes(const std::string& s) {
  for (size_t i = 0; i < s.size();) {
    const auto b = [&](size_t k) { return static_cast<unsigned char>(s[k]); };
    const int n = b(i) < 0x80 ? 1 : (b(i) & 0xE0) == 0xC0 ? 2 : (b(i) & 0xF0) == 0xE0 ? 3 : (b(i) & 0xF8) == 0xF0 ? 4 : 0;
    if (n == 0 || i + static_cast<size_t>(n) > s.size()) return false;
    uint32_t point = n == 1 ? b(i) : b(i) & (0x7Fu >> n);
    for (int k = 1; k < n; ++k) {
      if ((b(i + static_cast<size_t>(k)) & 0xC0) != 0x80) return false;
      point = (point << 6) | (b(i + static_cast<size_t>(k)) & 0x3Fu);
    }
    constexpr uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
    if (point < kLeast[n] || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) return false;
    i += static_cast<size_t>(n);
  }
  return true;
}

TEST(Utf8, EveryShortSequenceAgreesWithTheDefinition) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      for (int third : {0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC2, 0xE0, 0xF0, 0xFF}) {
        for (int fourth : {-1, 0x41, 0x80, 0xBF}) {
          std::string s = {static_cast<char>(first), static_cast<char>(second), static_cast<char>(third)};
          if (fourth >= 0) s.push_back(static_cast<char>(fourth));
          ASSERT_EQ(IsUtf8(s), Decodes(s)) << first << " " << second << " " << third << " " << fourth;
        }
      }
    }
  }
}

TEST(Utf8, FrontLengthStaysInside) {
  EXPECT_EQ(Utf8FrontLength(""), 0u);
  EXPECT_EQ(Utf8FrontLength("a"), 1u);
  EXPECT_EQ(Utf8FrontLength("\xC3\xA9z"), 2u);
  EXPECT_EQ(Utf8FrontLength("\xF0\x9F\x98\x80z"), 4u);
  EXPECT_EQ(Utf8FrontLength("\xF0\x9F"), 2u);
  EXPECT_EQ(Utf8FrontLength("\x80z"), 1u);
}

}  // namespace
}  // namespace pixelrec::tokenizer

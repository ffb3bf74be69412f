// Words of the synthetic item texts. Common ones: most are one token of a Llama vocabulary.
#pragma once

#include <array>

namespace pixelrec::data {

inline constexpr std::array kWords = {
    "time",    "year",      "people",  "way",     "day",      "man",        "thing",    "woman",    "life",   "child",
    "world",   "school",    "state",   "family",  "student",  "group",      "country",  "problem",  "hand",   "part",
    "place",   "case",      "week",    "company", "system",   "program",    "question", "work",     "number", "night",
    "point",   "home",      "water",   "room",    "mother",   "area",       "money",    "story",    "fact",   "month",
    "lot",     "right",     "study",   "book",    "eye",      "job",        "word",     "business", "issue",  "side",
    "kind",    "head",      "house",   "service", "friend",   "father",     "power",    "hour",     "game",   "line",
    "end",     "member",    "law",     "car",     "city",     "name",       "team",     "minute",   "idea",   "body",
    "back",    "parent",    "face",    "others",  "level",    "office",     "door",     "health",   "person", "art",
    "map",     "history",   "party",   "result",  "change",   "morning",    "reason",   "research", "girl",   "guy",
    "moment",  "air",       "teacher", "force",   "order",    "color",      "green",    "light",    "small",  "large",
    "old",     "new",       "first",   "last",    "long",     "great",      "little",   "own",      "other",  "big",
    "high",    "different", "next",    "early",   "young",    "few",        "public",   "bad",      "same",   "able",
    "open",    "close",     "run",     "walk",    "play",     "read",       "write",    "sing",     "make",   "find",
    "give",    "tell",      "ask",     "seem",    "feel",     "try",        "leave",    "call",     "keep",   "let",
    "begin",   "help",      "show",    "hear",    "turn",     "start",      "move",     "like",     "live",   "believe",
    "hold",    "bring",     "happen",  "must",    "provide",  "sit",        "stand",    "lose",     "pay",    "meet",
    "include", "continue",  "set",     "learn",   "lead",     "understand", "watch",    "follow",   "stop",   "create",
    "speak",   "spend",     "grow",    "offer",   "remember", "love",       "consider", "appear",   "buy",    "wait",
    "serve",   "send",      "expect",  "build",   "stay",     "fall",       "cut",      "reach",    "pass",   "remain",
    "summer",  "winter"};

inline constexpr std::array kTopics = {"music",  "food",   "travel", "sport", "fashion", "animals", "cars",     "science",
                                       "comedy", "games",  "family", "news",  "art",     "dance",   "nature",   "film",
                                       "health", "beauty", "home",   "books", "weather", "history", "business", "garden"};

}  // namespace pixelrec::data

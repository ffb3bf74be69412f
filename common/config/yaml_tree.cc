#include "common/config/yaml_tree.h"

#include <optional>
#include <sstream>
#include <stdexcept>
#include <unordered_map>
#include <unordered_set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/config/utf8.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/exceptions.h"
#include "yaml-cpp/mark.h"
#include "yaml-cpp/parser.h"

namespace pixelrec::config {
namespace {

// Ends yaml-cpp's parse from inside a handler; caught in ParseInto and nowhere else.
struct Refusal : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The first tab that indents a line up to `last_line` (from 0): the likely reason of an error that names something else.
std::optional<YAML::Mark> IndentingTab(absl::string_view text, int last_line) {
  int line = 0;
  for (const absl::string_view content : absl::StrSplit(text, '\n')) {
    if (line > last_line) break;
    const size_t indent = content.find_first_not_of(' ');
    if (indent != absl::string_view::npos && content[indent] == '\t') {
      YAML::Mark mark;
      mark.line = line;
      mark.column = static_cast<int>(indent);
      return mark;
    }
    ++line;
  }
  return std::nullopt;
}

}  // namespace

class YamlTreeBuilder : public YAML::EventHandler {
 public:
  YamlTreeBuilder(YamlTree& tree, std::string file, bool with_position)
      : tree_(tree), file_(std::move(file)), with_position_(with_position) {}

  int root() const { return root_; }
  std::string Where(const YAML::Mark& mark) const {
    if (!with_position_) return file_;
    return absl::StrCat(file_, ":", std::max(mark.line, 0) + 1, ":", std::max(mark.column, 0) + 1);
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (root_ >= 0) Refuse(Where(mark), "a second document; one file holds one");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { Close(Open(YamlNode::Kind::kNull, mark, "", anchor)); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto target = anchors_.find(anchor);
    if (target == anchors_.end()) Refuse(Where(mark), "an alias without its anchor");
    for (const Frame& frame : open_) {
      if (frame.node == target->second) Refuse(Where(mark), "an alias to a node that contains it");
    }
    Attach(target->second, Where(mark));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override {
    const bool quoted = tag == "!";
    const int id = Open(YamlNode::Kind::kScalar, mark, quoted ? "" : tag, anchor);
    // Escapes of a quoted scalar can spell what the file's own bytes were refused for.
    if (!FirstInvalidUtf8(value).ok) Refuse(Where(mark), "not a valid Unicode string");
    At(id).quoted = quoted;
    At(id).scalar = value;
    Close(id);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Push(Open(YamlNode::Kind::kSequence, mark, tag, anchor), mark);
  }
  void OnSequenceEnd() override { Pop(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    Push(Open(YamlNode::Kind::kMap, mark, tag, anchor), mark);
  }
  void OnMapEnd() override { Pop(); }

 private:
  struct Frame {
    int node;
    int key_node;  // -1 between entries of a map
    std::unordered_set<std::string> keys;
  };

  [[noreturn]] static void Refuse(const std::string& where, absl::string_view why) {
    throw Refusal(absl::StrCat(where, ": ", why));
  }

  YamlNode& At(int id) { return tree_.nodes_[static_cast<size_t>(id)]; }

  int Open(YamlNode::Kind kind, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    if (!tag.empty() && tag != "?" && tag != "!") Refuse(Where(mark), absl::StrCat("tags are not supported (\"", tag, "\")"));
    if (tree_.nodes_.size() >= YamlTree::kMaxNodes)
      Refuse(Where(mark), absl::StrCat("more than ", YamlTree::kMaxNodes, " keys and values"));
    const int id = static_cast<int>(tree_.nodes_.size());
    tree_.nodes_.push_back({kind, false, "", {}, {}, Where(mark)});
    if (anchor != YAML::NullAnchor) anchors_[anchor] = id;
    return id;
  }
  void Push(int id, const YAML::Mark& mark) {
    if (open_.size() >= YamlTree::kMaxDepth) {
      Refuse(Where(mark), absl::StrCat("nested deeper than ", YamlTree::kMaxDepth, " levels"));
    }
    open_.push_back({id, -1, {}});
  }
  void Pop() {
    const int id = open_.back().node;
    open_.pop_back();
    Close(id);
  }
  void Close(int id) { Attach(id, At(id).where); }

  void Attach(int id, const std::string& where) {
    if (open_.empty()) {
      root_ = id;
      return;
    }
    Frame& frame = open_.back();
    YamlNode& parent = At(frame.node);
    if (parent.kind == YamlNode::Kind::kSequence) {
      parent.items.push_back(id);
    } else if (frame.key_node < 0) {
      if (At(id).kind != YamlNode::Kind::kScalar) Refuse(where, "a key must be a plain word");
      if (!frame.keys.insert(At(id).scalar).second) Refuse(where, absl::StrCat("duplicate key \"", At(id).scalar, "\""));
      frame.key_node = id;
    } else {
      parent.entries.push_back({At(frame.key_node).scalar, frame.key_node, id});
      frame.key_node = -1;
    }
  }

  YamlTree& tree_;
  const std::string file_;
  const bool with_position_;
  int root_ = -1;
  std::vector<Frame> open_;
  std::unordered_map<YAML::anchor_t, int> anchors_;
};

absl::StatusOr<int> YamlTree::ParseInto(absl::string_view text, absl::string_view file, bool with_position) {
  const auto refuse = [](absl::string_view where, absl::string_view why) {
    return absl::InvalidArgumentError(absl::StrCat(where, ": ", why));
  };
  const std::string start = with_position ? absl::StrCat(file, ":1:1") : std::string(file);
  if (text.size() > kMaxBytes) {
    return refuse(start, absl::StrCat("larger than ", kMaxBytes / 1024, " KiB (", text.size(), " bytes)"));
  }
  if (const Utf8Check check = FirstInvalidUtf8(text); !check.ok) {
    return refuse(with_position ? absl::StrCat(file, ":", check.line, ":", check.column) : std::string(file),
                  "not valid UTF-8 text");
  }
  YamlTreeBuilder builder(*this, std::string(file), with_position);
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const Refusal& refusal) {
    return absl::InvalidArgumentError(refusal.what());
  } catch (const YAML::Exception& error) {
    if (const std::optional<YAML::Mark> tab = IndentingTab(text, error.mark.line)) {
      return refuse(builder.Where(*tab), "indented with a tab; YAML wants spaces");
    }
    return refuse(error.mark.is_null() ? start : builder.Where(error.mark), error.msg);
  }
  if (builder.root() < 0) {
    nodes_.push_back({YamlNode::Kind::kNull, false, "", {}, {}, start});
    return static_cast<int>(nodes_.size()) - 1;
  }
  return builder.root();
}

absl::StatusOr<YamlTree> YamlTree::Parse(absl::string_view text, absl::string_view file) {
  YamlTree tree;
  absl::StatusOr<int> root = tree.ParseInto(text, file, /*with_position=*/true);
  if (!root.ok()) return root.status();
  tree.root_ = *root;
  return tree;
}

absl::Status YamlTree::Assign(absl::string_view path, absl::string_view text, absl::string_view where) {
  absl::StatusOr<int> value = ParseInto(text, where, /*with_position=*/false);
  if (!value.ok()) return value.status();
  int current = root_;
  const std::vector<std::string> keys = absl::StrSplit(path, '.');
  for (size_t depth = 0; depth < keys.size(); ++depth) {
    if (node(current).kind == YamlNode::Kind::kNull) nodes_[static_cast<size_t>(current)].kind = YamlNode::Kind::kMap;
    if (node(current).kind != YamlNode::Kind::kMap) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": ", node(current).where, " is not a map"));
    }
    const bool last = depth + 1 == keys.size();
    YamlNode::Entry* entry = nullptr;
    for (YamlNode::Entry& candidate : nodes_[static_cast<size_t>(current)].entries) {
      if (candidate.key == keys[depth]) entry = &candidate;
    }
    if (entry == nullptr) {
      nodes_.push_back({YamlNode::Kind::kMap, false, "", {}, {}, std::string(where)});
      const int fresh = static_cast<int>(nodes_.size()) - 1;
      std::vector<YamlNode::Entry>& entries = nodes_[static_cast<size_t>(current)].entries;
      entries.push_back({keys[depth], fresh, fresh});
      entry = &entries.back();
    }
    if (last) {
      entry->key_node = entry->value_node = *value;
    } else {
      current = entry->value_node;
    }
  }
  return absl::OkStatus();
}

}  // namespace pixelrec::config

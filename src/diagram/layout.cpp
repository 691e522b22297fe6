#include "diagram/layout.h"

#include <algorithm>
#include <map>
#include <numeric>

#include "diagram/labels.h"
#include "ir/room.h"

namespace espalier::diagram {
namespace {

constexpr double kMargin = 16, kTop = 44;            // around everything; above the first layer
constexpr double kLetter = 6.3;                      // width of a character at 11 px
constexpr double kPitch = 15;                        // between wires, at least
constexpr double kStorePitch = 12;                   // between wires that come from the side
constexpr double kGap = 18, kBeside = 26;            // between bundles; between items of a layer
constexpr double kLayerGap = 52;                     // room for wires to cross, and their labels
constexpr size_t kMostLetters = 24, kMostLabel = 9;  // of a line in a box; of an axis
constexpr int kSweeps = 6;

Bundle bundle_of(const Graph& g, ValueId v) {
  Bundle b;
  b.value = v;
  const Type& type = g.value(v).type;
  double x = 0;
  for (int64_t axis = 0; axis < drawn_rank(type); ++axis) {
    b.labels.push_back(shortened(to_string(type.tensor().dims[size_t(axis)]), kMostLabel));
    b.at.push_back(x + 4);
    x += std::max(kPitch, double(characters(b.labels.back())) * kLetter + 8);
  }
  b.width = std::max(x, kPitch);
  if (b.thread()) b.at = {kPitch / 2};
  return b;
}

/// The part of a parameter's name that tells it from the others of its node.
std::string last_part(const std::string& name) {
  const size_t dot = name.find_last_of("./");
  return dot == std::string::npos || dot + 1 == name.size() ? name : name.substr(dot + 1);
}

class Placer {
 public:
  Placer(const Graph& g, const std::vector<Repetition>& folded) : g_(g), folded_(folded) {}

  Layout run() {
    choose_nodes();
    add_items();
    add_links();
    add_layers();
    add_bends();
    order_layers();
    set_y();
    for (int sweep = 0; sweep < 2 * kSweeps; ++sweep) set_x(sweep % 2 == 0);
    finish();
    return std::move(out_);
  }

 private:
  /// Each node, or the one of the first block that stands for it.
  void choose_nodes() {
    stands_for_.resize(g_.node_count());
    std::iota(stands_for_.begin(), stands_for_.end(), NodeId{0});
    for (const Repetition& r : folded_)
      for (size_t i = r.begin + r.length; i < r.begin + r.length * r.count; ++i)
        stands_for_[size_t(g_.order()[i])] = g_.order()[r.begin + (i - r.begin) % r.length];
  }
  bool is_drawn(NodeId id) const { return stands_for_[size_t(id)] == id; }

  int add(Item item) {
    out_.items.push_back(std::move(item));
    return int(out_.items.size()) - 1;
  }

  void add_items() {
    const auto add_source = [&](ValueId v) {
      Item item;
      item.kind = Item::Kind::kInput;
      item.value = v;
      end_lines(item);
      place_results(item, {v});
      source_[v] = {add(std::move(item)), 0};
    };
    for (ValueId v : g_.inputs()) add_source(v);
    for (ValueId v : g_.outputs())
      if (g_.is_constant(v) && !source_.contains(v)) add_source(v);
    for (NodeId id : g_.order()) {
      if (!is_drawn(id)) continue;
      const int item = add(box_of(id));
      const auto& outputs = g_.node(id).outputs;
      for (size_t i = 0; i < outputs.size(); ++i)
        if (outputs[i] != kNoValue) source_[outputs[i]] = {item, int(i)};
    }
    for (ValueId v : g_.outputs()) {
      Item item;
      item.kind = Item::Kind::kOutput;
      item.value = v;
      end_lines(item);
      place_operands(item, {v});
      outputs_.push_back(add(std::move(item)));
    }
    out_.drawn = out_.items.size();
  }

  void end_lines(Item& item) const {
    const Value& v = g_.value(item.value);
    item.lines = {shortened_name(v.name, kMostLetters)};
    item.lines.push_back(shortened(to_string(v.type), kMostLetters));
    set_label_width(item);
    item.height = 38;
  }

  static void set_label_width(Item& item) {
    size_t most = 0;
    for (const std::string& line : item.lines) most = std::max(most, characters(line));
    item.label_width = double(most) * kLetter + 16;
    item.width = item.label_width;
  }

  /// Bundles side by side, to the right of what is written.
  double place(const Item& item, std::vector<Bundle>& bundles, std::vector<double>& at) const {
    double x = item.label_width;
    for (const Bundle& b : bundles) {
      at.push_back(x);
      if (b.value != kNoValue) x += b.width + kGap;
    }
    return x;
  }
  void place_operands(Item& item, const std::vector<ValueId>& values) const {
    for (ValueId v : values) item.operands.push_back(v == kNoValue ? Bundle{} : bundle_of(g_, v));
    item.width = std::max(item.width, place(item, item.operands, item.operand_x));
  }
  void place_results(Item& item, const std::vector<ValueId>& values) const {
    for (ValueId v : values) item.results.push_back(v == kNoValue ? Bundle{} : bundle_of(g_, v));
    item.width = std::max(item.width, place(item, item.results, item.result_x));
  }

  Item box_of(NodeId id) const {
    const Node& n = g_.node(id);
    Item item;
    item.node = id;
    item.layer = 1;
    item.axes = box_axes(g_, id);
    item.lines = {shortened(n.room->full_name(), kMostLetters)};
    if (!n.name.empty()) item.lines.push_back(shortened_name(n.name, kMostLetters));
    if (const std::string attributes = attributes_text(n); !attributes.empty())
      item.lines.push_back(shortened(attributes, kMostLetters));
    set_label_width(item);
    std::vector<ValueId> operands;
    double down = 12;
    for (size_t i = 0; i < n.inputs.size(); ++i) {
      const ValueId v = n.inputs[i];
      operands.push_back(g_.is_constant(v) ? kNoValue : v);
      if (g_.is_constant(v)) add_store(item, int(i), v, down);
    }
    place_operands(item, operands);
    place_results(item, n.outputs);
    item.height = std::max({44.0, 12 + 14.0 * double(item.lines.size()), down + 2});
    return item;
  }

  void add_store(Item& item, int slot, ValueId v, double& down) const {
    Store store;
    store.slot = slot;
    store.bundle = bundle_of(g_, v);
    store.name = shortened_name(last_part(g_.value(v).name), 16);
    size_t letters = 0;
    for (double& at : store.bundle.at) {
      at = down;
      down += kStorePitch;
    }
    for (const std::string& label : store.bundle.labels)
      letters = std::max(letters, characters(label));
    down += 5;
    item.beside = std::max(item.beside, 30 + double(letters + characters(store.name)) * kLetter);
    item.stores.push_back(std::move(store));
  }

  /// Where a value comes from in the picture.
  std::pair<int, int> source_of(ValueId v) const {
    const Value& value = g_.value(v);
    if (value.producer == kNoNode) return source_.at(v);
    const NodeId drawn = stands_for_[size_t(value.producer)];
    return source_.at(g_.node(drawn).outputs.at(size_t(value.output_index)));
  }

  void add_links() {
    for (size_t i = 0; i < out_.drawn; ++i) {
      const Item& item = out_.items[i];
      for (size_t slot = 0; slot < item.operands.size(); ++slot) {
        const ValueId v = item.operands[slot].value;
        if (v == kNoValue) continue;
        const auto [from, result] = source_of(v);
        out_.links.push_back({from, result, int(i), int(slot), {}, v});
      }
    }
  }

  /// Items stand in the order of the graph: a link's beginning has its layer before its end has.
  void add_layers() {
    for (const Link& l : out_.links) {
      int& layer = out_.items[size_t(l.to)].layer;
      layer = std::max(layer, out_.items[size_t(l.from)].layer + 1);
    }
    int last = 0;
    for (size_t i = 0; i < out_.drawn; ++i) last = std::max(last, out_.items[i].layer);
    for (int i : outputs_) out_.items[size_t(i)].layer = std::max(last, 1);
  }

  /// A value that is read further down runs through one bend in each layer between, however many
  /// read it there.
  void add_bends() {
    std::map<std::pair<int, int>, std::vector<int>> chains;
    for (Link& l : out_.links) {
      std::vector<int>& chain = chains[{l.from, l.result}];
      const int begin = out_.items[size_t(l.from)].layer + 1;
      const size_t between = size_t(out_.items[size_t(l.to)].layer - begin);
      while (chain.size() < between) {
        Item bend;
        bend.kind = Item::Kind::kBend;
        bend.value = l.value;
        bend.layer = begin + int(chain.size());
        bend.operands = {bundle_of(g_, l.value)};
        bend.operand_x = {0};
        bend.results = bend.operands;
        bend.result_x = {0};
        bend.width = bend.operands[0].width;
        chain.push_back(add(std::move(bend)));
      }
      l.bends.assign(chain.begin(), chain.begin() + std::ptrdiff_t(between));
    }
    neighbours_.resize(out_.items.size());
    for (const Link& l : out_.links) {
      int above = l.from, slot = l.result;
      for (int bend : l.bends) {
        join(above, slot, bend, 0);
        above = bend;
        slot = 0;
      }
      join(above, slot, l.to, l.slot);
    }
  }

  struct Neighbour {
    int item = 0;
    double shift = 0;  ///< where this item's left is due, from the other's left
    bool above = false;
  };

  void join(int above, int result, int below, int slot) {
    const double shift = out_.items[size_t(above)].result_x[size_t(result)] -
                         out_.items[size_t(below)].operand_x[size_t(slot)];
    auto& list = neighbours_[size_t(below)];
    const bool twice = std::ranges::any_of(
        list, [&](const Neighbour& n) { return n.item == above && n.shift == shift; });
    if (twice) return;  // several links through one bend
    list.push_back({above, shift, true});
    neighbours_[size_t(above)].push_back({below, -shift, false});
  }

  /// Barycentres, up and down, from the graph's own order.
  void order_layers() {
    for (size_t i = 0; i < out_.items.size(); ++i) {
      const auto layer = size_t(out_.items[i].layer);
      if (layers_.size() <= layer) layers_.resize(layer + 1);
      layers_[layer].push_back(int(i));
    }
    std::vector<double> rank(out_.items.size(), 0);
    const auto number = [&](const std::vector<int>& layer) {
      for (size_t k = 0; k < layer.size(); ++k)
        rank[size_t(layer[k])] = (double(k) + 0.5) / double(layer.size());
    };
    for (const auto& layer : layers_) number(layer);
    std::vector<double> wanted(out_.items.size(), 0);
    for (int sweep = 0; sweep < 2 * kSweeps; ++sweep) {
      const bool down = sweep % 2 == 0;
      for (size_t k = 0; k < layers_.size(); ++k) {
        auto& layer = layers_[down ? k : layers_.size() - 1 - k];
        for (int i : layer) wanted[size_t(i)] = barycentre(i, down, rank);
        std::ranges::stable_sort(layer, {}, [&](int i) { return wanted[size_t(i)]; });
        number(layer);
      }
    }
  }

  double barycentre(int item, bool above, const std::vector<double>& rank) const {
    double sum = 0;
    int count = 0;
    for (const Neighbour& n : neighbours_[size_t(item)]) {
      if (n.above != above) continue;
      sum += rank[size_t(n.item)];
      ++count;
    }
    return count ? sum / count : rank[size_t(item)];
  }

  void set_y() {
    double y = kTop;
    for (const auto& layer : layers_) {
      double height = 0;
      for (int i : layer) {
        out_.items[size_t(i)].y = y;
        height = std::max(height, out_.items[size_t(i)].height);
      }
      for (int i : layer)
        if (out_.items[size_t(i)].kind == Item::Kind::kBend) out_.items[size_t(i)].height = height;
      out_.layer_bottom.push_back(y + height);
      y += height + kLayerGap;
    }
    out_.height = y - kLayerGap + kMargin;
  }

  /// Each item as near as can be to where its wires run straight, in its layer's order. The mean of
  /// pushing everything right and everything left keeps all distances.
  void set_x(bool down) {
    for (size_t k = 0; k < layers_.size(); ++k) {
      const auto& layer = layers_[down ? k : layers_.size() - 1 - k];
      if (layer.empty()) continue;
      std::vector<double> right(layer.size()), left(layer.size());
      const auto room = [&](size_t i) {
        const Item& item = out_.items[size_t(layer[i])];
        return item.width + item.beside + kBeside;
      };
      for (size_t i = 0; i < layer.size(); ++i) {
        right[i] = wanted_x(layer[i], down);
        left[i] = right[i];
        if (i > 0) right[i] = std::max(right[i], right[i - 1] + room(i - 1));
      }
      for (size_t i = layer.size() - 1; i-- > 0;)
        left[i] = std::min(left[i], left[i + 1] - room(i));
      for (size_t i = 0; i < layer.size(); ++i)
        out_.items[size_t(layer[i])].x = (right[i] + left[i]) / 2;
    }
  }

  double wanted_x(int item, bool above) const {
    double sum = 0;
    int count = 0;
    for (const Neighbour& n : neighbours_[size_t(item)]) {
      if (n.above != above) continue;
      sum += out_.items[size_t(n.item)].x + n.shift;
      ++count;
    }
    return count ? sum / count : out_.items[size_t(item)].x;
  }

  void finish() {
    double least = 0, most = 0;
    for (size_t i = 0; i < out_.items.size(); ++i) {
      least = i == 0 ? out_.items[i].x : std::min(least, out_.items[i].x);
      most = i == 0 ? out_.items[i].right() : std::max(most, out_.items[i].right());
    }
    for (Item& item : out_.items) item.x += kMargin - least;
    out_.width = most - least + 2 * kMargin;
    for (const Repetition& r : folded_) {
      double x0 = out_.width, y0 = out_.height, x1 = 0, y1 = 0;
      for (size_t i = 0; i < out_.drawn; ++i) {
        const Item& item = out_.items[i];
        const auto first = g_.order().begin() + std::ptrdiff_t(r.begin);
        if (item.node == kNoNode || std::find(first, first + std::ptrdiff_t(r.length), item.node) ==
                                        first + std::ptrdiff_t(r.length))
          continue;
        x0 = std::min(x0, item.x);
        y0 = std::min(y0, item.y);
        x1 = std::max(x1, item.right());
        y1 = std::max(y1, item.y + item.height);
      }
      out_.frames.push_back({r.count, x0 - 9, y0 - 14, x1 - x0 + 18, y1 - y0 + 23});
    }
  }

  const Graph& g_;
  const std::vector<Repetition>& folded_;
  Layout out_;
  std::vector<NodeId> stands_for_;
  std::map<ValueId, std::pair<int, int>> source_;  ///< item and result slot
  std::vector<int> outputs_;
  std::vector<std::vector<Neighbour>> neighbours_;
  std::vector<std::vector<int>> layers_;
};

}  // namespace

Layout lay_out(const Graph& graph, const std::vector<Repetition>& folded) {
  return Placer(graph, folded).run();
}

}  // namespace espalier::diagram

// Pictures as inputs: read as data sets read them, or refused.
#include "serve/pictures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "data/normalize.h"
#include "ir/text_bytes.h"
#include "tests/serve/service_fixture.h"

namespace espalier::serve {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

/// What the network is to see of that picture.
std::vector<float> expected(const Image& image) {
  const Image small = resize_image(image, 4, 2);
  const Normalization n = parse_normalization("imagenet", DType::u8, 3);
  std::vector<float> values;
  for (int c = 0; c < 3; ++c)
    for (int p = 0; p < 8; ++p)
      values.push_back(float(n.apply(small.pixels[size_t(3 * p + c)], c)));
  return values;
}

TEST_F(ServiceTest, PicturesAreReadAsDataSetsReadThem) {
  add_pictures();
  const Image first = picture_of_noise(4, 2), second = picture_of_noise(9, 5);
  const std::string a = encode_png(first), b = encode_png(second);
  const auto check = [&](const Response& r, const std::vector<const Image*>& sent) {
    ASSERT_EQ(r.status, 200) << r.body;
    const auto data = json::parse(r.body)["outputs"][0]["data"].get<std::vector<float>>();
    std::vector<float> want;
    for (const Image* image : sent)
      for (float v : expected(*image)) want.push_back(v);
    EXPECT_EQ(data, want);
  };
  const json in_json = {{"inputs",
                         {{{"name", "x"},
                           {"datatype", "BYTES"},
                           {"shape", {2}},
                           {"data", {to_base64(a), to_base64(b)}}}}}};
  check(ask("POST", "/v2/models/pictures/infer", in_json.dump()), {&first, &second});
  check(ask("POST", "/v2/models/pictures/infer", b, {{"Inference-Header-Content-Length", "0"}}),
        {&second});
  EXPECT_THAT(ask("GET", "/v2/models/pictures").body, HasSubstr("JPEG or PNG"));
  EXPECT_THAT(ask("GET", "/metrics").body, HasSubstr("stage=\"normalize\"} 2"));
}

TEST_F(ServiceTest, PicturesShrinkByMeansWhereAsked) {
  HostOptions o = named("pictures");
  o.pictures = {{.input = "x", .normalize = "raw", .shrink = Shrink::average}};
  service.add(parse_graph(kPictures), o);
  Image stripes{8, 4, 3, {}};
  for (int i = 0; i < 8 * 4; ++i)
    for (int c = 0; c < 3; ++c) stripes.pixels.push_back(uint8_t(i % 2 ? 200 : 100));
  const Response r = ask("POST", "/v2/models/pictures/infer", encode_png(stripes),
                         {{"Inference-Header-Content-Length", "0"}});
  ASSERT_EQ(r.status, 200) << r.body;
  EXPECT_EQ(json::parse(r.body)["outputs"][0]["data"].get<std::vector<float>>(),
            std::vector<float>(24, 150));
}

TEST_F(ServiceTest, WhatIsNoPictureIsSaid) {
  add_pictures();
  const auto told = [&](const json& data, const json& shape) {
    const json body = {
        {"inputs", {{{"name", "x"}, {"datatype", "BYTES"}, {"shape", shape}, {"data", data}}}}};
    const Response r = ask("POST", "/v2/models/pictures/infer", body.dump());
    return std::to_string(r.status) + " " + error_of(r);
  };
  EXPECT_EQ(told({"!"}, {1}),
            "400 input 'x': picture 0: is not base64, as pictures within JSON are written");
  EXPECT_EQ(told({to_base64("GIF89a..")}, {1}),
            "400 input 'x': picture 0: is neither a PNG nor a JPEG picture");
  EXPECT_THAT(told({to_base64(encode_png(picture_of_noise(20, 6)))}, {1}),
              HasSubstr("picture 0: has more than 100 pixels"));
  EXPECT_THAT(told({"a", "b"}, {1, 2}), HasSubstr("pictures are BYTES [N]"));
  EXPECT_THAT(told(json::array(), {0}), HasSubstr("pictures are BYTES [N]"));
  EXPECT_EQ(told(std::vector<std::string>(42), {42}),
            "413 input 'x': 42 pictures have more than 1000 elements");
}

TEST_F(ServiceTest, InputsThatTakeNoPicturesAreSaid) {
  const auto refused = [&](const char* network, PictureOptions picture) {
    HostOptions o = named("p");
    o.pictures = {std::move(picture)};
    try {
      service.add(parse_graph(network), o);
    } catch (const UserError& e) {
      return std::string(e.what());
    }
    return std::string("(taken)");
  };
  EXPECT_THAT(refused(kPictures, {.input = "z"}), HasSubstr("no such input"));
  EXPECT_THAT(refused(kNetwork, {.input = "x"}), HasSubstr("no batch of pictures"));
  EXPECT_THAT(refused(kPictures, {.input = "x", .layout = PictureLayout::nhwc}),
              HasSubstr("1 or 3 channels"));
  EXPECT_THAT(refused(kPictures, {.input = "x", .height = 5, .width = 4}),
              HasSubstr("resize asks for a height of 5"));
  EXPECT_THAT(refused(kPictures, {.input = "x", .normalize = "standard"}), HasSubstr("data set"));
  EXPECT_THAT(refused("graph \"g\"(%x: f32[N,3,H,W]) -> (%y) {\n"
                      "  %y: f32[N,3,H,W] = Relu(%x)\n}\n",
                      {.input = "x"}),
              HasSubstr("pictures of any height"));
  EXPECT_THAT(refused("graph \"g\"(%x: f32[N,3,4,0]) -> (%y) {\n"
                      "  %y: f32[N,3,4,0] = Relu(%x)\n}\n",
                      {.input = "x"}),
              HasSubstr("a width of 0"));
}

}  // namespace
}  // namespace espalier::serve

// The parser takes what real files hold, and says in one line what is wrong with the others.
#include "core/obj.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <random>

#include "core/text.h"

namespace raytrace {
namespace {

constexpr const char* square = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n";

Mesh good(const std::string& text) {
  auto mesh = parse_obj(text, "test.obj", "");
  EXPECT_TRUE(mesh.has_value()) << (mesh ? "" : mesh.error());
  return mesh ? std::move(*mesh) : Mesh{};
}

std::string complaint(const std::string& text) {
  const auto mesh = parse_obj(text, "test.obj", "");
  EXPECT_FALSE(mesh.has_value()) << text;
  return mesh ? "" : mesh.error();
}

std::string write_file(const std::string& name, const std::string& content) {
  std::string path = testing::TempDir() + name;
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

TEST(Obj, ReadsEveryWayToWriteACorner) {
  const std::string head = std::string(square) + "vt 0 0\nvn 0 0 1\n";
  for (const char* face : {"f 1 2 3", "f 1/1 2/1 3/1", "f 1//1 2//1 3//1", "f 1/1/1 2/1/1 3/1/1",
                           "f -4 -3 -2", "f -4//-1 -3//-1 -2//-1", "f 1/ 2/ 3/"}) {
    const Mesh mesh = good(head + face + "\n");
    ASSERT_EQ(mesh.triangles.size(), 1u) << face;
    EXPECT_EQ(mesh.triangles[0].vertex, (std::array<std::uint32_t, 3>{0, 1, 2})) << face;
  }
}

TEST(Obj, CutsPolygonsIntoFans) {
  const Mesh mesh = good(std::string(square) + "f 1 2 3 4\n");
  ASSERT_EQ(mesh.triangles.size(), 2u);
  EXPECT_EQ(mesh.triangles[1].vertex, (std::array<std::uint32_t, 3>{0, 2, 3}));
}

TEST(Obj, TakesLineEndsOfAllSystemsAndPassesOverTheRest) {
  const Mesh mesh = good(
      "# comment\r\no thing\r\ng a b\r\ns 1\r\nv 0 0 0\r\nv +1 0 0 1.0\r\n\r\n  v 1 1e0 -0\r\n"
      "vp 1 2\r\nl 1 2\r\nf 1 2 3");
  EXPECT_EQ(mesh.triangles.size(), 1u);
  EXPECT_EQ(mesh.vertices[2].y, 1.0f);
}

TEST(Obj, NumbersTooSmallForAFloatAreZero) {
  EXPECT_EQ(good("v 1e-60 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n").vertices[0].x, 0.0f);
}

TEST(Obj, NamesTheLineThatIsWrong) {
  EXPECT_EQ(complaint("v 0 0 0\nv 1 0\n"), "test.obj:2: a vertex needs three numbers");
  EXPECT_EQ(complaint(std::string(square) + "f 1 2\n"),
            "test.obj:5: a face needs three corners or more");
  EXPECT_EQ(complaint(std::string(square) + "f 1 2 5\n"), "test.obj:5: there is no vertex 5");
  EXPECT_EQ(complaint(std::string(square) + "f 1 2 3//1\n"), "test.obj:5: there is no normal 1");
  EXPECT_EQ(complaint(std::string(square) + "f 0 1 2\n"), "test.obj:5: there is no vertex 0");
  EXPECT_EQ(complaint(std::string(square) + "f -5 1 2\n"), "test.obj:5: there is no vertex -5");
  EXPECT_EQ(complaint(std::string(square) + "f 1 2 x\n"), "test.obj:5: bad corner 'x'");
  EXPECT_EQ(complaint(std::string(square) + "f 1 2 3/1/\n"), "test.obj:5: bad corner '3/1/'");
  EXPECT_EQ(complaint("v nan 0 0\n"), "test.obj:1: a vertex needs three numbers");
  EXPECT_EQ(complaint("v 1e300 0 0\n"), "test.obj:1: a vertex needs three numbers");
  EXPECT_EQ(complaint("v 1e30 0 0\n"), "test.obj:1: a vertex lies too far away to be traced");
}

TEST(Obj, RejectsHugeIndices) {
  for (const char* index : {"4294967297", "9223372036854775807", "-9223372036854775808",
                            "99999999999999999999999999"}) {
    EXPECT_FALSE(complaint(fmt::format("{}f 1 2 {}\n", square, index)).empty());
    EXPECT_FALSE(complaint(fmt::format("{}vn 0 0 1\nf 1 2 3//{}\n", square, index)).empty());
  }
}

TEST(Obj, RejectsTextThatIsNoScene) {
  EXPECT_EQ(complaint("int main() {}\n"), "test.obj: not a scene: there is no face in it");
  EXPECT_EQ(complaint(square), "test.obj: not a scene: there is no face in it");
}

TEST(Obj, RejectsAPolygonWithoutEnd) {
  std::string text = std::string(square) + "f";
  for (int i = 0; i < 5000; ++i) text += " 1";
  EXPECT_EQ(complaint(text), "test.obj:5: a face has too many corners");
}

TEST(Obj, ReadsCameraSkyAndExposure) {
  const Mesh mesh =
      good(std::string(square) +
           "#!camera 1 2 3 4 5 6 50 0.1\n#!sky 1 0 0 0 0 1\n#!exposure 2\nf 1 2 3\n");
  ASSERT_TRUE(mesh.pose && mesh.sky);
  EXPECT_EQ(mesh.pose->target.z, 6.0f);
  EXPECT_EQ(mesh.pose->lens_radius, 0.1f);
  EXPECT_EQ(mesh.sky->zenith.z, 1.0f);
  EXPECT_EQ(mesh.exposure, 2.0f);
  EXPECT_FALSE(complaint("#!camera 1 2 3\n").empty());
  EXPECT_FALSE(complaint("#!camera 1 2 3 4 5 6 400\n").empty());
}

TEST(Obj, ReadsMaterialsAndOnlyWarnsWhenTheirFileIsMissing) {
  write_file("rt_good.mtl", "newmtl red paint\nKd 1 0 0\nKs 0.1 0.1 0.1\nNs 50\nmap_Kd x.png\n");
  const std::string text = std::string(square) +
                           "mtllib rt_good.mtl\nusemtl red paint\nf 1 2 3\nusemtl none\nf 1 3 4\n";
  const auto mesh = parse_obj(text, "test.obj", testing::TempDir());
  ASSERT_TRUE(mesh.has_value()) << mesh.error();
  EXPECT_EQ(mesh->materials.at(mesh->triangles[0].material).kd.x, 1.0f);
  EXPECT_EQ(mesh->materials.at(mesh->triangles[0].material).ns, 50.0f);
  EXPECT_EQ(mesh->triangles[1].material, 0u);
  EXPECT_EQ(mesh->warnings.size(), 1u);
  EXPECT_EQ(good(std::string("mtllib none.mtl\n") + square + "f 1 2 3\n").warnings.size(), 1u);
}

TEST(Obj, RejectsMaterialsThatMakeLight) {
  write_file("rt_bad.mtl", "newmtl a\nKd 2 0 0\n");
  const auto mesh = parse_obj("mtllib rt_bad.mtl\n", "test.obj", testing::TempDir());
  ASSERT_FALSE(mesh.has_value());
  EXPECT_NE(mesh.error().find("rt_bad.mtl:2: Kd"), std::string::npos) << mesh.error();
}

TEST(ObjFile, MissingEmptyAndDirectoryAreToldApart) {
  EXPECT_EQ(read_obj("/no/such.obj").error(), "/no/such.obj: No such file or directory");
  const std::string empty = write_file("rt_empty.obj", "");
  EXPECT_EQ(read_obj(empty).error(), empty + ": the file is empty");
  EXPECT_EQ(read_obj("/tmp").error(), "/tmp: not a regular file");
}

TEST(ObjFile, BinaryGarbageIsNotAText) {
  std::mt19937 random(7);
  std::string bytes(4096, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  const auto mesh = read_obj(write_file("rt_garbage.obj", bytes));
  ASSERT_FALSE(mesh.has_value());
  EXPECT_NE(mesh.error().find("not a text file"), std::string::npos) << mesh.error();
}

TEST(ObjFile, AShippedSceneThatIsCutOffAnywhereIsNoticed) {
  auto text = read_text(RAYTRACE_SCENES "/teapot.obj");
  ASSERT_TRUE(text.has_value()) << text.error();
  std::mt19937 random(11);
  std::vector<std::size_t> cuts{text->size() - 1, text->size() - 2, text->size() - 9, 1, 40, 200};
  for (int i = 0; i < 12; ++i) cuts.push_back(1 + random() % (text->size() - 2));
  for (const std::size_t cut : cuts) {
    EXPECT_FALSE(parse_obj(text->substr(0, cut), "cut.obj", RAYTRACE_SCENES).has_value()) << cut;
  }
}

TEST(Obj, SurvivesRandomDamage) {
  auto text = read_text(RAYTRACE_SCENES "/teapot.obj");
  ASSERT_TRUE(text.has_value());
  const std::size_t tail = text->rfind("\nf ") - 4000;
  const std::string sample = text->substr(0, 4000) + text->substr(tail);
  std::mt19937 random(13);
  for (int round = 0; round < 300; ++round) {
    std::string damaged = sample;
    for (int i = 0; i < 8; ++i) {
      damaged[random() % damaged.size()] = "0123456789 -/.\nevfn#!"[random() % 21];
    }
    const auto mesh = parse_obj(damaged, "damaged.obj", RAYTRACE_SCENES);  // must only not crash
    if (mesh) {
      for (const Triangle& t : mesh->triangles) {
        for (const std::uint32_t v : t.vertex) ASSERT_LT(v, mesh->vertices.size());
      }
    }
  }
}

}  // namespace
}  // namespace raytrace

#include "eval/prompts/words.h"

#include <sstream>

#include "eval/prompts/draw.h"

namespace steno {
namespace {

std::vector<std::string> split(const char* words) {
  std::istringstream in(words);
  std::vector<std::string> list;
  for (std::string word; in >> word;) list.push_back(word);
  return list;
}

}  // namespace

const std::vector<std::string>& adjectives() {
  static const auto list = split(
      "able amber ancient bitter blue bold brave bright brisk broad bronze busy calm careful cheap clean clever cold "
      "common cool crimson curious damp dark dear deep dim distant dry dull eager early easy empty fair faint famous "
      "fast fierce fine firm flat fond fresh gentle giant glad golden grand green grey happy hard harsh heavy hidden "
      "hollow honest huge humble idle jolly keen kind large late lazy light little lively lonely long loud lucky mild "
      "misty modest narrow neat new noble odd old open pale patient plain polite proud pure quick quiet rapid rare red "
      "rich rough round royal rusty sharp shy silent silver simple slow small smooth soft solid sour spare steep stern "
      "stiff strange strong sunny sweet swift tall tame tender thick thin tidy tiny tough vast warm weary wet white "
      "wide wild wise wooden yellow young");
  return list;
}

const std::vector<std::string>& nouns() {
  static const auto list = split(
      "acorn anchor anvil apple apron arrow ashtray badge bakery balcony banjo barrel basin basket beacon bell bench "
      "blanket boat bottle bridge broom bucket button cabin candle canoe canvas carpet castle cellar chair chimney "
      "clock cloud coat compass copper cottage cradle crane cup curtain desk door drawer drum engine fence ferry "
      "fiddle "
      "flag flute forest fork fountain garden gate glove goose guitar hammer harbor harp hat hedge helmet horn hotel "
      "island jacket jar kettle key kite ladder lake lamp lantern ledger lemon letter library locket magnet mailbox "
      "map marble market meadow mill mirror mitten mountain museum needle oak oar orchard oven paddle palace parcel "
      "parrot pebble pencil piano pillow pipe planet plough pocket pond quilt rabbit radio river rope saddle sail "
      "school scissors shelf ship shovel spoon stable stamp statue stove suitcase table teapot temple tent ticket "
      "tower train trumpet tunnel umbrella valley vase village violin wagon wallet well wheel whistle willow window");
  return list;
}

const std::vector<std::string>& first_names() {
  static const auto list = split(
      "Mirela Oskar Tamsin Bruno Ines Farid Greta Hugo Imani Jonas Keiko Leander Marta Nadia Olga Pavel Quentin Rosa "
      "Stefan Thea Ulrich Vera Wanda Xenia Yusuf Zelda Anton Bettina Cyril Doris Emil Frida");
  return list;
}

const std::vector<std::string>& last_names() {
  static const auto list = split(
      "Hargrove Lindqvist Adeyemi Castellan Dvorak Ellison Fairbanks Grunwald Holloway Ivanov Jankowski Kessler "
      "Lombardi Moreau Nakagawa Okafor Pemberton Quigley Rasmussen Santoro Thornbury Underhill Vasquez Whitcombe "
      "Yilmaz Zeller Abernathy Brightman Corrigan Delacroix Engstrom Fitzwater");
  return list;
}

std::string random_key(Random& random) { return draw(adjectives(), random) + "-" + draw(nouns(), random); }
std::string random_name(Random& random) { return draw(first_names(), random) + " " + draw(last_names(), random); }

}  // namespace steno

// How a sequence must end, whatever was in it.
#pragma once

#include <string>

#include "tests/property/stage.h"

namespace oms::property {

class Ending {
 public:
  explicit Ending(Stage& stage) : stage_(stage), world_(stage.world) {}

  // The world is mended; what the person wants (a version, or the resource gone) stays.
  void Mend();
  // Until all is as it is wanted, with the answers of a person on the way; or something is broken.
  void ToTheEnd();

 private:
  void MendByHand();
  void StopWhatAPersonRunsBeside();
  void Answer(const std::string& reason, const std::string& message);
  void AnswerOpen(const std::string& reason);
  void AnswerClosed(const std::string& reason, const std::string& message);
  bool AnswerHold(const crd::OmsUpgrade& resource, const std::string& reason);
  bool SomeHostIsEmpty();
  void ExpectGoodEnd();
  void ExpectQuiet();
  void ExpectNothingLeft();
  void ExpectNoSecret(const crd::OmsUpgrade& resource);

  Stage& stage_;
  World& world_;
};

}  // namespace oms::property

// What a user may do, by the lines of SHOW GRANTS. Pure.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace oms::drivers::mysql {

class Grants {
 public:
  // `nearest_alone`: of several grants that fit a database's name the one without a wildcard is the
  // only one that counts, as in MariaDB and MySQL. In OceanBase all of them do (both tried).
  Grants(const std::vector<std::string>& lines, bool nearest_alone);

  // True only if it is certain: not where a role is granted, which may or may not be active, nor
  // where a line is none that is understood.
  bool Lacks(std::string_view privilege, std::string_view database) const;

 private:
  struct Grant {
    std::string database;  // As a pattern; "*": all.
    std::set<std::string> privileges;
  };
  void Read(std::string_view line);

  bool nearest_alone_;
  bool certain_ = true;
  std::vector<Grant> grants_;
};

// A database's name in a GRANT: '_' and '%' stand for others unless a backslash is before them.
// Letters of either case are the same. Pure.
bool FitsDatabase(std::string_view pattern, std::string_view database);

// 'name'@'host' of what CURRENT_USER() says. Pure.
std::string QuotedUser(const std::string& current_user);

}  // namespace oms::drivers::mysql

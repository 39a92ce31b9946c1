// What a server's words about its tables and definitions mean. Pure.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "controller/base/result.h"
#include "reconcilers/ports/db_server.h"

namespace oms::drivers::mysql {

// The text of a CREATE statement without what may differ between two equal objects:
// AUTO_INCREMENT's value, DEFINER and what goes with it, and the name of the own database before
// another name (OceanBase writes it into a view's body).
std::string NormalizeCreate(const std::string& create, const std::string& database);

// A definition is run by a restore, so it has to be one. kTerminal "DumpUnsupported": `text`, as
// NormalizeCreate gives it, does not begin with CREATE.
base::Status CheckDefinition(std::string_view kind, const std::string& database,
                             const std::string& name, const std::string& text);

// A column that information_schema says something odd of: EXTRA in capitals, with INVISIBLE or
// GENERATED in it, or an expression that it is computed by (`generated`).
struct OddColumn {
  std::string table, name, extra;
  bool generated = false;
};
// What the tools do with them (each tried). mydumper 0.10 selects "*", which leaves INVISIBLE
// columns out; but where EXTRA of some column of the table has GENERATED in it, it selects the
// others by name, INVISIBLE or not. MySQL says DEFAULT_GENERATED of a column whose default is an
// expression, and DEFAULT CURRENT_TIMESTAMP is one. MariaDB's mysqldump names all columns where one
// is INVISIBLE, and writes generated ones too, which only MariaDB passes over (OceanBase and MySQL:
// error 3105).
ports::DumpObstacles ObstaclesOf(const std::string& database, const std::vector<OddColumn>& columns,
                                 bool mariadb);

// The arguments of CONCAT_WS for one table: ISNULL of each column, then each column in a form that
// gives the same bytes on each server. `columns`: name and data_type as information_schema says
// them.
//
// Short strings go in as HEX (OceanBase and MariaDB both refuse some mixtures of collations), long
// ones as length and CRC32 (CAST AS BINARY of 5 MB ends with 4019 on OceanBase, and what is longer
// than max_allowed_packet would become NULL). Numbers and times go in as text.
struct SumColumn {
  std::string name;
  std::string type;
  bool generated = false;
};
std::string SumExpression(const std::vector<SumColumn>& columns);

// The AUTO_INCREMENT value of SHOW CREATE TABLE; 0 where it names none (information_schema has NULL
// there on OceanBase).
uint64_t AutoIncrementOf(const std::string& create);

// A data_type of information_schema is one of these.
bool ColumnTypeIn(const std::string& type, std::initializer_list<const char*> types);

}  // namespace oms::drivers::mysql

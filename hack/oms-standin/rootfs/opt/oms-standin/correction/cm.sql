-- What the correction jar does in cm: groups of resources, which add_resource fills.
CREATE TABLE resource_group (
  id bigint NOT NULL AUTO_INCREMENT,
  name varchar(64) NOT NULL,
  gmt_created datetime NOT NULL,
  gmt_modified datetime NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY uk_name (name)
) DEFAULT CHARSET=utf8mb4;
ALTER TABLE host ADD COLUMN resource_group_id bigint DEFAULT NULL;

-- Cluster manager database, as of OMS 4.3.0 (stand-in).
CREATE TABLE resource_group (
  id bigint NOT NULL AUTO_INCREMENT,
  name varchar(64) NOT NULL,
  gmt_created datetime NOT NULL,
  gmt_modified datetime NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY uk_name (name)
) DEFAULT CHARSET=utf8mb4;

CREATE TABLE host (
  id bigint NOT NULL AUTO_INCREMENT,
  ip varchar(64) NOT NULL,
  host_status varchar(32) NOT NULL,
  resource_group_id bigint DEFAULT NULL,
  total_cpu decimal(8,2) DEFAULT NULL,
  total_memory_mb bigint DEFAULT NULL,
  gmt_created datetime NOT NULL,
  gmt_modified datetime NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY uk_ip (ip)
) DEFAULT CHARSET=utf8mb4;

CREATE TABLE location_cm (
  id bigint NOT NULL AUTO_INCREMENT,
  location int NOT NULL,
  region varchar(64) NOT NULL,
  cm_url varchar(256) NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY uk_location (location)
) DEFAULT CHARSET=utf8mb4;

CREATE TABLE config_job (
  id bigint NOT NULL AUTO_INCREMENT,
  job_name varchar(128) NOT NULL,
  `key` varchar(128) NOT NULL,
  value varchar(1024) DEFAULT NULL,
  gmt_created datetime NOT NULL,
  gmt_modified datetime NOT NULL,
  PRIMARY KEY (id),
  KEY idx_key (`key`)
) DEFAULT CHARSET=utf8mb4;

CREATE TABLE crawler (
  id bigint NOT NULL AUTO_INCREMENT,
  crawler_name varchar(128) NOT NULL,
  host_ip varchar(64) NOT NULL,
  port int NOT NULL,
  status int NOT NULL,
  begin_timestamp bigint DEFAULT NULL,
  gmt_modified datetime NOT NULL,
  PRIMARY KEY (id)
) DEFAULT CHARSET=utf8mb4;

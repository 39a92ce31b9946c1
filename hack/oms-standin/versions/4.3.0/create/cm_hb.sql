-- Cluster manager heartbeat database, as of OMS 4.3.0 (stand-in). The spelling of the first table
-- is OMS's own.
CREATE TABLE heatbeat_sequence (
  `id` bigint(20) NOT NULL AUTO_INCREMENT COMMENT 'PK',
  `gmt_created` datetime NOT NULL,
  `gmt_modified` datetime NOT NULL,
  PRIMARY KEY (`id`)
) DEFAULT CHARSET=utf8 COMMENT='Heartbeat sequence table';

CREATE TABLE heart_beat (
  id bigint NOT NULL AUTO_INCREMENT,
  task_type varchar(64) NOT NULL,
  task_name varchar(128) NOT NULL,
  host_ip varchar(64) NOT NULL,
  sequence_id bigint DEFAULT NULL,
  gmt_created datetime NOT NULL,
  gmt_modified datetime NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY uk_task (task_type, task_name, host_ip)
) DEFAULT CHARSET=utf8mb4;

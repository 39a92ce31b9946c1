-- Resource manager database, as of OMS 4.3.0 (stand-in).
CREATE TABLE oms_version (
  version varchar(64) NOT NULL,
  gmt_modified timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP,
  PRIMARY KEY (version)
) DEFAULT CHARSET=utf8mb4;

-- Counts that only grow: upgrade_runs is how often docker_upgrade.sh began to migrate.
CREATE TABLE oms_counter (
  name varchar(64) NOT NULL,
  value bigint NOT NULL,
  PRIMARY KEY (name)
) DEFAULT CHARSET=utf8mb4;

CREATE TABLE oms_normal_config (
  id bigint NOT NULL AUTO_INCREMENT,
  cfg_name varchar(128) NOT NULL,
  cfg_value text,
  module varchar(64) DEFAULT NULL,
  description varchar(512) DEFAULT NULL,
  gmt_created datetime NOT NULL,
  gmt_modified datetime NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY uk_cfg_name (cfg_name)
) DEFAULT CHARSET=utf8mb4;

CREATE TABLE cluster_info (
  id bigint NOT NULL AUTO_INCREMENT,
  region varchar(64) NOT NULL,
  region_cn varchar(64) DEFAULT NULL,
  cm_url varchar(256) NOT NULL,
  code int NOT NULL,
  is_default_cm tinyint NOT NULL DEFAULT 0,
  PRIMARY KEY (id),
  UNIQUE KEY uk_region (region)
) DEFAULT CHARSET=utf8mb4;

CREATE TABLE oms_project (
  id bigint NOT NULL AUTO_INCREMENT,
  project_id varchar(64) NOT NULL,
  project_name varchar(128) NOT NULL,
  project_status varchar(32) NOT NULL,
  current_step varchar(64) DEFAULT NULL,
  enable_full_transfer tinyint NOT NULL DEFAULT 1,
  enable_incr_transfer tinyint NOT NULL DEFAULT 1,
  enable_reverse_incr_transfer tinyint NOT NULL DEFAULT 0,
  enable_full_verify tinyint NOT NULL DEFAULT 0,
  source_endpoint varchar(256) NOT NULL,
  sink_endpoint varchar(256) NOT NULL,
  checkpoint bigint DEFAULT NULL COMMENT 'seconds since 1970',
  rows_per_second decimal(14,3) DEFAULT NULL,
  transfer_mapping text,
  icon blob,
  labels varchar(512) DEFAULT NULL,
  owner varchar(64) DEFAULT NULL,
  gmt_created datetime NOT NULL,
  gmt_modified datetime NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY uk_project_id (project_id),
  KEY idx_status (project_status)
) DEFAULT CHARSET=utf8mb4;

CREATE TABLE oms_sync_project (
  id bigint NOT NULL AUTO_INCREMENT,
  project_id varchar(64) NOT NULL,
  project_name varchar(128) NOT NULL,
  project_status varchar(32) NOT NULL,
  sink_type varchar(32) NOT NULL,
  topic varchar(256) DEFAULT NULL,
  worker_num int NOT NULL DEFAULT 4,
  serializer enum('DEFAULT','CANAL','DATAWORKS','SHAREPLEX') NOT NULL DEFAULT 'DEFAULT',
  delay_seconds decimal(10,2) DEFAULT NULL,
  gmt_created datetime NOT NULL,
  gmt_modified datetime NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY uk_sync_project_id (project_id)
) DEFAULT CHARSET=utf8mb4;

CREATE TABLE oms_project_step (
  id bigint NOT NULL AUTO_INCREMENT,
  project_ref bigint NOT NULL,
  step_order int NOT NULL,
  step_name varchar(64) NOT NULL,
  step_status varchar(32) NOT NULL,
  progress decimal(5,2) NOT NULL DEFAULT 0,
  started_at datetime DEFAULT NULL,
  finished_at datetime DEFAULT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY uk_step (project_ref, step_order)
) DEFAULT CHARSET=utf8mb4;

CREATE TABLE oms_object_map (
  project_ref bigint NOT NULL,
  seq int NOT NULL,
  source_object varchar(256) NOT NULL,
  sink_object varchar(256) NOT NULL,
  row_count bigint unsigned DEFAULT NULL,
  filter_text varchar(512) DEFAULT NULL,
  PRIMARY KEY (project_ref, seq)
) DEFAULT CHARSET=utf8mb4;

CREATE TABLE oms_task_log (
  id bigint NOT NULL AUTO_INCREMENT,
  project_ref bigint NOT NULL,
  level varchar(8) NOT NULL,
  message varchar(512) NOT NULL,
  detail blob,
  cost_ms decimal(12,3) DEFAULT NULL,
  gmt_created datetime NOT NULL,
  PRIMARY KEY (id),
  KEY idx_project (project_ref)
) DEFAULT CHARSET=utf8mb4;

-- No primary key, as some old tables have none.
CREATE TABLE oms_operation_audit (
  project_ref bigint DEFAULT NULL,
  old_status varchar(32) DEFAULT NULL,
  new_status varchar(32) DEFAULT NULL,
  actor varchar(64) DEFAULT NULL,
  gmt_created datetime NOT NULL
) DEFAULT CHARSET=utf8mb4;

CREATE VIEW v_running_project AS
  SELECT id, project_id, project_name, current_step, checkpoint
  FROM oms_project WHERE project_status = 'RUNNING';

DELIMITER $$
CREATE TRIGGER trg_project_status AFTER UPDATE ON oms_project FOR EACH ROW
BEGIN
  IF OLD.project_status <> NEW.project_status THEN
    INSERT INTO oms_operation_audit (project_ref, old_status, new_status, actor, gmt_created)
    VALUES (NEW.id, OLD.project_status, NEW.project_status, 'trigger', now());
  END IF;
END$$

CREATE PROCEDURE p_clean_task_log(IN keep_days int)
BEGIN
  DELETE FROM oms_task_log WHERE gmt_created < date_sub(now(), INTERVAL keep_days DAY);
END$$

CREATE FUNCTION f_step_count(project bigint) RETURNS int READS SQL DATA
BEGIN
  DECLARE steps int DEFAULT 0;
  SELECT count(*) INTO steps FROM oms_project_step WHERE project_ref = project;
  RETURN steps;
END$$
DELIMITER ;

INSERT INTO oms_counter (name, value) VALUES ('upgrade_runs', 0);

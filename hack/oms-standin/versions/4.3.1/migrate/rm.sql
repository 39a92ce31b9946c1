-- 4.3.0 to 4.3.1. Not to be run twice: the first statement would multiply again, later ones fail.
UPDATE oms_project SET checkpoint = checkpoint * 1000;
CREATE TABLE oms_verify_project (
  id bigint NOT NULL AUTO_INCREMENT,
  project_ref bigint NOT NULL,
  project_name varchar(256) NOT NULL,
  verify_status varchar(32) NOT NULL,
  checked_rows bigint unsigned NOT NULL DEFAULT 0,
  gmt_created datetime NOT NULL,
  gmt_modified datetime NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY uk_project (project_ref)
) DEFAULT CHARSET=utf8mb4;
INSERT INTO oms_verify_project
  (project_ref, project_name, verify_status, gmt_created, gmt_modified)
  SELECT id, project_name, project_status, gmt_created, gmt_modified
  FROM oms_project WHERE enable_full_verify = 1;
ALTER TABLE oms_project ADD COLUMN verify_project_id bigint DEFAULT NULL;
UPDATE oms_project p JOIN oms_verify_project v ON v.project_ref = p.id
  SET p.verify_project_id = v.id;
ALTER TABLE oms_project MODIFY COLUMN project_name varchar(256) NOT NULL;
ALTER TABLE oms_sync_project MODIFY COLUMN worker_num bigint NOT NULL DEFAULT 4;
ALTER TABLE oms_task_log ADD COLUMN trace_id varchar(64) DEFAULT NULL;
ALTER TABLE oms_task_log ADD INDEX idx_trace (trace_id);
CREATE OR REPLACE VIEW v_running_project AS
  SELECT id, project_id, project_name, current_step, checkpoint, verify_project_id
  FROM oms_project WHERE project_status IN ('RUNNING', 'RUNNING_MODIFYING');
CREATE VIEW v_verify_project AS
  SELECT v.id, v.project_name, p.project_status, v.checked_rows
  FROM oms_verify_project v JOIN oms_project p ON p.id = v.project_ref;
DROP TRIGGER IF EXISTS trg_project_status;
DROP PROCEDURE IF EXISTS p_clean_task_log;
DROP FUNCTION IF EXISTS f_step_count;
DELIMITER $$
CREATE TRIGGER trg_project_status AFTER UPDATE ON oms_project FOR EACH ROW
BEGIN
  IF OLD.project_status <> NEW.project_status THEN
    INSERT INTO oms_operation_audit (project_ref, old_status, new_status, actor, gmt_created)
    VALUES (NEW.id, OLD.project_status, NEW.project_status, 'trigger-4.3.1', now());
  END IF;
END$$
CREATE PROCEDURE p_clean_task_log(IN keep_days int, IN keep_level varchar(8))
BEGIN
  DELETE FROM oms_task_log
  WHERE gmt_created < date_sub(now(), INTERVAL keep_days DAY) AND level <> keep_level;
END$$
DELIMITER ;
INSERT INTO oms_normal_config (cfg_name, cfg_value, module, description, gmt_created, gmt_modified)
  VALUES ('verify.project.split', 'true', 'verify', 'validation tasks are tasks of their own',
          now(), now());
DELETE FROM oms_task_log WHERE id <= 500 AND level = 'ERROR';

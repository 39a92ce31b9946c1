-- 4.3.1 to 4.3.2. Not to be run twice, as the one before it.
UPDATE oms_project SET checkpoint = checkpoint * 1000,
  labels = CONCAT('v432', IFNULL(CONCAT(',', labels), ''));
CREATE TABLE oms_operation_log (
  id bigint NOT NULL AUTO_INCREMENT,
  project_ref bigint DEFAULT NULL,
  change_text varchar(128) NOT NULL,
  actor varchar(64) DEFAULT NULL,
  gmt_created datetime NOT NULL,
  PRIMARY KEY (id)
) DEFAULT CHARSET=utf8mb4;
INSERT INTO oms_operation_log (project_ref, change_text, actor, gmt_created)
  SELECT project_ref, CONCAT(IFNULL(old_status, ''), ' -> ', IFNULL(new_status, '')), actor, gmt_created
  FROM oms_operation_audit;
DROP TRIGGER IF EXISTS trg_project_status;
DROP TABLE oms_operation_audit;
DROP VIEW v_running_project;
DROP VIEW v_verify_project;
DROP PROCEDURE p_clean_task_log;
ALTER TABLE oms_verify_project DROP INDEX uk_project;
ALTER TABLE oms_verify_project CHANGE COLUMN project_ref project_row bigint NOT NULL;
ALTER TABLE oms_verify_project ADD UNIQUE INDEX uk_project_row (project_row);
ALTER TABLE oms_sync_project ADD COLUMN batch_size int NOT NULL DEFAULT 512;
UPDATE oms_sync_project SET batch_size = 64 WHERE sink_type = 'KAFKA';
DELETE FROM oms_project_step WHERE step_status = 'INIT';
CREATE VIEW v_project_overview AS
  SELECT p.id, p.project_name, p.project_status, COUNT(s.id) AS steps
  FROM oms_project p LEFT JOIN oms_project_step s ON s.project_ref = p.id
  GROUP BY p.id, p.project_name, p.project_status;
DELIMITER $$
CREATE TRIGGER trg_sync_status AFTER UPDATE ON oms_sync_project FOR EACH ROW
BEGIN
  IF OLD.project_status <> NEW.project_status THEN
    INSERT INTO oms_operation_log (project_ref, change_text, actor, gmt_created)
    VALUES (NEW.id, NEW.project_status, 'trigger-4.3.2', now());
  END IF;
END$$
CREATE PROCEDURE p_clean_operation_log(IN keep_days int)
BEGIN
  DELETE FROM oms_operation_log WHERE gmt_created < date_sub(now(), INTERVAL keep_days DAY);
END$$
DELIMITER ;
UPDATE oms_normal_config SET cfg_value = 'false', gmt_modified = now()
  WHERE cfg_name = 'verify.project.split';

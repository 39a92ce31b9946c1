-- What the correction jar does in rm: the tables of before 4.0.1 become those of one framework.
ALTER TABLE oms_project ADD COLUMN project_id varchar(64) NOT NULL DEFAULT '';
UPDATE oms_project SET project_id = CONCAT('np_', LPAD(LOWER(HEX(id)), 12, '0'));
ALTER TABLE oms_project ADD UNIQUE INDEX uk_project_id (project_id);
ALTER TABLE oms_project ADD COLUMN current_step varchar(64) DEFAULT NULL;
UPDATE oms_project SET current_step = CASE stage
  WHEN 'PRE_CHECK' THEN 'TRANSFER_PRECHECK' WHEN 'STRUCT_MIGRATION' THEN 'STRUCT_TRANSFER'
  WHEN 'INCR_LOG_PULL' THEN 'TRANSFER_INCR_LOG_PULL' WHEN 'FULL_MIGRATION' THEN 'FULL_TRANSFER'
  WHEN 'INDEX_MIGRATION' THEN 'INDEX_TRANSFER' WHEN 'INCR_SYNC' THEN 'INCR_TRANSFER'
  WHEN 'FULL_VALIDATION' THEN 'FULL_VERIFIER' WHEN 'APP_SWITCH' THEN 'TRANSFER_APP_SWITCH'
  ELSE 'REVERSE_INCR_TRANSFER' END;
ALTER TABLE oms_project ADD COLUMN checkpoint bigint DEFAULT NULL COMMENT 'seconds since 1970';
UPDATE oms_project SET checkpoint = CAST(sync_position AS SIGNED);
DROP VIEW v_running_project;
DROP FUNCTION IF EXISTS f_step_count;
ALTER TABLE oms_project DROP COLUMN stage;
ALTER TABLE oms_project DROP COLUMN sync_position;
ALTER TABLE oms_sync_project ADD COLUMN project_id varchar(64) NOT NULL DEFAULT '';
UPDATE oms_sync_project SET project_id = CONCAT('ns_', LPAD(LOWER(HEX(id)), 12, '0'));
ALTER TABLE oms_sync_project ADD UNIQUE INDEX uk_sync_project_id (project_id);
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
INSERT INTO oms_project_step
  (project_ref, step_order, step_name, step_status, progress, started_at, finished_at)
  SELECT project_ref, step_order, CASE stage
    WHEN 'PRE_CHECK' THEN 'TRANSFER_PRECHECK' WHEN 'STRUCT_MIGRATION' THEN 'STRUCT_TRANSFER'
    WHEN 'INCR_LOG_PULL' THEN 'TRANSFER_INCR_LOG_PULL' WHEN 'FULL_MIGRATION' THEN 'FULL_TRANSFER'
    WHEN 'INDEX_MIGRATION' THEN 'INDEX_TRANSFER' WHEN 'INCR_SYNC' THEN 'INCR_TRANSFER'
    WHEN 'FULL_VALIDATION' THEN 'FULL_VERIFIER' WHEN 'APP_SWITCH' THEN 'TRANSFER_APP_SWITCH'
    ELSE 'REVERSE_INCR_TRANSFER' END, step_status, progress, started_at, finished_at
  FROM oms_workflow_step;
DROP TABLE oms_workflow_step;

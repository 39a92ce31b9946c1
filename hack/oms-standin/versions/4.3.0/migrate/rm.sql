-- From before 4.0.1 to 4.3.0, after the correction jar and add_resource. Not to be run twice.
DROP TABLE oms_correction;
CREATE VIEW v_running_project AS
  SELECT id, project_id, project_name, current_step, checkpoint
  FROM oms_project WHERE project_status = 'RUNNING';
DELIMITER $$
CREATE FUNCTION f_step_count(project bigint) RETURNS int READS SQL DATA
BEGIN
  DECLARE steps int DEFAULT 0;
  SELECT count(*) INTO steps FROM oms_project_step WHERE project_ref = project;
  RETURN steps;
END$$
DELIMITER ;

ALTER TABLE host ADD COLUMN role varchar(32) NOT NULL DEFAULT 'ALL';
ALTER TABLE config_job MODIFY COLUMN value varchar(4000) DEFAULT NULL;
CREATE TABLE cm_component (
  id bigint NOT NULL AUTO_INCREMENT,
  host_ip varchar(64) NOT NULL,
  component varchar(64) NOT NULL,
  component_version varchar(64) NOT NULL,
  gmt_modified datetime NOT NULL,
  PRIMARY KEY (id),
  UNIQUE KEY uk_component (host_ip, component)
) DEFAULT CHARSET=utf8mb4;
INSERT INTO cm_component (host_ip, component, component_version, gmt_modified)
  SELECT ip, 'supervisor', '4.3.1', now() FROM host;
-- A table goes away, its rows live on in another one.
CREATE TABLE store_instance (
  id bigint NOT NULL AUTO_INCREMENT,
  store_name varchar(128) NOT NULL,
  host_ip varchar(64) NOT NULL,
  port int NOT NULL,
  state varchar(16) NOT NULL,
  begin_timestamp bigint DEFAULT NULL,
  gmt_modified datetime NOT NULL,
  PRIMARY KEY (id)
) DEFAULT CHARSET=utf8mb4;
INSERT INTO store_instance (store_name, host_ip, port, state, begin_timestamp, gmt_modified)
  SELECT crawler_name, host_ip, port, IF(status = 1, 'RUNNING', 'STOPPED'), begin_timestamp, gmt_modified FROM crawler;
DROP TABLE crawler;

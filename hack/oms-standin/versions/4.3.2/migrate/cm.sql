ALTER TABLE host ADD COLUMN zone varchar(64) DEFAULT NULL;
UPDATE host SET zone = 'zone-1';
DROP TABLE cm_component;
ALTER TABLE store_instance MODIFY COLUMN state varchar(64) NOT NULL DEFAULT 'STOPPED';
DELETE FROM config_job WHERE value IS NULL;

ALTER TABLE heart_beat ADD COLUMN oms_version varchar(64) DEFAULT NULL;

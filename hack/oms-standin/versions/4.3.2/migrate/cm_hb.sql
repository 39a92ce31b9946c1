ALTER TABLE heart_beat ADD COLUMN lag_ms bigint DEFAULT NULL;

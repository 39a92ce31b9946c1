ALTER TABLE host ADD INDEX idx_resource_group (resource_group_id);

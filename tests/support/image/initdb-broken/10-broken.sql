INSERT INTO table_that_is_not_there VALUES (1);

-- The shop's own table and role. The role may accept, and see nothing of acceptd's.
CREATE ROLE shop LOGIN;
CREATE TABLE orders (id integer PRIMARY KEY, item text NOT NULL);
GRANT SELECT, INSERT ON orders TO shop;
GRANT USAGE ON SCHEMA acceptd TO shop;
GRANT EXECUTE ON FUNCTION acceptd.accept TO shop;

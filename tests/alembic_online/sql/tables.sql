CREATE TABLE parks (id int PRIMARY KEY, name varchar(20) NOT NULL, other int);
CREATE UNIQUE INDEX parks_name ON parks (name);
CREATE TABLE "Pens" (id int PRIMARY KEY, park int CONSTRAINT pens_park REFERENCES parks, size numeric(6, 2));
CREATE DOMAIN weight AS int CHECK (VALUE > 0);
CREATE DOMAIN anything AS int;
CREATE DOMAIN unchecked AS int;
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE beasts (
    id int PRIMARY KEY, name varchar(20), code text, born timestamp, fed timestamp(3), size numeric(6, 2), pen int, n int,
    address cidr, label char(5), tags varchar(20)[], kilos weight, height unchecked, feeling mood, double int GENERATED ALWAYS AS (n * 2) STORED,
    CONSTRAINT beasts_n CHECK (n IS NOT NULL),
    CONSTRAINT beasts_checked CHECK (length(label) > 0)
);
ALTER DOMAIN unchecked ADD CONSTRAINT later CHECK (VALUE > 0) NOT VALID;
ALTER TABLE beasts ADD CONSTRAINT beasts_pen FOREIGN KEY (pen) REFERENCES "Pens" NOT VALID;
ALTER TABLE beasts ADD CONSTRAINT beasts_code CHECK (code <> '') NOT VALID;
CREATE INDEX beasts_name ON beasts (name);
CREATE UNIQUE INDEX beasts_code_key ON beasts (code);
CREATE TABLE days (day int NOT NULL, park int) PARTITION BY RANGE (day);
CREATE TABLE days_1 PARTITION OF days FOR VALUES FROM (1) TO (10);
CREATE TABLE days_2 PARTITION OF days FOR VALUES FROM (10) TO (20);
CREATE TABLE days_3 (day int NOT NULL, park int);
CREATE TABLE visits (day int NOT NULL, park int CONSTRAINT visits_park REFERENCES parks) PARTITION BY LIST (day);
CREATE TABLE visits_1 PARTITION OF visits FOR VALUES IN (1);
CREATE TABLE visits_2 (day int NOT NULL, park int);
CREATE TABLE family (id int);
CREATE TABLE child () INHERITS (family);
CREATE TABLE stranger (id int);
ALTER TABLE stranger ADD CONSTRAINT stranger_park FOREIGN KEY (id) REFERENCES parks NOT ENFORCED;
CREATE VIEW named AS SELECT id, n FROM beasts;
CREATE MATERIALIZED VIEW counted AS SELECT 1 AS id, count(*) AS n FROM beasts;
CREATE UNIQUE INDEX counted_id ON counted (id);
CREATE SEQUENCE numbers;
CREATE SCHEMA elsewhere;
CREATE TABLE elsewhere.things (id int, beast int REFERENCES beasts ON DELETE CASCADE);
CREATE FUNCTION doing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE FUNCTION twice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 2';
CREATE FUNCTION thrice(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN $1 * 3; END';
CREATE TRIGGER done BEFORE UPDATE ON parks FOR EACH ROW EXECUTE FUNCTION doing();
CREATE RULE ruled AS ON UPDATE TO stranger DO INSTEAD NOTHING;
CREATE POLICY guarded ON parks USING (true);
CREATE STATISTICS counts ON name, code FROM beasts;
INSERT INTO parks SELECT n, 'park ' || n FROM generate_series(1, 4) n;
INSERT INTO "Pens" SELECT n, n, n FROM generate_series(1, 3) n;
INSERT INTO beasts (id, name, code, pen, n, kilos, label, fed) SELECT n, 'beast', n, 1, n, n, 'a', now() FROM generate_series(1, 3) n;
INSERT INTO days SELECT n, 1 FROM generate_series(1, 19) n;
INSERT INTO family VALUES (1);
INSERT INTO child VALUES (1);
INSERT INTO elsewhere.things VALUES (1, 3);
ALTER TABLE beasts ADD CONSTRAINT beasts_fed NOT NULL fed NOT VALID;

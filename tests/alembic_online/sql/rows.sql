INSERT INTO parks VALUES (9, 'nine')
INSERT INTO beasts (id, n, pen, fed) VALUES (9, 9, 1, now())
INSERT INTO parks SELECT n, 'x' || n FROM beasts WHERE n > 100
INSERT INTO parks VALUES (1, 'one') ON CONFLICT (id) DO UPDATE SET name = 'one'
UPDATE parks SET other = 1
UPDATE parks SET other = 1 WHERE id = 1
UPDATE beasts SET pen = 2
UPDATE beasts SET code = 'x' || code FROM parks WHERE parks.id = beasts.n
UPDATE days SET park = 2
UPDATE family SET id = 2
UPDATE ONLY family SET id = 2
DELETE FROM parks WHERE id = 4
DELETE FROM elsewhere.things
DELETE FROM beasts WHERE id = 3
DELETE FROM stranger USING parks WHERE parks.id = stranger.id
MERGE INTO parks USING beasts ON parks.id = beasts.n WHEN MATCHED THEN UPDATE SET other = 1
WITH gone AS (DELETE FROM elsewhere.things RETURNING id) SELECT * FROM gone
WITH parks AS (SELECT 1) SELECT * FROM parks
SELECT * FROM beasts
SELECT * FROM beasts FOR UPDATE
SELECT * FROM beasts JOIN parks ON parks.id = n WHERE EXISTS (SELECT FROM "Pens" WHERE "Pens".id = pen)
SELECT * FROM named
SELECT * FROM counted
SELECT count(*) FROM days
SELECT * FROM stranger TABLESAMPLE system (10)
EXPLAIN SELECT * FROM beasts
DO $$ DECLARE k int := 1; BEGIN UPDATE parks SET other = k; PERFORM * FROM beasts; END $$

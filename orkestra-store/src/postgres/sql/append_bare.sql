-- Like append.sql, for chains without records and letters, which most are: less to set up. Parameters are $1 to $9 of
-- append.sql. It never creates a run: without one, there is nothing to follow.
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::int8[], $3::int8[], $4::int8[], $5::bool[])
        WITH ORDINALITY AS a (run, base, last, epoch, refused, chain)
), held AS MATERIALIZED (
    SELECT id, last, epoch FROM runs WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE
), judged AS MATERIALIZED (
    SELECT *, NOT refused AND there AND epoch >= fence AND head >= base AND head < last AND (
        head = base OR EXISTS (
            SELECT FROM unnest($6::int8[], $8::int8[]) AS c (chain, last)
            WHERE c.chain = j.chain AND c.last = j.head)) AS takes
    FROM (
        SELECT a.*, h.id IS NOT NULL AS there, coalesce(h.last, 0) AS head, coalesce(h.epoch, 0) AS fence
        FROM asked a LEFT JOIN held h ON h.id = a.run
    ) AS j
), moved AS (
    UPDATE runs SET last = j.last FROM judged j
    WHERE runs.id = j.run AND j.takes
), written AS (
    INSERT INTO journal (run, first, last, epoch, body)
    SELECT j.run, c.first, c.last, j.epoch, c.body
    FROM unnest($6::int8[], $7::int8[], $8::int8[], $9::bytea[]) AS c (chain, first, last, body)
    JOIN judged j ON j.chain = c.chain
    WHERE j.takes AND c.first > j.head
)
SELECT
    j.head,
    j.fence,
    j.takes,
    false,
    CASE WHEN j.head > j.base THEN ARRAY(
        SELECT c.first FROM unnest($6::int8[], $7::int8[], $9::bytea[]) AS c (chain, first, body)
        JOIN journal o ON o.run = j.run AND o.first = c.first AND o.first = ANY ($7) AND o.body = c.body
        WHERE c.chain = j.chain AND c.first <= j.head
    ) ELSE '{}' END
FROM judged j
ORDER BY j.chain

-- A group commit. Each row of `asked` is a chain: commits of one run, each following the previous one, ordered by run, with
-- the last record among them. Parameters are arrays:
--   $1..$5   chains: run, position before its first commit, position of its last event, epoch, whether it must be refused
--   $6..$9   commits: number of the chain, first, last, body
--   $10..$17 records of the chains, NULL for none: first of the commit that includes it, workflow, status, parent,
--            created_at, wake_at, record, digests of its labels one after the other
--   $18, $19 labels: number of the chain, digest
--   $20..$22 letters that commits take: number of the chain, first of the commit, id
--
-- No join of two long sides lacks a key, and none needs statistics: a plan is made once, for any length.
WITH asked AS MATERIALIZED (
    SELECT * FROM unnest(
        $1::text[], $2::int8[], $3::int8[], $4::int8[], $5::bool[],
        $10::int8[], $11::text[], $12::text[], $13::text[], $14::int8[], $15::int8[], $16::text[], $17::bytea[]
    ) WITH ORDINALITY AS a (
        run, base, last, epoch, refused,
        brought, workflow, status, parent, created_at, wake_at, record, labels, chain
    )
), held AS MATERIALIZED (
    -- The rows as they are once locked, whatever the snapshot of this statement shows. Ordered, to avoid deadlocks.
    SELECT id, last, epoch FROM runs WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE
), judged AS MATERIALIZED (
    SELECT *, NOT refused AND epoch >= fence AND head >= base AND head < last AND (
        head = base OR EXISTS (
            SELECT FROM unnest($6::int8[], $8::int8[]) AS c (chain, last)
            WHERE c.chain = j.chain AND c.last = j.head)) AS takes
    FROM (
        SELECT a.*, h.id IS NOT NULL AS there, coalesce(h.last, 0) AS head, coalesce(h.epoch, 0) AS fence
        FROM asked a LEFT JOIN held h ON h.id = a.run
    ) AS j
), gone AS (
    DELETE FROM letters l
    USING unnest($20::int8[], $21::int8[], $22::int8[]) AS t (chain, first, id), judged j
    WHERE j.chain = t.chain AND j.takes AND t.first > j.head AND l.run = j.run AND l.id = t.id
    RETURNING l.run
), taken AS MATERIALIZED (
    SELECT jsonb_object_agg(run, letters) AS letters FROM (SELECT run, count(*) AS letters FROM gone GROUP BY run) AS g
), born AS (
    -- Returns nothing for a run that another worker has just started: that chain is judged again.
    INSERT INTO runs (id, last, status, created_at, wake_at)
    SELECT run, last, status, created_at, wake_at FROM judged
    WHERE takes AND NOT there
    ORDER BY run
    ON CONFLICT (id) DO NOTHING
    RETURNING id
), moved AS (
    UPDATE runs SET
        last = j.last,
        mail = runs.mail - coalesce(((SELECT letters FROM taken) ->> j.run)::int8, 0),
        status = CASE WHEN j.brought > j.head THEN j.status ELSE runs.status END,
        created_at = CASE WHEN j.brought > j.head THEN j.created_at ELSE runs.created_at END,
        wake_at = CASE WHEN j.brought > j.head THEN j.wake_at ELSE runs.wake_at END
    FROM judged j
    WHERE runs.id = j.run AND j.takes AND j.there
), written AS (
    INSERT INTO journal (run, first, last, epoch, body)
    SELECT j.run, c.first, c.last, j.epoch, c.body
    FROM unnest($6::int8[], $7::int8[], $8::int8[], $9::bytea[]) AS c (chain, first, last, body)
    JOIN judged j ON j.chain = c.chain
    WHERE j.takes AND c.first > j.head AND (j.there OR j.run IN (SELECT id FROM born))
), recorded AS (
    INSERT INTO records AS o (id, workflow, parent, created_at, labels, record)
    SELECT run, workflow, parent, created_at, labels, record FROM judged
    WHERE takes AND brought > head AND (there OR run IN (SELECT id FROM born))
    ORDER BY run
    ON CONFLICT (id) DO UPDATE SET workflow = excluded.workflow, parent = excluded.parent,
        created_at = excluded.created_at, labels = excluded.labels, record = excluded.record
), labelled AS (
    INSERT INTO labels (label, created_at, run)
    SELECT l.label, j.created_at, j.run
    FROM unnest($18::int8[], $19::bytea[]) AS l (chain, label) JOIN judged j ON j.chain = l.chain
    WHERE j.takes AND j.brought > j.head AND (j.there OR j.run IN (SELECT id FROM born))
        -- Engines never change the labels of a run after its first record, but other callers may.
        AND (j.head = 0 OR NOT coalesce(
            (SELECT o.labels = j.labels AND o.created_at = j.created_at FROM records o WHERE o.id = j.run), false))
    ON CONFLICT DO NOTHING
)
SELECT
    j.head,
    j.fence,
    j.takes AND (j.there OR j.run IN (SELECT id FROM born)),
    j.takes AND NOT j.there AND j.run NOT IN (SELECT id FROM born),
    -- The commits before the head that exist already, with the same body.
    CASE WHEN j.head > j.base THEN ARRAY(
        SELECT c.first FROM unnest($6::int8[], $7::int8[], $9::bytea[]) AS c (chain, first, body)
        JOIN journal o ON o.run = j.run AND o.first = c.first AND o.first = ANY ($7) AND o.body = c.body
        WHERE c.chain = j.chain AND c.first <= j.head
    ) ELSE '{}' END
FROM judged j
ORDER BY j.chain

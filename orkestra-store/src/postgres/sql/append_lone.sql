-- Like append.sql, for a single commit without a record and letters: a step of a run that is alone. It is written if it
-- follows; otherwise nothing is returned, and append_bare.sql finds out why.
--
-- No lock first: an UPDATE that waited for another session checks its conditions again on the newest row.
WITH moved AS (
    UPDATE runs SET last = $3 WHERE id = $1 AND last = $2 AND epoch <= $4 RETURNING id
)
INSERT INTO journal (run, first, last, epoch, body) SELECT id, $2 + 1, $3, $4, $5 FROM moved
RETURNING true

-- The same as append.sql for a single commit that brings no record and takes no letter: a step of a run that is alone. It is
-- written if it follows, and nothing comes back if it does not: why is for append_bare.sql to say.
--
-- No lock comes first: an UPDATE that met another session's looks at the newest row again, with the same conditions.
WITH moved AS (
    UPDATE runs SET last = $3 WHERE id = $1 AND last = $2 AND epoch <= $4 RETURNING id
)
INSERT INTO journal (run, first, last, epoch, body) SELECT id, $2 + 1, $3, $4, $5 FROM moved
RETURNING true

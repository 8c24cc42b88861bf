-- One row per run, narrow: most commits change `last` and nothing that is indexed, so that an update stays on its page (HOT).
CREATE TABLE runs (
    id         text COLLATE "C" PRIMARY KEY,
    last       bigint NOT NULL DEFAULT 0,
    epoch      bigint NOT NULL DEFAULT 0,
    -- Who claimed it last. It is held while `until` is there and not over.
    worker     text COLLATE "C",
    until      bigint,
    -- How many letters wait, and how many ever came: the number of the next one.
    mail       bigint NOT NULL DEFAULT 0,
    sent       bigint NOT NULL DEFAULT 0,
    -- Of the record. NULL for a run that was claimed and has no journal yet.
    status     text COLLATE "C",
    created_at bigint,
    wake_at    bigint,
    due_at     bigint GENERATED ALWAYS AS (CASE WHEN mail > 0 THEN 0 ELSE wake_at END) STORED
) WITH (fillfactor = 60);
CREATE INDEX runs_due ON runs (due_at, id) WHERE due_at IS NOT NULL;
CREATE INDEX runs_status ON runs (status, created_at, id) WHERE status IS NOT NULL;
CREATE INDEX runs_worker ON runs (worker) WHERE worker IS NOT NULL;

CREATE TABLE journal (
    run   text COLLATE "C" NOT NULL,
    first bigint NOT NULL,
    last  bigint NOT NULL,
    epoch bigint NOT NULL,
    body  bytea NOT NULL,
    PRIMARY KEY (run, first)
);

-- What a run is listed by stays as it is when its record changes: that update is HOT too.
CREATE TABLE records (
    id         text COLLATE "C" PRIMARY KEY,
    workflow   text COLLATE "C" NOT NULL,
    parent     text COLLATE "C",
    created_at bigint NOT NULL,
    -- The digests of its labels, 16 bytes each.
    labels     bytea NOT NULL,
    record     text NOT NULL
) WITH (fillfactor = 60);
CREATE INDEX records_created ON records (created_at, id);
CREATE INDEX records_workflow ON records (workflow, created_at, id);
CREATE INDEX records_parent ON records (parent, created_at, id) WHERE parent IS NOT NULL;

CREATE TABLE labels (
    label      bytea NOT NULL,
    created_at bigint NOT NULL,
    run        text COLLATE "C" NOT NULL,
    PRIMARY KEY (label, created_at, run)
);

CREATE TABLE letters (
    run  text COLLATE "C" NOT NULL,
    id   bigint NOT NULL,
    body bytea NOT NULL,
    PRIMARY KEY (run, id)
);

CREATE TABLE blobs (
    run   text COLLATE "C" NOT NULL,
    key   text COLLATE "C" NOT NULL,
    bytes bytea NOT NULL,
    PRIMARY KEY (run, key)
);

CREATE TABLE snapshots (
    run   text COLLATE "C" PRIMARY KEY,
    last  bigint NOT NULL,
    bytes bytea NOT NULL
);

CREATE TABLE small_values (
    key     text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    bytes   bytea NOT NULL
);

CREATE TABLE project_memory (
    project_id text COLLATE "C" PRIMARY KEY,
    version    bigint NOT NULL,
    state      bytea NOT NULL
);

-- One for all runs: an epoch never comes back, also when its run was deleted.
CREATE SEQUENCE epochs;

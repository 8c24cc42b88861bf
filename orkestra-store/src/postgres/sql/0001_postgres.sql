-- What Postgres alone knows of, and does well without: these are kept as they are, not compressed. A blob of 64 MiB takes
-- seconds to compress.
ALTER TABLE blobs ALTER COLUMN bytes SET STORAGE EXTERNAL;
ALTER TABLE snapshots ALTER COLUMN bytes SET STORAGE EXTERNAL;

-- Schema version 8 of the buffer: live events by files.

-- How live events go: single hits, files, or whichever suits what waits.
ALTER TABLE suites ADD COLUMN route TEXT NOT NULL DEFAULT 'dia' CHECK (route IN ('dia', 'bulk', 'auto'));

-- The files of a suite's live events are those of a standing backfill in `jobs`: its number is the negative number of the suite, its
-- name is live: and the suite's ID, and `finished_at` says when its last file was settled. The events keep job 0. A row of
-- `bulk_files` that is done goes at once.

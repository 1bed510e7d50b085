-- Schema version 7 of the buffer: version 3 of the rules by which a visitor is made of an event.

-- What was sent under an earlier version is repeated under it, for ever. From here on every suite makes its visitors by version 3.
INSERT OR IGNORE INTO forms (rsid, identity, org_id, event_ids, count_form, visitor_rules)
SELECT rsid, identity, org_id, event_ids, count_form, 3 FROM forms WHERE form IN (SELECT form FROM suites);

UPDATE suites SET form = (
    SELECT new.form FROM forms old
    JOIN forms new ON new.rsid = old.rsid AND new.identity = old.identity AND new.org_id = old.org_id
        AND new.event_ids = old.event_ids AND new.count_form = old.count_form AND new.visitor_rules = 3
    WHERE old.form = suites.form);

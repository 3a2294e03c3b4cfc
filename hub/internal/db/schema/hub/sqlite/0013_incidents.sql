-- Incidents with a number, a site, groups, an outcome and a full-text index; facts with two times;
-- reports as rows of their own; counters.
CREATE TABLE incidents_after (
	number       INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order of arrival
	id           TEXT NOT NULL UNIQUE,
	edge         TEXT NOT NULL,             -- empty: a report
	device       TEXT NOT NULL,
	rule         TEXT NOT NULL,
	kind         TEXT NOT NULL,
	title        TEXT NOT NULL,
	severity     TEXT NOT NULL,
	state        TEXT NOT NULL,
	condition    TEXT NOT NULL,
	source       TEXT NOT NULL,
	site         TEXT NOT NULL,
	group_id     TEXT NOT NULL,             -- incident_groups.id
	opened_at    INTEGER NOT NULL,          -- by the edge's clock
	occurred_at  INTEGER NOT NULL,          -- the same by the hub's clock; never after received_at
	received_at  INTEGER NOT NULL,
	updated_at   INTEGER NOT NULL,
	closed_at    INTEGER,                   -- when the condition ended or a person closed it, whichever came first
	ended_at     INTEGER,                   -- when the condition ended
	clock        TEXT NOT NULL DEFAULT '',
	place        TEXT,                      -- JSON of devices.Place
	class        TEXT NOT NULL DEFAULT '',
	box          TEXT,
	value        REAL,
	lim          REAL,
	unit         TEXT NOT NULL DEFAULT '',
	count        INTEGER NOT NULL DEFAULT 0,
	edge_version INTEGER NOT NULL DEFAULT 0, -- detection.Incident.Version, so that an old alert never wins
	ended_by     TEXT NOT NULL DEFAULT '',  -- why the hub ended its condition; empty: it did not
	version      INTEGER NOT NULL DEFAULT 0,
	assignee     TEXT NOT NULL DEFAULT '',
	state_by     TEXT NOT NULL DEFAULT '',  -- who acknowledged or closed it
	outcome      TEXT NOT NULL DEFAULT '',
	held         INTEGER NOT NULL DEFAULT 0, -- 1: retention deletes nothing of it
	indexed      INTEGER NOT NULL DEFAULT 0  -- 1: incident_search has it
) STRICT;

-- Rows of before: an incident joins the group of the one before it, of the same edge, device and rule,
-- when it opened at most 10 minutes after any of them opened or ended. Reports are groups of their own.
INSERT INTO incidents_after(id, edge, device, rule, kind, title, severity, state, condition, source, site, group_id,
	opened_at, occurred_at, received_at, updated_at, closed_at, ended_at, clock, place, class, box, value, lim, unit, count,
	edge_version, ended_by, version, assignee, state_by)
WITH activity AS (
	SELECT id, edge, device, rule, occurred_at,
		CASE WHEN condition = 'closed' AND closed_at > occurred_at AND closed_at <= updated_at THEN closed_at ELSE occurred_at END AS active_at
	FROM incidents WHERE edge != ''
), gaps AS (
	SELECT id, edge, device, rule, occurred_at, CASE WHEN occurred_at - max(active_at) OVER (PARTITION BY edge, device, rule
		ORDER BY occurred_at, id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) <= 600000 THEN 0 ELSE 1 END AS begins
	FROM activity
), numbered AS (
	SELECT id, edge, device, rule, occurred_at, sum(begins) OVER (PARTITION BY edge, device, rule ORDER BY occurred_at, id
		ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS n
	FROM gaps
), grouped AS (
	SELECT id, first_value(id) OVER (PARTITION BY edge, device, rule, n ORDER BY occurred_at, id) AS group_id FROM numbered
)
SELECT i.id, i.edge, i.device, i.rule, i.kind, i.title, i.severity, i.state, i.condition, i.source, i.edge, coalesce(g.group_id, i.id),
	i.opened_at, i.occurred_at, i.received_at, i.updated_at, i.closed_at, CASE WHEN i.condition = 'closed' THEN
		coalesce((SELECT max(t.at) FROM timeline t WHERE t.incident = i.id AND t.kind = 'over'), i.closed_at) END,
	i.clock, i.place, i.class, i.box, i.value, i.lim, i.unit, i.count, i.edge_version, i.ended_by, i.version, i.assignee,
	coalesce((SELECT t.who FROM timeline t WHERE t.incident = i.id AND ((i.state = 'closed' AND t.kind = 'closed')
		OR (i.state = 'acknowledged' AND t.kind IN ('acknowledged', 'assigned', 'reopened'))) ORDER BY t.id DESC LIMIT 1), '')
FROM incidents i LEFT JOIN grouped g ON g.id = i.id ORDER BY i.received_at, i.id;
DROP TABLE incidents;
ALTER TABLE incidents_after RENAME TO incidents;

-- Lists sort by occurred_at. Each index below answers a filter that few of many incidents may match;
-- store/incidents/plan.go names the one for each query. Those with a condition are small.
CREATE INDEX incidents_occurred ON incidents(occurred_at, number);
CREATE INDEX incidents_device ON incidents(edge, device, occurred_at, number);
CREATE INDEX incidents_edge ON incidents(edge, occurred_at, number);
CREATE INDEX incidents_site ON incidents(site, occurred_at, number);
CREATE INDEX incidents_rule ON incidents(rule, occurred_at, number);
CREATE INDEX incidents_kind ON incidents(kind, occurred_at, number);
CREATE INDEX incidents_severity ON incidents(severity, occurred_at, number);
CREATE INDEX incidents_group ON incidents(group_id, occurred_at, number);
CREATE INDEX incidents_unclosed ON incidents(occurred_at, number) WHERE state != 'closed';
CREATE INDEX incidents_unclosed_edge ON incidents(edge, occurred_at, number) WHERE state != 'closed';
CREATE INDEX incidents_acknowledged ON incidents(occurred_at, number) WHERE state = 'acknowledged';
CREATE INDEX incidents_condition ON incidents(edge, device, rule) WHERE condition = 'open';
CREATE INDEX incidents_report ON incidents(occurred_at, number) WHERE source = 'report';
CREATE INDEX incidents_assignee ON incidents(assignee, occurred_at, number) WHERE assignee != '';
CREATE INDEX incidents_ended_by ON incidents(edge) WHERE ended_by != '';
CREATE INDEX incidents_expiry ON incidents(updated_at, number) WHERE state = 'closed' AND held = 0;
CREATE INDEX incidents_unplaced ON incidents(edge, device) WHERE place IS NULL AND state != 'closed';
CREATE INDEX incidents_unindexed ON incidents(number) WHERE indexed = 0;

-- Where an alert finds the group that it joins. Only batches of the edge write it.
CREATE TABLE incident_groups (
	id        TEXT PRIMARY KEY,             -- incidents.id of the one that opened it
	edge      TEXT NOT NULL,
	device    TEXT NOT NULL,
	rule      TEXT NOT NULL,
	first_at  INTEGER NOT NULL,             -- when its first incident occurred
	active_at INTEGER NOT NULL              -- when one of its incidents last occurred or ended
) STRICT;
INSERT INTO incident_groups(id, edge, device, rule, first_at, active_at)
	SELECT group_id, edge, device, rule, min(occurred_at), max(CASE WHEN condition = 'closed' AND ended_at > occurred_at
		AND ended_at <= updated_at THEN ended_at ELSE occurred_at END)
	FROM incidents WHERE edge != '' GROUP BY group_id, edge, device, rule;
CREATE INDEX incident_groups_first ON incident_groups(edge, device, rule, first_at);

-- What the grouped list shows, written last in a transaction, under the lock of the change feed.
CREATE TABLE group_summaries (
	id           TEXT PRIMARY KEY,
	edge         TEXT NOT NULL,
	device       TEXT NOT NULL,
	rule         TEXT NOT NULL,
	kind         TEXT NOT NULL,
	site         TEXT NOT NULL,
	source       TEXT NOT NULL,
	severity     INTEGER NOT NULL,          -- the highest so far: 1 minor to 4 extreme
	first_at     INTEGER NOT NULL,
	last_at      INTEGER NOT NULL,          -- when its newest incident occurred
	newest       TEXT NOT NULL,             -- incidents.id of that one
	open         INTEGER NOT NULL,
	acknowledged INTEGER NOT NULL,
	closed       INTEGER NOT NULL,
	holding      INTEGER NOT NULL           -- incidents whose condition holds
) STRICT;
INSERT INTO group_summaries(id, edge, device, rule, kind, site, source, severity, first_at, last_at, newest, open, acknowledged, closed, holding)
	SELECT group_id, min(edge), min(device), min(rule), max(kind), min(site), min(source),
		max(CASE severity WHEN 'extreme' THEN 4 WHEN 'severe' THEN 3 WHEN 'moderate' THEN 2 ELSE 1 END), min(occurred_at), max(occurred_at),
		(SELECT n.id FROM incidents n WHERE n.group_id = incidents.group_id ORDER BY n.occurred_at DESC, n.number DESC LIMIT 1),
		sum(CASE state WHEN 'open' THEN 1 ELSE 0 END), sum(CASE state WHEN 'acknowledged' THEN 1 ELSE 0 END),
		sum(CASE state WHEN 'closed' THEN 1 ELSE 0 END), sum(CASE condition WHEN 'open' THEN 1 ELSE 0 END)
	FROM incidents GROUP BY group_id;
CREATE INDEX group_summaries_last ON group_summaries(last_at, id);
CREATE INDEX group_summaries_edge ON group_summaries(edge, last_at, id);
CREATE INDEX group_summaries_device ON group_summaries(edge, device, last_at, id);
CREATE INDEX group_summaries_site ON group_summaries(site, last_at, id);
CREATE INDEX group_summaries_unclosed ON group_summaries(last_at, id) WHERE open + acknowledged > 0;

CREATE TABLE incident_counts (
	site     TEXT NOT NULL,
	state    TEXT NOT NULL,
	severity TEXT NOT NULL,
	n        INTEGER NOT NULL,
	PRIMARY KEY (site, state, severity)
) STRICT, WITHOUT ROWID;
INSERT INTO incident_counts(site, state, severity, n) SELECT site, state, severity, count(*) FROM incidents GROUP BY site, state, severity;

-- Facts are what the timeline shows. They are only ever appended.
DROP INDEX timeline_incident;
ALTER TABLE timeline RENAME TO facts;
ALTER TABLE facts RENAME COLUMN at TO occurred_at;
ALTER TABLE facts ADD COLUMN recorded_at INTEGER NOT NULL DEFAULT 0; -- by the hub's clock
UPDATE facts SET recorded_at = occurred_at;
CREATE INDEX facts_incident ON facts(incident, id);

CREATE TABLE reports (
	id          TEXT PRIMARY KEY,
	incident    TEXT NOT NULL,              -- that it opened or joined
	who         TEXT NOT NULL,
	title       TEXT NOT NULL,
	text        TEXT NOT NULL,
	kind        TEXT NOT NULL,
	severity    TEXT NOT NULL,
	place       TEXT,                       -- JSON of devices.Place
	occurred_at INTEGER NOT NULL,
	recorded_at INTEGER NOT NULL
) STRICT;
INSERT INTO reports(id, incident, who, title, text, kind, severity, place, occurred_at, recorded_at)
	SELECT i.id, i.id, coalesce(f.who, ''), i.title, coalesce(f.text, ''), i.kind, i.severity, i.place, i.occurred_at, i.received_at
	FROM incidents i LEFT JOIN facts f ON f.id = (SELECT min(id) FROM facts WHERE incident = i.id AND kind = 'reported')
	WHERE i.source = 'report';
CREATE INDEX reports_incident ON reports(incident, recorded_at, id);

-- The newest picture of a camera, and evidence by its age.
ALTER TABLE evidence ADD COLUMN device TEXT NOT NULL DEFAULT '';       -- of its incident; empty: that is still to come
ALTER TABLE evidence ADD COLUMN taken_at INTEGER NOT NULL DEFAULT 0;   -- by the hub's clock; never after recorded_at
ALTER TABLE evidence ADD COLUMN recorded_at INTEGER NOT NULL DEFAULT 0; -- when it was announced
UPDATE evidence SET recorded_at = at, taken_at = at;
UPDATE evidence SET device = i.device, recorded_at = i.received_at,
	taken_at = CASE WHEN at > i.updated_at THEN i.occurred_at ELSE at END
	FROM incidents i WHERE i.id = evidence.incident AND i.edge = evidence.edge;
CREATE INDEX evidence_pictures ON evidence(edge, device, taken_at) WHERE complete = 1 AND content_type IN ('image/jpeg', 'image/png');
CREATE INDEX evidence_recorded ON evidence(recorded_at);

-- Words and filters of incidents; the row's number is incidents.number. The hub makes the tokens itself.
CREATE VIRTUAL TABLE incident_search USING fts5(doc, content = '', contentless_delete = 1, detail = none, tokenize = "ascii");

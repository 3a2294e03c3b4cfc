package app

import (
	"context"
	"strings"
	"time"

	"gridpost/hub/internal/db/jobs"
	"gridpost/hub/internal/store/audit"
)

// metricTable returns every metric of the hub. README.md lists them too; a test compares both, and
// scrapes a hub for each row.
func metricTable() []metric {
	rows := ingestMetrics()
	rows = append(rows, relayMetrics()...)
	rows = append(rows, webhookMetrics()...)
	rows = append(rows, databaseMetrics()...)
	rows = append(rows, streamMetrics()...)
	rows = append(rows, peopleMetrics()...)
	rows = append(rows, storedMetrics()...)
	return rows
}

func ingestMetrics() []metric {
	return []metric{
		{
			name: "batches_total", kind: counter, help: "Batches of events committed.",
			read: value(func(s *scrape) uint64 { return s.ingest.Batches }),
		},
		{
			name: "events_applied_total", kind: counter, help: "Events applied.",
			read: value(func(s *scrape) uint64 { return s.ingest.Applied }),
		},
		{
			name: "events_known_total", kind: counter, help: "Events that had been applied before.",
			read: value(func(s *scrape) uint64 { return s.ingest.Known }),
		},
		{
			name: "events_refused_total", kind: counter, help: "Events that can never be applied.",
			read: value(func(s *scrape) uint64 { return s.ingest.Refused }),
		},
		{
			name: "edge_requests_denied_total", kind: counter, help: "Requests on the edge port without an accepted certificate or token.",
			read: value(func(s *scrape) uint64 { return s.ingest.Denied }),
		},
		{
			name: "edge_port_panics_total", kind: counter, help: "Requests and transactions of the edge port that panicked; the log says why.",
			read: value(func(s *scrape) uint64 { return s.ingest.Panics }),
		},
		{
			name: "evidence_bytes_total", kind: counter, help: "Bytes of evidence received.",
			read: value(func(s *scrape) uint64 { return s.ingest.EvidenceBytes }),
		},
	}
}

func relayMetrics() []metric {
	return []metric{
		{
			name: "viewers", kind: gauge, help: "Viewers of live video.",
			read: value(func(s *scrape) int { return s.relay.Viewers }),
		},
		{
			name: "upstreams", kind: gauge, help: "Live streams that edges send.",
			read: value(func(s *scrape) int { return s.relay.Upstreams }),
		},
		{
			name: "views_total", kind: counter, help: "Live views started.",
			read: value(func(s *scrape) uint64 { return s.relay.Views }),
		},
		{
			name: "relay_commands_total", kind: counter, help: "Publish commands sent to edges.",
			read: value(func(s *scrape) uint64 { return s.relay.Commands }),
		},
		{
			name: "commands_sent_total", kind: counter, help: "Commands sent to edges that are connected to this hub.",
			read: value(func(s *scrape) uint64 { return s.commands.Sent }),
		},
		{
			name: "commands_refused_total", kind: counter, help: "Commands for which an edge's queue had no room; they go through the database.",
			read: value(func(s *scrape) uint64 { return s.commands.Refused }),
		},
		{
			name: "commands_lost_total", kind: counter, help: "Commands whose stream ended before the answer; they go through the database.",
			read: value(func(s *scrape) uint64 { return s.commands.Lost }),
		},
		{
			name: "relay_in_packets_total", kind: counter, help: "RTP packets from edges.",
			read: value(func(s *scrape) uint64 { return s.relay.PacketsIn }),
		},
		{
			name: "relay_in_bytes_total", kind: counter, help: "RTP payload from edges.",
			read: value(func(s *scrape) uint64 { return s.relay.BytesIn }),
		},
		{
			name: "relay_in_lost_packets_total", kind: counter, help: "RTP packets from edges that were lost.",
			read: value(func(s *scrape) uint64 { return s.relay.LostIn }),
		},
		{
			name: "relay_out_packets_total", kind: counter, help: "RTP packets to viewers.",
			read: value(func(s *scrape) uint64 { return s.relay.PacketsOut }),
		},
		{
			name: "relay_out_bytes_total", kind: counter, help: "RTP payload to viewers.",
			read: value(func(s *scrape) uint64 { return s.relay.BytesOut }),
		},
		{
			name: "relay_dropped_packets_total", kind: counter, help: "RTP packets dropped for viewers that could not follow.",
			read: value(func(s *scrape) uint64 { return s.relay.PacketsDropped }),
		},
		{
			name: "relay_retransmitted_total", kind: counter, help: "RTP packets retransmitted to viewers.",
			read: value(func(s *scrape) uint64 { return s.relay.Retransmitted }),
		},
		{
			name: "relay_keyframe_requests_total", kind: counter, help: "Keyframe requests (PLI) of viewers.",
			read: value(func(s *scrape) uint64 { return s.relay.PLIs }),
		},
		{
			name: "relay_stream_switches_total", kind: counter, help: "Switches of viewers between the main and the sub-stream of a camera.",
			read: value(func(s *scrape) uint64 { return s.relay.Switches }),
		},
	}
}

func webhookMetrics() []metric {
	return []metric{
		{
			name: "webhook_delivered_total", kind: counter, help: "Deliveries accepted by webhook targets.",
			read: value(func(s *scrape) uint64 { return s.notify.Delivered }),
		},
		{
			name: "webhook_failed_attempts_total", kind: counter, help: "Attempts that webhook targets did not accept.",
			read: value(func(s *scrape) uint64 { return s.notify.Failed }),
		},
		{
			name: "webhook_dead_deliveries_total", kind: counter, help: "Deliveries given up.",
			read: value(func(s *scrape) uint64 { return s.notify.Dead }),
		},
		{
			name: "webhook_attempt_seconds", kind: histogram, labels: []string{"result"}, buckets: seconds(0.01, 30),
			always: [][]string{{"delivered"}, {"failed"}},
			help:   "Time of an attempt to deliver an alert; result is delivered or failed.",
		},
		{
			name: "webhook_delay_seconds", kind: histogram, buckets: []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200, 86400},
			always: [][]string{{}},
			help:   "Time from an alert to its acceptance by a target.",
		},
	}
}

// streamMetrics are of the change feed on its way to consoles.
func streamMetrics() []metric {
	return []metric{
		{
			name: "streams", kind: gauge, help: "Live streams of consoles.",
			read: value(func(s *scrape) int { return s.h.feed.Stats().Readers }),
		},
		{
			name: "stream_lag_seconds", kind: histogram, buckets: seconds(0.001, 10), always: [][]string{{}},
			help: "Time from the start of a change's transaction to its write to a console.",
		},
		{
			name: "stream_resets_total", kind: counter, help: "Consoles that were behind what the database keeps and had to fetch everything anew.",
			read: value(func(s *scrape) uint64 { return s.h.feed.Stats().Resets }),
		},
		{
			name: "stream_fallbacks_total", kind: counter, help: "Reads of the change feed for consoles that were behind its ring in memory.",
			read: value(func(s *scrape) uint64 { return s.h.feed.Stats().Fallbacks }),
		},
		{
			name: "stream_dropped_total", kind: counter, help: "Events of readings that consoles behind the ring did not get.",
			read: value(func(s *scrape) uint64 { return s.h.feed.Stats().Dropped }),
		},
	}
}

// databaseMetrics are observed by the databases hub and telemetry.
func databaseMetrics() []metric {
	transaction := []string{"database", "transaction"}
	return []metric{
		{
			name: "transaction_seconds", kind: histogram, labels: transaction, buckets: seconds(0.0005, 5),
			help: "Time of a transaction, from its start to the end of its commit.",
		},
		{
			name: "transaction_wait_seconds", kind: histogram, labels: transaction, buckets: seconds(0.0005, 5),
			help: "Time that a transaction waited before its start.",
		},
		{
			name: "transaction_errors_total", kind: counter, labels: []string{"database", "reason"},
			always: [][]string{{"hub", "full"}, {"hub", "other"}, {"telemetry", "full"}, {"telemetry", "other"}},
			help:   "Transactions that failed; reason is full (no room on the disk) or other.",
		},
		{
			name: "transaction_retries_total", kind: counter, labels: []string{"database"}, always: [][]string{{"hub"}, {"telemetry"}},
			help: "Transactions that were run again, because of another transaction or a lost connection.",
		},
		{
			name: "commit_transactions", kind: histogram, labels: []string{"database"}, buckets: []float64{1, 2, 4, 8, 16, 32, 64},
			help: "Transactions that one commit of SQLite wrote together.",
		},
		{
			name: "statements_total", kind: counter, labels: []string{"database"}, help: "SQL statements executed, in transactions and outside.",
			read: func(s *scrape, emit func(float64, ...string)) error {
				emit(float64(s.h.db.Queries()), "hub")
				emit(float64(s.h.telemetry.DB().Queries()), "telemetry")
				return nil
			},
		},
		{
			name: "query_seconds", kind: histogram, labels: []string{"database"}, buckets: seconds(0.0001, 1),
			help: "Time of a query outside of transactions.",
		},
	}
}

func peopleMetrics() []metric {
	return []metric{
		{
			name: "logins_refused_total", kind: counter, help: "Log-ins that were refused without a look at the password, after too many failures.",
			read: value(func(s *scrape) uint64 { return s.h.auth.Stats().Refused }),
		},
		{
			name: "login_failures_shared_total", kind: counter, help: "Failed log-ins that were counted together with others, because the table of failures was full.",
			read: value(func(s *scrape) uint64 { return s.h.auth.Stats().Shared }),
		},
		{
			name: "access_held", kind: gauge, help: "Live streams, views, publications and command streams whose access is watched.",
			read: value(func(s *scrape) int { return s.h.access.Stats().Held }),
		},
		{
			name: "access_ended_total", kind: counter, help: "Live streams, views, publications and command streams that were ended because their access had ended.",
			read: value(func(s *scrape) uint64 { return s.h.access.Stats().Ended }),
		},
		{
			name: "access_refused_total", kind: counter, help: "Live streams and views that were refused because the user or token had its limit.",
			read: value(func(s *scrape) uint64 { return s.h.access.Stats().Refused }),
		},
		{
			name: "access_check_failures_total", kind: counter, help: "Checks of what is still allowed that failed because the database could not be read.",
			read: value(func(s *scrape) uint64 { return s.h.access.Stats().Failed }),
		},
		{
			name: "lease_ends_waiting", kind: gauge, help: "Leases that have ended, whose end is not stored yet.",
			read: value(func(s *scrape) int { return s.h.leases.Waiting() }),
		},
		{
			name: "audit_broken_entry", kind: gauge, help: "Number of the first entry of the audit log that was found changed or missing; 0: none was.",
			read: auditMetric(func(s audit.State) int64 { return s.Broken }),
		},
		{
			name: "audit_missing_key_entry", kind: gauge, help: "Number of the first entry of the audit log whose key is not known here, so that it cannot be verified; 0: none.",
			read: auditMetric(func(s audit.State) int64 { return s.Missing }),
		},
		{
			name: "audit_head_entry", kind: gauge, labels: []string{"target"}, help: "Number of the entry in the head of the audit log that was written last, by target; 0: none since the start.",
			read: func(s *scrape, emit func(float64, ...string)) error {
				for _, t := range s.h.heads.State() {
					emit(float64(t.Entry), t.Target)
				}
				return nil
			},
		},
		{
			name: "audit_head_failures_total", kind: counter, labels: []string{"target"}, help: "Heads of the audit log that could not be written, by target.",
			read: func(s *scrape, emit func(float64, ...string)) error {
				for _, t := range s.h.heads.State() {
					emit(float64(t.Failures), t.Target)
				}
				return nil
			},
		},
	}
}

// seconds returns buckets from least to most: 1, 2.5 and 5 times each power of ten.
func seconds(least, most float64) (buckets []float64) {
	for _, b := range []float64{
		0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30,
	} {
		if b >= least && b <= most {
			buckets = append(buckets, b)
		}
	}
	return buckets
}

// storedMetrics are counted in the database at each scrape.
func storedMetrics() []metric {
	return []metric{
		{
			name: "incidents", kind: gauge, labels: []string{"state"}, help: "Incidents that are not closed.",
			read: counted(func(s *scrape) countFunc { return s.h.incidents.CountUnclosed }, "open", "acknowledged"),
		},
		{
			name: "devices", kind: gauge, labels: []string{"kind", "state"}, help: "Devices by kind and state.",
			read: counted(func(s *scrape) countFunc { return s.h.edges.CountDevices },
				"camera online", "camera offline", "camera unknown", "sensor online", "sensor offline", "sensor unknown"),
		},
		{
			name: "edges", kind: gauge, labels: []string{"state"}, help: "Edges that are not revoked.",
			read: counted(func(s *scrape) countFunc { return s.h.edges.CountEdges }, "online", "offline"),
		},
		{
			name: "queue_oldest_seconds", kind: gauge, labels: []string{"queue"},
			help: "Age of the oldest entry of a queue, 0 when it is empty: deliveries (to enabled and disabled webhook targets), jobs (that are due).",
			read: queueAges,
		},
		{
			name: "retention_deleted_rows_total", kind: counter, labels: []string{"kind"},
			help: "Rows deleted because they were old, too many, or for want of room on the disk.", read: deletedRows,
		},
		{
			name: "last_change", kind: gauge, help: "Number of the newest entry of the change feed.",
			read: func(s *scrape, emit func(float64, ...string)) error {
				last, err := s.h.db.LastChange(s.ctx)
				if err != nil {
					return err
				}
				emit(float64(last))
				return nil
			},
		},
	}
}

// countFunc counts rows by their labels, which are separated by a space.
type countFunc = func(context.Context) (map[string]int, error)

// counted emits one value for each combination of labels that exists, and 0 for those of always that
// do not, so that a dashboard has a line before the first row.
func counted(by func(*scrape) countFunc, always ...string) func(*scrape, func(float64, ...string)) error {
	return func(s *scrape, emit func(float64, ...string)) error {
		counts, err := by(s)(s.ctx)
		if err != nil {
			return err
		}
		for _, labels := range always {
			if _, ok := counts[labels]; !ok {
				emit(0, strings.Split(labels, " ")...)
			}
		}
		for labels, n := range counts {
			emit(float64(n), strings.Split(labels, " ")...)
		}
		return nil
	}
}

// queueAges emits the age of the oldest entry of each queue.
func queueAges(s *scrape, emit func(float64, ...string)) error {
	for _, q := range []struct {
		name   string
		oldest func(context.Context) (time.Time, error)
	}{{"deliveries", s.h.alerts.OldestPending}, {"jobs", s.oldestJob}} {
		at, err := q.oldest(s.ctx)
		if err != nil {
			return err
		}
		age := 0.0
		if !at.IsZero() {
			age = max(s.h.db.Now().Sub(at).Seconds(), 0)
		}
		emit(age, q.name)
	}
	return nil
}

func (s *scrape) oldestJob(ctx context.Context) (time.Time, error) {
	due, ok, err := jobs.Oldest(ctx, s.h.db)
	if err != nil || !ok {
		return time.Time{}, err
	}
	return due, nil
}

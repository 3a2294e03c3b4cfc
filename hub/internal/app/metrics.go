package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"gridpost/hub/internal/commands"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/ingest"
	"gridpost/hub/internal/notify"
	"gridpost/hub/internal/relay"
)

// metricPrefix begins the name of every metric of the hub.
const metricPrefix = "gridpost_hub_"

// metricKind is the type of a metric in Prometheus.
type metricKind string

// The types of metrics.
const (
	counter   metricKind = "counter"   // only rises while the hub runs; its name ends in _total
	gauge     metricKind = "gauge"     // rises and falls
	histogram metricKind = "histogram" // counts observations in buckets
)

// metric is one row of the table of metrics: all that there is to know about one metric. A new
// metric is a new row. Labels have few values, which do not depend on the number of edges, devices
// or people.
type metric struct {
	name   string // without metricPrefix; base units (seconds, bytes)
	kind   metricKind
	labels []string
	help   string

	// read emits the values of a counter or gauge, with one value for each label. It is nil for a
	// histogram, and for a counter that metrics.count increments.
	read func(s *scrape, emit func(v float64, labels ...string)) error

	// always are values of the labels that exist before they are observed, so that rates begin at 0. It is
	// for histograms, and counters that are incremented.
	always [][]string

	// buckets are the upper bounds of a histogram's buckets.
	buckets []float64
}

// value reads a counter or gauge without labels.
func value[N int | int64 | uint64 | float64](read func(s *scrape) N) func(*scrape, func(float64, ...string)) error {
	return func(s *scrape, emit func(float64, ...string)) error {
		emit(float64(read(s)))
		return nil
	}
}

// scrapeLimit is how long one scrape may take.
const scrapeLimit = 5 * time.Second

// scrape is what the rows of one scrape read from. The counters of a component are read once, so
// that they are consistent with each other.
type scrape struct {
	ctx      context.Context // a scrape lives within one call of Collect
	h        *hub
	ingest   ingest.Stats
	relay    relay.Stats
	commands commands.Stats
	notify   notify.Stats
}

// metrics collects the counters and gauges of the table during a scrape, and has its histograms and the
// counters that are incremented. It can be used before the hub that it belongs to is complete; h is set
// before register.
type metrics struct {
	h          *hub
	rows       []metric
	descs      []*prometheus.Desc // of rows; nil for what is not read
	histograms map[string]*prometheus.HistogramVec
	counters   map[string]*prometheus.CounterVec

	mu           sync.Mutex
	transactions map[string]bool // names that are labels
}

// newMetrics returns the metrics of the table.
func newMetrics() *metrics {
	m := &metrics{
		rows: metricTable(), histograms: map[string]*prometheus.HistogramVec{}, counters: map[string]*prometheus.CounterVec{},
		transactions: map[string]bool{},
	}
	m.descs = make([]*prometheus.Desc, len(m.rows))
	for i, row := range m.rows {
		name := metricPrefix + row.name
		switch {
		case row.kind == histogram:
			m.histograms[row.name] = prometheus.NewHistogramVec(
				prometheus.HistogramOpts{Name: name, Help: row.help, Buckets: row.buckets}, row.labels)
			for _, values := range row.always {
				m.histograms[row.name].WithLabelValues(values...)
			}
		case row.read == nil:
			m.counters[row.name] = prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: row.help}, row.labels)
			for _, values := range row.always {
				m.counters[row.name].WithLabelValues(values...)
			}
		default:
			m.descs[i] = prometheus.NewDesc(name, row.help, row.labels, nil)
		}
	}
	return m
}

// observe adds an observation to the histogram of a row. name and the number of labels are those of
// the table, or the program is wrong and it panics.
func (m *metrics) observe(name string, v float64, labels ...string) {
	h, ok := m.histograms[name]
	if !ok {
		panic("no histogram " + name + " in the table of metrics")
	}
	h.WithLabelValues(labels...).Observe(v)
}

// count increments the counter of a row; see observe.
func (m *metrics) count(name string, labels ...string) {
	c, ok := m.counters[name]
	if !ok {
		panic("no counter " + name + " in the table of metrics")
	}
	c.WithLabelValues(labels...).Inc()
}

// maxTransactions bounds the values of the label transaction.
const maxTransactions = 200

// transaction returns the name of a transaction as a label. Names are constants of the program; should they
// not be, the label stays bounded.
func (m *metrics) transaction(name string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.transactions[name] {
		if len(m.transactions) >= maxTransactions {
			return "other"
		}
		m.transactions[name] = true
	}
	return name
}

// database returns what observes a database under its name.
func (m *metrics) database(name string) db.Observer {
	return db.Observer{
		Commit: func(transaction string, wait, took time.Duration, err error) {
			transaction = m.transaction(transaction)
			m.observe("transaction_wait_seconds", wait.Seconds(), name, transaction)
			m.observe("transaction_seconds", took.Seconds(), name, transaction)
			switch {
			case errors.Is(err, db.ErrFull):
				m.count("transaction_errors_total", name, "full")
			case err != nil:
				m.count("transaction_errors_total", name, "other")
			}
		},
		Group: func(updates int) { m.observe("commit_transactions", float64(updates), name) },
		Query: func(took time.Duration) { m.observe("query_seconds", took.Seconds(), name) },
		Retry: func(string) { m.count("transaction_retries_total", name) },
	}
}

// attempt observes an attempt to deliver an alert to a webhook target.
func (m *metrics) attempt(o notify.Outcome) {
	result := "failed"
	if o.State == notify.Delivered {
		result = "delivered"
		m.observe("webhook_delay_seconds", o.At.Sub(o.Queued).Seconds())
	}
	m.observe("webhook_attempt_seconds", o.Took.Seconds(), result)
}

// register adds the metrics of the table, of the Go runtime and of the process to r.
func (m *metrics) register(r *prometheus.Registry, version string) error {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: metricPrefix + "build_info", Help: "1, with the version of the hub.", ConstLabels: prometheus.Labels{"version": version},
	})
	build.Set(1)
	all := []prometheus.Collector{
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build, m,
	}
	for _, h := range m.histograms {
		all = append(all, h)
	}
	for _, c := range m.counters {
		all = append(all, c)
	}
	for _, c := range all {
		if err := r.Register(c); err != nil {
			return fmt.Errorf("registering metrics: %w", err)
		}
	}
	return nil
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(out chan<- *prometheus.Desc) {
	for _, d := range m.descs {
		if d != nil {
			out <- d
		}
	}
}

// Collect implements prometheus.Collector. It leaves out metrics that cannot be
// read, and logs the error.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeLimit)
	defer cancel()
	s := &scrape{ctx: ctx, h: m.h, ingest: m.h.ingest.Stats(), relay: m.h.relay.Stats(), commands: m.h.commands.Stats(), notify: m.h.notifier.Stats()}
	var errs []error
	for i, row := range m.rows {
		if m.descs[i] == nil {
			continue
		}
		kind := prometheus.GaugeValue
		if row.kind == counter {
			kind = prometheus.CounterValue
		}
		err := row.read(s, func(v float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(m.descs[i], kind, v, labels...)
		})
		if err != nil {
			errs = append(errs, fmt.Errorf("reading %s: %w", row.name, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		m.h.log.Error("collecting metrics", "error", err)
	}
}
